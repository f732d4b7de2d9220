"""Where the lines go: a file or the standard output, in small batches, whole lines, with a count of what is safe."""

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

Item = TypeVar("Item")

STANDARD_OUTPUT = "-"
LINES_HELD_BACK = 64
SECONDS_HELD_BACK = 0.5
FINISH_PATIENCE = 2.0
# POSIX: a pipe reported as writable takes this much without blocking.
PIPE_PORTION = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """An open output and the name it has in messages."""

    descriptor: int
    name: str
    is_standard: bool

    @property
    def status(self) -> os.stat_result:
        """What the operating system says of it."""
        return os.fstat(self.descriptor)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file of the command's own."""
        return not self.is_standard and stat.S_ISREG(self.status.st_mode)


def open_target(path: str | None) -> Target:
    """
    Open the output, `-` or None being the standard output; what a file holds stays until writing begins.

    A new file is for its owner alone, since it will hold bearer URLs. Raises `CommandFailed` with the reason.
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


class Output(Generic[Item]):
    """
    Writes items to a target, holding back at most 64 lines, and none for longer than its owner's next `flush`.

    The first error is kept in `failure`, and from then on nothing is written: what is there stands, cut back to the
    last whole line where it is a file. `written` counts the items whose lines are out.
    """

    def __init__(self, target: Target, header: bytes, encode: Callable[[Item], bytes]) -> None:
        self.target = target
        self.failure: OSError | None = None
        self.written = 0
        self.lost = 0
        self._encode = encode
        self._pending = bytearray(header)
        self._line_ends: deque[int] = deque()
        """Where in the output each line that is not out yet will end."""
        self._safe_end = 0
        self._position = 0
        self._lock = anyio.Lock(fast_acquire=True)

    def start(self) -> None:
        """Empty the file: from now on its former content is gone."""
        if self.target.is_file:
            os.ftruncate(self.target.descriptor, 0)

    @property
    def reader_is_gone(self) -> bool:
        """Whether nobody reads the standard output any more."""
        return self.target.is_standard and self.failure is not None and self.failure.errno == errno.EPIPE

    async def put(self, item: Item) -> None:
        """Take one item; it is out after the next `flush`, or at once if many wait."""
        if self.failure is not None:
            self.lost += 1
            return
        line = self._encode(item)
        if not line:
            return
        self._pending += line
        self._line_ends.append(self._position + len(self._pending))
        if len(self._line_ends) >= LINES_HELD_BACK:
            await self.flush()

    async def flush(self) -> None:
        """
        Write out what is held back; never raises, see `failure`.

        Cancelled while it waits for a slow reader, it leaves no line written twice or by halves: the next call goes on.
        """
        async with self._lock:
            try:
                while self._pending and self.failure is None:
                    await self._write_portion()
            except OSError as error:
                self._fail(error)

    async def finish(self) -> None:
        """Write out what is held back, for a moment at most, and close the file."""
        with anyio.move_on_after(FINISH_PATIENCE, shield=True):
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
            # What the operating system refuses to watch (a redirected file, /dev/null) never makes anybody wait.
            with contextlib.suppress(PermissionError):
                await anyio.wait_writable(self.target.descriptor)
                portion = PIPE_PORTION
        count = os.write(self.target.descriptor, self._pending[:portion])
        del self._pending[:count]
        self._position += count
        while self._line_ends and self._line_ends[0] <= self._position:
            self._safe_end = self._line_ends.popleft()
            self.written += 1

    def _fail(self, error: OSError) -> None:
        self.failure = error
        self.lost += len(self._line_ends)
        self._pending.clear()
        self._line_ends.clear()
        if self.target.is_file:
            with contextlib.suppress(OSError):
                os.ftruncate(self.target.descriptor, self._safe_end)
