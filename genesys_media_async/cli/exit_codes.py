"""What the command's exit codes mean, and the exception that carries one."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """What the command tells the shell; `MEANINGS` says it in words."""

    ALL_RETRIEVED = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 3
    INPUT = 4
    FAILED_FOR_NOW = 5
    FAILED_FOR_GOOD = 6
    OUTPUT_LOST = 7
    INTERRUPTED = 130
    READER_GONE = 141


MEANINGS: Final = {
    ExitCode.ALL_RETRIEVED: "every id was retrieved",
    ExitCode.UNEXPECTED: "an error in this program; please report the traceback",
    ExitCode.USAGE: "wrong use: an option, or a file to write that cannot be opened",
    ExitCode.CONFIGURATION: "wrong configuration, or no token is to be had",
    ExitCode.INPUT: "the input cannot be read, or has no ids",
    ExitCode.FAILED_FOR_NOW: "some ids failed, and all of those can be tried again",
    ExitCode.FAILED_FOR_GOOD: "some ids failed, and some of those for good",
    ExitCode.OUTPUT_LOST: "the output or the audit file could not be written",
    ExitCode.INTERRUPTED: "interrupted; what was written stands",
    ExitCode.READER_GONE: "whoever read the standard output went away",
}


class CommandFailed(Exception):
    """The command cannot go on; `str` of it is the sentence to show, which names the repair."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def explain() -> str:
    """Return the list of exit codes for a help page."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
