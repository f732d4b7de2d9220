"""The command's exit codes, the exception that carries one, and how a run ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from signal import SIGTERM, Signals
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class ExitCode(IntEnum):
    """
    What the command returns to the shell; see `MEANINGS`.

    What ended a run early decides first, then failed ids (6 before 5), then lost webhooks (8).
    """

    ALL_RETRIEVED = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 3
    INPUT = 4
    RETRYABLE_FAILURES = 5
    PERMANENT_FAILURES = 6
    OUTPUT_LOST = 7
    WEBHOOKS_LOST = 8
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


MEANINGS: Final = {
    ExitCode.ALL_RETRIEVED: "every id was retrieved",
    ExitCode.UNEXPECTED: "an error in this program; please report the traceback",
    ExitCode.USAGE: "usage error: a bad option, or an output file that cannot be opened",
    ExitCode.CONFIGURATION: "configuration error: settings, token, or a source that refuses all ids",
    ExitCode.INPUT: "the input cannot be read, or has no ids",
    ExitCode.RETRYABLE_FAILURES: "try again: all failed ids can be retried, or a host is unreachable",
    ExitCode.PERMANENT_FAILURES: "some ids failed permanently; retrying will not help",
    ExitCode.OUTPUT_LOST: "the output or the audit file could not be written",
    ExitCode.WEBHOOKS_LOST: "every id was retrieved, but some webhooks were not delivered",
    ExitCode.INTERRUPTED: "interrupted (SIGINT); results written so far are complete and valid",
    ExitCode.READER_GONE: "the reader of standard output closed it",
    ExitCode.TERMINATED: "terminated (SIGTERM); results written so far are complete and valid",
}


SHARED_MEANINGS: Final = {
    code: MEANINGS[code]
    for code in (ExitCode.UNEXPECTED, ExitCode.USAGE, ExitCode.INTERRUPTED, ExitCode.READER_GONE, ExitCode.TERMINATED)
}
"""The meanings that are the same for every command."""


class CommandFailed(Exception):
    """The command cannot go on; `str` of it is the sentence to show, which names the repair."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended: by itself, or by a failure, by a signal, or because the reader of its output is gone."""

    failure: CommandFailed | None = None
    stopped_by: Signals | None = None
    is_reader_gone: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """The exit code for what ended the run early; 0 if nothing did."""
        if self.is_reader_gone:
            return ExitCode.READER_GONE
        if self.failure is not None:
            return self.failure.code
        if self.stopped_by is None:
            return ExitCode.ALL_RETRIEVED
        return ExitCode.TERMINATED if self.stopped_by is SIGTERM else ExitCode.INTERRUPTED


def usage_error(option: str, sentence: str) -> CommandFailed:
    """Failure for an option with a value that breaks a rule."""
    return CommandFailed(ExitCode.USAGE, f"{option}: {sentence}")


def exit_code_table(meanings: Mapping[ExitCode, str] = MEANINGS) -> str:
    """Return exit codes and their meanings for a help page."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in sorted(meanings.items()))
