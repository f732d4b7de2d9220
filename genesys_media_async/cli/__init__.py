"""The command `genesys-media`; without the packages of its extra it names the one to install."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTRA_PACKAGES = frozenset({"cyclopts", "rich", "httptools"})


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command with `arguments` and return its exit code, see `exit_codes`.

    If None, they are those of the process, which then belongs to the command: its signals and standard streams, too.
    """
    if arguments is None:
        _prepare_process()
        arguments = sys.argv[1:]
    from .exit_codes import ExitCode
    from .output.streams import print_failure

    try:
        from .app import run_command

        return run_command(arguments)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA_PACKAGES:
            raise
        print_failure(f"{error.name} is not installed; install it with: pip install 'genesys-media-async[cli]'")
        return ExitCode.CONFIGURATION


def _prepare_process() -> None:
    """Prepare for signals and for standard streams in trouble; imported late, so that this begins early."""
    from .signals import end_at_once_by_signals

    end_at_once_by_signals()
    from .output.streams import guard_standard_streams, occupy_closed_descriptors

    occupy_closed_descriptors()
    guard_standard_streams()
