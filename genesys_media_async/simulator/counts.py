"""The counts of a simulator: plain numbers for assertions and reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .fault_kinds import Fault


@dataclass(slots=True)
class Counts:
    """
    Live numbers, which only the simulator changes.

    `api_requests` counts the requests to a path of the API, whatever their outcome; `by_operation` those of them with
    an allowed method, by operation id; `api_ok` those whose good reply was sent whole. `by_file_id` counts by the last
    id in the path, which is that of a file, a recording or a job. `refused_429` counts the refusals of the token's
    quota, `refused_by_family` those of a resource's quota; a 429 by fault counts in `faults`. `by_status` counts every
    reply with a status, except those of the token, media and webhook endpoints. `in_flight` is the number of API
    requests that are received and not yet answered, `peak_in_flight` its maximum. Connections are those of the socket
    server; the in-process transport has none.
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
    peak_in_flight: int = 0
    connections_open: int = 0
    connections_total: int = 0
    media_requests: int = 0
    webhook_requests: int = 0
    webhook_rejected: int = 0

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """Return all counts as values that JSON can represent."""
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
            "peak_in_flight": self.peak_in_flight,
            "connections_open": self.connections_open,
            "connections_total": self.connections_total,
            "media_requests": self.media_requests,
            "webhook_requests": self.webhook_requests,
            "webhook_rejected": self.webhook_rejected,
        }
