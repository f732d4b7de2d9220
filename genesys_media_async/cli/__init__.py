"""The command `genesys-media`, as far as it works without the packages of its extra: it says what is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .exit_codes import ExitCode
from .output.streams import complain

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTRA_PACKAGES = frozenset({"cyclopts", "rich", "httptools"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (the process's own if None) and return its exit code, see `exit_codes`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from .app import run

        return run(words)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA_PACKAGES:
            raise
        complain(f"{error.name} is not installed; repair it with: pip install 'genesys-media-async[cli]'")
        return ExitCode.CONFIGURATION
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
