"""The command `genesys-media`; without the packages of its extra it names the one to install."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .exit_codes import ExitCode
from .output.streams import print_failure, tolerate_narrow_encodings

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTRA_PACKAGES = frozenset({"cyclopts", "rich", "httptools"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (the process's own if None) and return its exit code, see `exit_codes`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    tolerate_narrow_encodings()
    try:
        from .app import run_command

        return run_command(words)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA_PACKAGES:
            raise
        print_failure(f"{error.name} is not installed; install it with: pip install 'genesys-media-async[cli]'")
        return ExitCode.CONFIGURATION
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
