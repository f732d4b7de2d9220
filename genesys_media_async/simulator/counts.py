"""What the simulator has seen and done: plain numbers, for assertions and for reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .faults import Fault


@dataclass(slots=True)
class Counts:
    """
    Live numbers, changed by the simulator alone.

    `api_requests` are those to a path of the API, whatever became of them; `by_operation` are those of them with a
    method there, by the operation id; `api_ok` those whose right answer went out whole. `by_file_id` counts the last id
    in the path, be it a file's, a recording's or a job's. `refused_429` were refused by the token's quota,
    `refused_by_family` by a resource's; a 429 by fault counts in `faults`. `by_status` is of every reply
    outside the token, media and webhook endpoints that sent a status. `in_flight` are API requests received and not
    yet answered. Connections are those of the server; the in-process transport has none.
    """

    token_requests: int = 0
    tokens_issued: int = 0
    api_requests: int = 0
    api_ok: int = 0
    refused_429: int = 0
    refused_by_family: Counter[str] = field(default_factory=Counter[str])
    by_operation: Counter[str] = field(default_factory=Counter[str])
    by_status: Counter[int] = field(default_factory=Counter[int])
    by_file_id: Counter[str] = field(default_factory=Counter[str], repr=False)
    ok_by_file_id: Counter[str] = field(default_factory=Counter[str], repr=False)
    faults: Counter[Fault] = field(default_factory=Counter[Fault])
    in_flight: int = 0
    greatest_in_flight: int = 0
    connections_open: int = 0
    connections_total: int = 0
    media_requests: int = 0
    webhook_requests: int = 0
    webhook_rejected: int = 0

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """Return everything as plain values that JSON can hold."""
        return {
            "token_requests": self.token_requests,
            "tokens_issued": self.tokens_issued,
            "api_requests": self.api_requests,
            "api_ok": self.api_ok,
            "refused_429": self.refused_429,
            "refused_by_family": dict(self.refused_by_family),
            "by_operation": dict(self.by_operation),
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "by_file_id": dict(self.by_file_id),
            "ok_by_file_id": dict(self.ok_by_file_id),
            "faults": {fault.value: count for fault, count in self.faults.items()},
            "in_flight": self.in_flight,
            "greatest_in_flight": self.greatest_in_flight,
            "connections_open": self.connections_open,
            "connections_total": self.connections_total,
            "media_requests": self.media_requests,
            "webhook_requests": self.webhook_requests,
            "webhook_rejected": self.webhook_rejected,
        }
