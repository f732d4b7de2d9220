"""The standard streams, any of which may be closed, full, too narrow for a character, or go away at any time."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from typing import TYPE_CHECKING, cast

from ...errors import escaped
from ..exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from typing import BinaryIO, TextIO

PROGRAM = "genesys-media"


def occupy_closed_descriptors() -> None:
    """
    Open the null device on each of the descriptors 0 to 2 that is closed.

    Otherwise the next file or socket gets such a descriptor: libuv aborts when it closes one, and what C code prints
    as an error would go into that file. libuv leaves this to the program: https://github.com/libuv/libuv/issues/4558.
    The `sys` stream of a descriptor that was closed at the start stays None.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor is this one, since those below it are open.
            os.open(os.devnull, os.O_RDWR)


def guard_standard_streams() -> None:
    """
    Replace the standard streams with ones whose failures are handled in one place, whoever writes to them.

    A character that the encoding lacks is escaped. A failure of standard output raises `StandardOutputLost`; one of
    standard error is passed over, since there is nowhere left to report it.
    """
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


class StandardOutputLost(CommandFailed):
    """Standard output cannot be written; without a sentence if only its reader is gone."""

    def __init__(self, error: OSError) -> None:
        if error.errno == errno.EPIPE:
            super().__init__(ExitCode.READER_GONE, "")
        else:
            sentence = f"Standard output could not be written: {reason(error)}. Make room, or send it elsewhere."
            super().__init__(ExitCode.OUTPUT_LOST, sentence)


class _GuardedStream(io.TextIOWrapper):
    """A standard stream that, after its first failure, discards what is written."""

    def write(self, text: str, /) -> int:
        """Write text, or lose it."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write what is held back, or lose it."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        descriptor = self.fileno()
        redirect_to_null(descriptor)
        if descriptor == 1:
            raise StandardOutputLost(error) from None


def _guarded(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
    # Detached, since the old wrapper would close the descriptor when nobody holds it any more.
    return _GuardedStream(
        cast("BinaryIO", stream.detach()),
        encoding=encoding,
        errors="backslashreplace",
        newline="\n",
        line_buffering=line_buffering,
        write_through=write_through,
    )


def print_err(text: str) -> None:
    """
    Write a line, or several, to standard error; a closed standard error is no reason to stop.

    A name of a file or an option may hold what a terminal would obey, so that is escaped.
    """
    # With a closed descriptor Python has no sys.stderr, and print(file=None) would write to the data's stdout.
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr.write("".join(f"{escaped(line)}\n" for line in text.split("\n")))
        sys.stderr.flush()


def print_failure(sentence: str) -> None:
    """Write why the command fails to standard error."""
    print_err(f"{PROGRAM}: {sentence}")


class ErrorLogHandler(logging.Handler):
    """Prints the errors that the library can only log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's message."""
        print_failure(record.getMessage())


def redirect_to_null(descriptor: int) -> None:
    """Discard what is still written to a standard stream, so that the interpreter's last flush succeeds."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, descriptor)
    finally:
        os.close(null)


def is_terminal(stream: TextIO | None) -> bool:
    """Return True for an interactive terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be opened, read or written, in the operating system's words."""
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        # The system's "No such device or address" is about a named pipe.
        return "nobody reads this pipe yet"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
