"""The standard streams, any of which may be closed or go away at any time, and sentences for people on one of them."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

PROGRAM = "genesys-media"


def say(text: str) -> None:
    """Write a line; a standard error that nobody reads any more is no reason to stop."""
    # With a closed descriptor Python has no sys.stderr, and print(file=None) would write to the data's stdout.
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        silence(2)


def complain(sentence: str) -> None:
    """Write why the command fails."""
    say(f"{PROGRAM}: {sentence}")


class Complaints(logging.Handler):
    """Shows what the library logs as an error and tells nobody otherwise."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's message."""
        complain(record.getMessage())


def silence(descriptor: int) -> None:
    """Let what is still written to a standard stream vanish, so that the interpreter's last flush succeeds."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, descriptor)
    finally:
        os.close(null)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at the other end."""
    return stream is not None and not stream.closed and stream.isatty()


def reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be opened, read or written, in the operating system's words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
