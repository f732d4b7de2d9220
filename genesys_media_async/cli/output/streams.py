"""The standard streams, any of which may be closed or go away at any time."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from typing import TYPE_CHECKING

from ...errors import escaped

if TYPE_CHECKING:
    from typing import TextIO

PROGRAM = "genesys-media"


def tolerate_narrow_encodings() -> None:
    """Replace characters that a standard stream's encoding lacks, as on Windows consoles, instead of failing."""
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def print_err(text: str) -> None:
    """
    Write a line, or several, to standard error; a closed standard error is no reason to stop.

    A name of a file or an option may hold what a terminal would obey, so that is escaped.
    """
    # With a closed descriptor Python has no sys.stderr, and print(file=None) would write to the data's stdout.
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    try:
        sys.stderr.write("".join(f"{escaped(line)}\n" for line in text.split("\n")))
        sys.stderr.flush()
    except OSError:
        redirect_to_null(2)


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
