"""The log of a simulator's requests: one JSON line each, written before the reply is sent."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .errors import CORRELATION_HEADER
from .messages import split_target

if TYPE_CHECKING:
    from .messages import Reply, Request


class RequestLog:
    """
    Appends a line for each request to the file `path`, which only its owner may read.

    A line has the time, the method, the path without its query, the kind of the endpoint, the status (0: none is
    sent), the fault and the correlation id. Tokens, bodies and URLs are not in it. The constructor raises `OSError` if
    the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._file = os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0)

    def write(self, request: Request, reply: Reply, *, at: float) -> None:
        """Append the line of a request that came at `at` (epoch seconds) and of its reply."""
        found = dict(reply.headers).get(CORRELATION_HEADER)
        line = {
            "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
            "method": request.method,
            "path": split_target(request.target)[0],
            "kind": reply.kind.value,
            "status": reply.status,
            "fault": None if reply.fault is None else reply.fault.value,
            "correlation_id": None if found is None else found.decode(),
        }
        self._file.write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
