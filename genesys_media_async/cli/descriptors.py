"""Enough file descriptors for a command: as many as its limit (`ulimit -n`) may be raised to, or one sentence."""

from __future__ import annotations

import contextlib
from typing import Final

from .exit_codes import CommandFailed, ExitCode

OWN: Final = 32
"""Descriptors besides those of connections: streams, files, the event loop, look-ups of names."""


def require_descriptors(connections: int = 1, option: str | None = None) -> None:
    """
    Make sure that so many connections, set by an option, can be open at once. Raises `CommandFailed`.

    Without this, a run ends in the middle: libuv aborts when it gets none, and each connection fails.
    """
    try:
        import resource
    except ImportError:
        # Windows has no such limit.
        return
    needed = OWN + connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _covers(soft, needed):
        return
    if _covers(hard, needed):
        # macOS refuses numbers above a limit of its own, whatever the hard limit is.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
            return
    fewer = f", or choose a lower {option} than {connections}" if option is not None else ""
    raise CommandFailed(
        ExitCode.CONFIGURATION,
        f"Only {soft} files may be open at once (ulimit -n), and this needs {needed}: raise that limit{fewer}.",
    )


def _covers(limit: int, needed: int) -> bool:
    import resource

    return limit == resource.RLIM_INFINITY or limit >= needed
