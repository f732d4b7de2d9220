"""Events in a file, one JSON object per line."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from json import JSONEncoder
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from msgspec.json import Encoder
from pydantic_core import to_jsonable_python

from ..events import Event
from .base import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_BUILT_IN = frozenset(kind for kind in Event.__subclasses__() if kind.__module__ == Event.__module__)
"""The events whose `as_dict` is known: the name, the time, then the members in their order."""

_encode_lines: Callable[[Iterable[Event]], bytes] = Encoder().encode_lines
_encode_any = JSONEncoder(separators=(",", ":")).encode

_NEWLINE = ord("\n")


class JsonLinesSink(Sink):
    """
    Appends events to the file `path`, which only its owner may read.

    Every `write` reaches the operating system before it returns, so that a crash of the program loses nothing. With
    `durable` it also reaches the disk, so that a crash of the machine loses nothing either. A line that a full disk or
    a crash cut off stays a line of its own. The constructor raises `OSError` if the file cannot be written, and for a
    named pipe that nobody reads.

    The reader of a pipe may be slow: `write` waits for it without blocking the event loop. A write to a file is a
    system call in the event loop, which costs less than handing it to a thread; on a network file system that hangs,
    the event loop hangs too.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = False) -> None:
        self.path = Path(path)
        self._durable = durable
        self._file = os.fdopen(open_to_append(self.path), "ab", buffering=0)
        self._torn = self._ends_torn()

    def __repr__(self) -> str:
        return f"<JsonLinesSink {str(self.path)!r}>"

    async def write(self, events: Sequence[Event]) -> None:
        """Append the events. Raises `OSError` if the disk is full or gone."""
        lines = _lines(events)
        rest = memoryview(b"\n" + lines if self._torn else lines)
        while rest:
            written = self._file.write(rest)
            if not written:
                await anyio.wait_writable(self._file)
                continue
            self._torn = rest[written - 1] != _NEWLINE
            rest = rest[written:]
        if self._durable:
            os.fsync(self._file.fileno())

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()

    def _ends_torn(self) -> bool:
        # A pipe or a device has no end to read, and opening it for reading may have an effect.
        if stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            # The file may be empty, or not readable.
            with suppress(OSError), self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        return False


def open_to_append(path: str | os.PathLike[str]) -> int:
    """
    Open a file for appending, and return its descriptor; only its owner may read a new one.

    Neither this nor a write to a pipe ever waits. Raises `OSError`, for a named pipe that nobody reads as well.
    """
    optional = (getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | sum(optional), 0o600)


def _lines(events: Sequence[Event]) -> bytes:
    """Return each event's `as_dict` as a line of JSON in ASCII, which can hold any text; nan and infinity are null."""
    lines = _quick_lines(events) if _BUILT_IN.issuperset(map(type, events)) else None
    if lines is not None:
        return lines
    # One event may be odd; the others are written as quickly as ever.
    return _line(*events) if len(events) == 1 else b"".join([_lines([event]) for event in events])


def _quick_lines(events: Sequence[Event]) -> bytes | None:
    """Return the lines of built-in events, or None if one has text that msgspec refuses or does not escape."""
    try:
        # No text has a line end once it is JSON. The first member is the time, as a number.
        lines = [
            _start(event.name, int(event.at * 1_000)) + members.partition(b",")[2]
            for event, members in zip(events, _encode_lines(events).split(b"\n"), strict=False)
        ]
    # For half a surrogate pair, and for a subclass of `str`.
    except (ValueError, TypeError):
        return None
    written = b"\n".join([*lines, b""])
    return written if written.isascii() and b"\x7f" not in written else None


@lru_cache(maxsize=4)
def _start(name: str, milliseconds: int) -> bytes:
    """Return the beginning of a line: the name, and the time as by `events.iso`."""
    second, millisecond = divmod(milliseconds, 1_000)
    return f'{{"event":"{name}","time":"{_date_and_time(second)}.{millisecond:03}+00:00",'.encode()


@lru_cache(maxsize=4)
def _date_and_time(second: int) -> str:
    # A new millisecond is seldom a new second.
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def _line(event: Event) -> bytes:
    members = to_jsonable_python(event.as_dict(), inf_nan_mode="null")
    return f"{_encode_any(members)}\n".encode()
