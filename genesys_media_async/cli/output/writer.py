"""The output of a run: a file or standard output, in small batches of whole lines, with a count of safe lines."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from ..exit_codes import CommandFailed, ExitCode
from .streams import reason

if TYPE_CHECKING:
    from collections.abc import Callable

Item_contra = TypeVar("Item_contra", contravariant=True)

STANDARD_OUTPUT = "-"
MAX_HELD_LINES = 64
FLUSH_INTERVAL = 0.5
FINISH_TIMEOUT = 2.0
# POSIX: a pipe reported as writable takes this much without blocking.
PIPE_PORTION = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """An open output and its name in messages."""

    descriptor: int
    name: str
    is_standard: bool

    @property
    def status(self) -> os.stat_result:
        """The operating system's status of it."""
        return os.fstat(self.descriptor)

    @property
    def is_file(self) -> bool:
        """True for a regular file that was opened by name."""
        return not self.is_standard and stat.S_ISREG(self.status.st_mode)

    @property
    def is_readable_by_others(self) -> bool:
        """True for such a file, made earlier, that users other than its owner may read."""
        return self.is_file and sys.platform != "win32" and bool(self.status.st_mode & 0o044)


def open_target(path: str | None) -> Target:
    """
    Open the output, `-` or None for standard output; a file keeps its content until the first item is put.

    A new file is readable by its owner alone, since it will hold bearer URLs. Raises `CommandFailed` with the reason.
    """
    if path is None or path == STANDARD_OUTPUT:
        if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise CommandFailed(ExitCode.USAGE, "Standard output is closed; name a file with --output.")
        return Target(1, "standard output", is_standard=True)
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    try:
        return Target(os.open(path, flags, 0o600), path, is_standard=False)
    except (OSError, ValueError) as error:
        raise CommandFailed(
            ExitCode.USAGE, f"{path} cannot be written: {reason(error)}; name another file with --output."
        ) from None


class Output(Generic[Item_contra]):
    """
    Writes items to a target; at most 64 lines are held back until the next `flush`.

    The first item replaces the former content of a file, and follows the header. Without one, as when the other half of
    a pipeline fails, yesterday's file stays what it was.

    The first error is kept in `failure`; after it nothing more is written, and a file is cut back to its last whole
    line. `written` counts the items whose lines are out, `lost` those that will never be.
    """

    def __init__(self, target: Target, header: bytes, encode: Callable[[Item_contra], bytes]) -> None:
        self.target = target
        self.failure: OSError | None = None
        self.written = 0
        self.lost = 0
        self._header = header
        self._encode = encode
        self._is_begun = False
        self._pending = bytearray()
        self._line_ends: deque[int] = deque()
        """The position in the output where each held line ends."""
        self._safe_end = 0
        self._position = 0
        self._lock = anyio.Lock(fast_acquire=True)

    @property
    def is_reader_gone(self) -> bool:
        """True if the reader of standard output has closed it."""
        return self.target.is_standard and self.failure is not None and self.failure.errno == errno.EPIPE

    @property
    def loss(self) -> CommandFailed | None:
        """The failure of a run whose output could not be written; None if all was, or the reader is gone."""
        if self.failure is None or self.is_reader_gone:
            return None
        return CommandFailed(
            ExitCode.OUTPUT_LOST,
            f"{self.target.name} could not be written: {reason(self.failure)}; {self.written} results are safely "
            f"written, {self.lost} are lost. Make room or choose another output, then run again for the rest.",
        )

    async def put(self, item: Item_contra) -> None:
        """Add one item; it is written by the next `flush`, or at once if many are held back."""
        if not self._is_begun:
            self._begin()
        if self.failure is not None:
            self.lost += 1
            return
        line = self._encode(item)
        if not line:
            return
        self._pending += line
        self._line_ends.append(self._position + len(self._pending))
        if len(self._line_ends) >= MAX_HELD_LINES:
            await self.flush()

    async def flush(self) -> None:
        """
        Write what is held back; never raises, see `failure`.

        Cancelled while it waits for a slow reader, it leaves no line written twice or in part: the next call resumes.
        """
        async with self._lock:
            try:
                while self._pending and self.failure is None:
                    await self._write_portion()
            except OSError as error:
                self._fail(error)

    async def finish(self) -> None:
        """Write what is held back, within `FINISH_TIMEOUT`, and close the file."""
        with anyio.move_on_after(FINISH_TIMEOUT, shield=True):
            await self.flush()
        self.lost += len(self._line_ends) if self.failure is None else 0
        if not self.target.is_standard:
            try:
                os.close(self.target.descriptor)
            except OSError as error:
                self.failure = self.failure or error

    async def _write_portion(self) -> None:
        portion = len(self._pending)
        if not self.target.is_file and sys.platform != "win32":
            # What the operating system cannot watch (a redirected file, /dev/null) never blocks.
            with contextlib.suppress(PermissionError):
                await anyio.wait_writable(self.target.descriptor)
                portion = PIPE_PORTION
        count = os.write(self.target.descriptor, self._pending[:portion])
        del self._pending[:count]
        self._position += count
        while self._line_ends and self._line_ends[0] <= self._position:
            self._safe_end = self._line_ends.popleft()
            self.written += 1

    def _begin(self) -> None:
        self._is_begun = True
        self._pending += self._header
        if self.target.is_file:
            try:
                os.ftruncate(self.target.descriptor, 0)
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = error
        self.lost += len(self._line_ends)
        self._pending.clear()
        self._line_ends.clear()
        if self.target.is_file:
            with contextlib.suppress(OSError):
                os.ftruncate(self.target.descriptor, self._safe_end)
