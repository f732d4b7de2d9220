"""The ids of a command line, from arguments and a file or a pipe, lazily: a chunk in memory, no blocked event loop."""

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
from .decoding import CHUNK, InputError
from .id_reader import IdReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

STANDARD_INPUT = "-"
MAX_COUNTED_SIZE = 64 * 1024 * 1024
"""Files with at most so many bytes of text are read twice: to see that they can be read, and how many ids they have."""

NO_IDS = "The input has no ids; one id per line is expected, or CSV or JSON lines."


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
    def can_be_read_twice(self) -> bool:
        """True for a regular file, standard input included."""
        return stat.S_ISREG(self.status.st_mode)

    @contextlib.contextmanager
    def look_ahead(self) -> Generator[Iterator[bytes]]:
        """Give the chunks of a regular file, and restore the reading position at the end."""
        start = os.lseek(self.descriptor, 0, os.SEEK_CUR)
        try:
            yield iter(partial(os.read, self.descriptor, CHUNK), b"")
        finally:
            os.lseek(self.descriptor, start, os.SEEK_SET)

    async def read(self) -> bytes:
        """Return the next bytes, without blocking the event loop; empty at the end."""
        if self.can_be_read_twice:
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


class IdStream:
    """
    The ids of a command line: its arguments, then those in a file, for an endpoint whose ids have these `id_formats`.

    Ids that are `done` are left out, and counted in `skipped`. For `only_failed` see `IdReader`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        source: Input | None,
        id_formats: Sequence[str],
        done: AbstractSet[str] = frozenset(),
        *,
        only_failed: bool = False,
    ) -> None:
        self.skipped = 0
        self._found = self._left_out = 0
        self._arguments = arguments
        self._source = source
        self._new_reader = partial(IdReader, id_formats, only_failed=only_failed)
        self._done = done

    def look_ahead(self) -> int | None:
        """
        Return how many ids there are to retrieve; None if that cannot be known, or not soon.

        Raises `CommandFailed` for a file that has no ids, or cannot be read to its end: before anything is sent.
        """
        if self._source is not None and not self._source.can_be_read_twice:
            return None
        found = wanted = 0
        for file_id in chain(self._arguments, self._ids_ahead()):
            if file_id is None:
                return None
            found += 1
            wanted += file_id not in self._done
        if not found and not self._left_out:
            raise CommandFailed(ExitCode.INPUT, NO_IDS)
        return wanted

    def _ids_ahead(self) -> Iterator[str | None]:
        """Yield the ids of the file, and None if it is too large to be read twice."""
        source = self._source
        if source is None:
            return
        reader = self._new_reader()
        # A larger file is only begun, which shows an unknown header.
        max_size = MAX_COUNTED_SIZE if source.status.st_size <= MAX_COUNTED_SIZE else 0
        with _errors_named(source), source.look_ahead() as chunks:
            for chunk in chunks:
                yield from reader.feed(chunk)
                if reader.size > max_size:
                    yield None
            yield from reader.finish()
        self._left_out = reader.left_out

    async def read(self) -> AsyncIterator[str]:
        """
        Yield the ids.

        Raises `CommandFailed` for what cannot be read, after the ids before it, and at the end if there were none.
        """
        for file_id in self._wanted(self._arguments):
            yield file_id
        source = self._source
        if source is not None:
            reader = self._new_reader()
            with _errors_named(source):
                while chunk := await source.read():
                    for file_id in self._wanted(reader.feed(chunk)):
                        yield file_id
                for file_id in self._wanted(reader.finish()):
                    yield file_id
            self._left_out = reader.left_out
        if not self._found and not self._left_out:
            raise CommandFailed(ExitCode.INPUT, NO_IDS)

    def _wanted(self, ids: Iterable[str]) -> Iterator[str]:
        for file_id in ids:
            self._found += 1
            if file_id in self._done:
                self.skipped += 1
            else:
                yield file_id


@contextlib.contextmanager
def _errors_named(source: Input) -> Generator[None]:
    try:
        yield
    except InputError as error:
        place = f"{source.name}, line {error.line}" if error.line else source.name
        raise CommandFailed(ExitCode.INPUT, f"{place}: {error}.") from None
    except OSError as error:
        raise unreadable(source.name, error) from None


def unreadable(name: str, error: OSError | ValueError) -> CommandFailed:
    """Failure for a file that cannot be opened or read."""
    return CommandFailed(ExitCode.INPUT, f"{name} cannot be read: {reason(error)}; check the name and the permissions.")
