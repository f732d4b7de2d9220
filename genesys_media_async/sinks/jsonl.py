"""Events in a file, one JSON object per line."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _text
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from pydantic_core import to_json

from ..events import AttemptAudited, RetrievalFinished
from .base import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event, JsonScalar, Outcome

MAX_REMEMBERED = 256
"""Texts kept of the members that many records have in common."""

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
        lines = "".join([_line(event) for event in events]).encode()
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


def _line(event: Event) -> str:
    """Return an event's `as_dict` as a line of JSON in ASCII, which can hold any text; nan and infinity are null."""
    if type(event) is AttemptAudited:
        return _attempt(event)
    if type(event) is RetrievalFinished:
        return _retrieval(event)
    return f"{{{_members(**event.as_dict())}}}\n"


def _attempt(it: AttemptAudited) -> str:
    # Only what differs from record to record is written anew; the rest is looked up.
    action, outcome, rest = _common_to_attempts(it.action, it.outcome, it.status, it.user_agent, it.attempt, it.code)
    time = _time(int(it.at * 1_000))
    return (
        f'{{"event":"attempt_audited","time":"{time}",{action},"file_id":{_text(it.file_id)},{outcome},'
        f'"latency":{_number(it.latency)},{rest},"correlation_id":{_text_or_null(it.correlation_id)}}}\n'
    )


@lru_cache(maxsize=MAX_REMEMBERED)
def _common_to_attempts(
    action: str, outcome: Outcome, status: int | None, user_agent: str, attempt: int, code: str | None
) -> tuple[str, str, str]:
    return (
        _members(action=action),
        _members(outcome=outcome, status=status),
        _members(user_agent=user_agent, attempt=attempt, code=code),
    )


def _retrieval(it: RetrievalFinished) -> str:
    outcome, attempts, rest = _common_to_retrievals(
        it.outcome, it.attempts, it.valid, it.content_type, it.expires_in, it.code
    )
    time = _time(int(it.at * 1_000))
    return (
        f'{{"event":"retrieval_finished","time":"{time}","file_id":{_text(it.file_id)},{outcome},'
        f'"latency":{_number(it.latency)},{attempts},"media_id":{_text_or_null(it.media_id)},{rest}}}\n'
    )


@lru_cache(maxsize=MAX_REMEMBERED)
def _common_to_retrievals(
    outcome: Outcome, attempts: int, valid: bool, content_type: str | None, expires_in: int | None, code: str | None
) -> tuple[str, str, str]:
    return (
        _members(outcome=outcome),
        _members(attempts=attempts, valid=valid),
        _members(content_type=content_type, expires_in=expires_in, code=code),
    )


@lru_cache(maxsize=4)
def _time(milliseconds: int) -> str:
    """Return what `events.iso` returns, faster: a new millisecond is seldom a new second."""
    second, millisecond = divmod(milliseconds, 1_000)
    return f"{_date_and_time(second)}.{millisecond:03}+00:00"


@lru_cache(maxsize=4)
def _date_and_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


def _members(**members: JsonScalar) -> str:
    return ",".join(
        f'"{name}":{_text(value) if isinstance(value, str) else _number(value)}' for name, value in members.items()
    )


def _text_or_null(value: str | None) -> str:
    return "null" if value is None else _text(value)


def _number(value: float | None) -> str:
    # Half the time of `repr` for a number with many digits.
    return to_json(value, inf_nan_mode="null").decode()
