"""Events in a file, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, SchemaSerializer

from ..events import Event, iso

if TYPE_CHECKING:
    from collections.abc import Sequence


class JsonLinesSink:
    """
    Appends events to `path`, which only its owner may read.

    Every `write` reaches the operating system before it returns, so that a crash of the program loses nothing; with
    `durable` it also reaches the disk, so that a crash of the machine does not either. Opening raises `OSError` at
    once if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = False) -> None:
        self.path = Path(path)
        self._durable = durable
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._file = os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)

    def __repr__(self) -> str:
        return f"<JsonLinesSink {str(self.path)!r}>"

    async def write(self, events: Sequence[Event]) -> None:
        """Append the events. Raises `OSError` if the disk is full or gone."""
        rest = memoryview(b"".join(_line(event) for event in events))
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        if self._durable:
            os.fsync(self._file.fileno())

    async def aclose(self) -> None:
        """Close the file."""
        self._file.close()


def _line(event: Event) -> bytes:
    try:
        members = _serializer_of(type(event)).to_json(event)
    except PydanticSerializationError:
        # An id that was refused may hold half a surrogate pair, which UTF-8 cannot encode and JSON can escape.
        return json.dumps(event.as_dict(), separators=(",", ":")).encode() + b"\n"
    # `at` comes first, and is told as a date.
    _, _, rest = members.partition(b",")
    return b'{"event":"%s","time":"%s",%s\n' % (event.name.encode(), iso(event.at).encode(), rest)


_SERIALIZERS: dict[type[Event], SchemaSerializer] = {}


def _serializer_of(kind: type[Event]) -> SchemaSerializer:
    if kind not in _SERIALIZERS:
        _SERIALIZERS[kind] = TypeAdapter(kind).serializer
    return _SERIALIZERS[kind]
