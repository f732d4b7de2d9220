"""What a run has done so far: counts that machinery adds to, and the snapshot a user reads."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True, eq=False)
class Counters:
    """Live counts: of ids (`done`), of media (`succeeded`, `failed`) and of requests."""

    done: int = 0
    succeeded: int = 0
    failed: int = 0
    in_flight: int = 0
    sent: int = 0
    retries: int = 0

    def add(self, other: Counters) -> None:
        """Add another run's counts to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    How far a run is.

    `done` counts ids, `succeeded` and `failed` count media, of which an id may have several. `in_flight` are the
    requests on their way, `waiting_for_quota` the workers that have an id but no permit, `requests` what was sent and
    `retries` the share of it that repeated something. `elapsed` is in seconds and `rate` in ids a second since the
    start. `transport` is what carries the requests: "direct", "httpx", or the name of a class of the user's own.
    """

    done: int
    succeeded: int
    failed: int
    in_flight: int
    waiting_for_quota: int
    requests: int
    retries: int
    elapsed: float
    rate: float
    transport: str

    @classmethod
    def of(cls, counters: Counters, *, waiting_for_quota: int, elapsed: float, transport: str) -> Statistics:
        """Take the snapshot of a counters that has been counting for `elapsed` seconds."""
        return cls(
            done=counters.done,
            succeeded=counters.succeeded,
            failed=counters.failed,
            in_flight=counters.in_flight,
            waiting_for_quota=waiting_for_quota,
            requests=counters.sent,
            retries=counters.retries,
            elapsed=elapsed,
            rate=counters.done / elapsed if elapsed > 0 else 0.0,
            transport=transport,
        )
