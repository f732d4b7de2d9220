"""The command's exit codes, the exception that carries one, and how a run ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """What the command returns to the shell; see `MEANINGS`."""

    ALL_RETRIEVED = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 3
    INPUT = 4
    RETRYABLE_FAILURES = 5
    PERMANENT_FAILURES = 6
    OUTPUT_LOST = 7
    INTERRUPTED = 130
    READER_GONE = 141


MEANINGS: Final = {
    ExitCode.ALL_RETRIEVED: "every id was retrieved",
    ExitCode.UNEXPECTED: "an error in this program; please report the traceback",
    ExitCode.USAGE: "usage error: a bad option, or an output file that cannot be opened",
    ExitCode.CONFIGURATION: "configuration error, or no access token could be obtained",
    ExitCode.INPUT: "the input cannot be read, or has no ids",
    ExitCode.RETRYABLE_FAILURES: "some ids failed, and all of them can be retried",
    ExitCode.PERMANENT_FAILURES: "some ids failed permanently; retrying will not help",
    ExitCode.OUTPUT_LOST: "the output or the audit file could not be written",
    ExitCode.INTERRUPTED: "interrupted; results written so far are complete and valid",
    ExitCode.READER_GONE: "the reader of standard output closed it",
}


class CommandFailed(Exception):
    """The command cannot go on; `str` of it is the sentence to show, which names the repair."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended: by itself, or by a failure, by signals, or because the reader of its output is gone."""

    failure: CommandFailed | None = None
    is_interrupted: bool = False
    is_reader_gone: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """The exit code for what ended the run early; 0 if nothing did."""
        if self.is_reader_gone:
            return ExitCode.READER_GONE
        if self.failure is not None:
            return self.failure.code
        return ExitCode.INTERRUPTED if self.is_interrupted else ExitCode.ALL_RETRIEVED


def usage_error(option: str, sentence: str) -> CommandFailed:
    """Failure for an option with a value that breaks a rule."""
    return CommandFailed(ExitCode.USAGE, f"{option}: {sentence}")


def exit_code_table(meanings: Mapping[ExitCode, str] = MEANINGS) -> str:
    """Return the exit codes and their meanings for a help page."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in meanings.items())
