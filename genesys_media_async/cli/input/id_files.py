"""Ids from arguments and a file or a pipe, lazily: at most one chunk in memory, never a blocked event loop."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from ..exit_codes import CommandFailed, ExitCode
from ..output.streams import reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from .csv_ids import IdTable

STANDARD_INPUT = "-"
CHUNK = 64 * 1024
MAX_LINE = 64 * 1024
MAX_COUNTED_SIZE = 64 * 1024 * 1024
"""Files of at most so many bytes are read twice, so that progress knows the total."""

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_BLANKS = b" \t\r\n"


class LineError(ValueError):
    """A line that is not text: `str` of it is what is wrong, `line` counts from 1."""

    def __init__(self, line: int, wrong: str) -> None:
        super().__init__(wrong)
        self.line = line


class IdDecoder:
    """
    Decodes ids from chunks of bytes, however they are cut: UTF-8, one id per line, blank lines skipped.

    A byte order mark and CRLF line ends are accepted, spaces and tabs around an id dropped. A `table` reads the ids
    in the lines; without one they are the lines.
    """

    def __init__(self, table: IdTable | None = None) -> None:
        self._table = table
        self._rest = b""
        self._line = 0

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the ids that end in this chunk. Raises `LineError`, after the ids before it."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield from self._decoded(line)
        if len(self._rest) > MAX_LINE:
            raise LineError(self._line + 1, _too_long())

    def finish(self) -> Iterator[str]:
        """Yield the id in a last line without a line end. Raises `LineError`."""
        rest, self._rest = self._rest, b""
        return self._decoded(rest)

    def _decoded(self, line: bytes) -> Iterator[str]:
        self._line += 1
        if self._line == 1:
            if line.startswith(_UTF16_BOMS):
                raise LineError(1, "is UTF-16; save the file as UTF-8")
            line = line.removeprefix(_BOM)
        if len(line) > MAX_LINE:
            raise LineError(self._line, _too_long())
        if b"\0" in line:
            raise LineError(self._line, "has a NUL byte; ids are expected as text, one per line")
        try:
            text = line.strip(_BLANKS).decode()
        except UnicodeDecodeError:
            raise LineError(self._line, "is not UTF-8; ids are expected as text, one per line") from None
        if text and (file_id := text if self._table is None else self._table.read(text)) is not None:
            yield file_id


def _too_long() -> str:
    return f"has more than {MAX_LINE} bytes; ids are expected as text, one per line"


@dataclass(frozen=True, slots=True)
class Input:
    """An open file of ids and its name in messages."""

    descriptor: int
    name: str

    @property
    def status(self) -> os.stat_result:
        """The operating system's status of it."""
        return os.fstat(self.descriptor)

    @property
    def is_file(self) -> bool:
        """True for a regular file that was opened by name."""
        return self.descriptor != 0 and stat.S_ISREG(self.status.st_mode)

    def count(self) -> int | None:
        """Count the lines that are not blank, without moving the reading position; None if that is not cheap."""
        status = self.status
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_COUNTED_SIZE:
            return None
        try:
            start = os.lseek(self.descriptor, 0, os.SEEK_CUR)
            with os.fdopen(os.dup(self.descriptor), "rb") as file:
                count = sum(1 for line in iter(partial(file.readline, MAX_LINE), b"") if line.strip(_BLANKS))
            os.lseek(self.descriptor, start, os.SEEK_SET)
        except OSError as error:
            raise unreadable(self.name, error) from None
        return count

    def first_line(self) -> str | None:
        """Return the first line that is not blank, likewise; None without one that is text."""
        try:
            start = os.lseek(self.descriptor, 0, os.SEEK_CUR)
            beginning = os.read(self.descriptor, CHUNK)
            os.lseek(self.descriptor, start, os.SEEK_SET)
            decoder = IdDecoder()
            return next(chain(decoder.feed(beginning), decoder.finish()), None)
        except (OSError, LineError):
            return None

    async def read(self) -> bytes:
        """Return the next bytes, without blocking the event loop; empty at the end."""
        if stat.S_ISREG(self.status.st_mode):
            return os.read(self.descriptor, CHUNK)
        if sys.platform == "win32":
            return await to_thread.run_sync(os.read, self.descriptor, CHUNK, abandon_on_cancel=True)
        while True:
            # What the operating system cannot watch (/dev/null) never blocks.
            with contextlib.suppress(PermissionError):
                await anyio.wait_readable(self.descriptor)
            with contextlib.suppress(BlockingIOError):
                return os.read(self.descriptor, CHUNK)

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.descriptor != 0:
            os.close(self.descriptor)


def open_input(path: str) -> Input:
    """Open a file of ids, `-` for standard input. Raises `CommandFailed` with the reason."""
    if path == STANDARD_INPUT:
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise CommandFailed(ExitCode.INPUT, "Standard input is closed; name a file with --input.")
        opened = Input(0, "standard input")
    else:
        try:
            # Opening a named pipe would otherwise wait for its writer.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from None
        opened = Input(descriptor, path)
    if stat.S_ISDIR(opened.status.st_mode):
        opened.close()
        raise CommandFailed(ExitCode.INPUT, f"{opened.name} is a directory; name a file with one id per line.")
    return opened


async def read_ids(arguments: Sequence[str], source: Input | None, table: IdTable | None = None) -> AsyncIterator[str]:
    """
    Yield the ids given as arguments, then those in the file: its lines, or what `table` reads in them.

    Raises `CommandFailed` for a line or a file that cannot be read, after the ids before it.
    """
    for file_id in arguments:
        yield file_id
    if source is None:
        return
    decoder = IdDecoder(table)
    try:
        while chunk := await source.read():
            for file_id in decoder.feed(chunk):
                yield file_id
        for file_id in decoder.finish():
            yield file_id
    except LineError as error:
        raise CommandFailed(ExitCode.INPUT, f"{source.name}, line {error.line}: the line {error}.") from None
    except OSError as error:
        raise unreadable(source.name, error) from None


def unreadable(name: str, error: OSError | ValueError) -> CommandFailed:
    """Failure for a file that cannot be opened or read."""
    return CommandFailed(ExitCode.INPUT, f"{name} cannot be read: {reason(error)}; check the name and the permissions.")
