"""Live counts of a run, and their snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field, fields


@dataclass(slots=True, eq=False)
class Counters:
    """
    Live counts of ids, media, requests and batch jobs.

    An id is `done`, or `deferred` to the second pass; a medium `succeeded` or `failed`; a request was `sent`, and has
    `ended` by a reply, a failure or a cancellation. `abandoned_jobs` are the ids of batch jobs, and not only their
    number; see `Statistics`.
    """

    done: int = 0
    deferred: int = 0
    succeeded: int = 0
    failed: int = 0
    sent: int = 0
    ended: int = 0
    retries: int = 0
    jobs: int = 0
    orphaned_submissions: int = 0
    abandoned_jobs: list[str] = field(default_factory=list[str])

    @property
    def in_flight(self) -> int:
        """How many requests are sent and have not ended."""
        return self.sent - self.ended

    def add(self, other: Counters) -> None:
        """Add another run's counts to these."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Outages:
    """
    The outages so far: their number, and the seconds they lasted together, the present one included.

    `host` is the one that is not reachable now, and None while all are.
    """

    count: int = 0
    seconds: float = 0.0
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """
    The progress of a run.

    `done` counts ids, and `deferred` those that failed for now and wait for the run's second pass; `succeeded` and
    `failed` count media, of which an id may have several. `requests` counts what was sent, and `retries` the part of it
    that repeated an attempt. `in_flight` counts the requests without a reply so far, `waiting_for_quota` the workers
    with an id but no permit. `jobs` counts what Genesys is preparing at the moment: batch jobs, and media that are
    polled. `orphaned_submissions` counts the submissions of batch jobs that Genesys may have accepted without a reply
    with the job's id; `abandoned_jobs` are the ids of the batch jobs that were given up before their end, and can still
    be polled. `outages` is the number of times that a host was not reachable since the retriever was opened,
    `outage_seconds` their length together, and `host_down` the host that is not reachable now. `elapsed` is in seconds,
    and `rate` is the ids per second since the start. `transport` is "direct", "httpx", or the name of a class of the
    user's own.
    """

    done: int
    deferred: int
    succeeded: int
    failed: int
    in_flight: int
    waiting_for_quota: int
    requests: int
    retries: int
    outages: int
    outage_seconds: float
    host_down: str | None
    elapsed: float
    rate: float
    transport: str
    jobs: int = 0
    orphaned_submissions: int = 0
    abandoned_jobs: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, counters: Counters, *, waiting_for_quota: int, outages: Outages, elapsed: float, transport: str
    ) -> Statistics:
        """Make the snapshot of counters that have counted for `elapsed` seconds."""
        return cls(
            done=counters.done,
            deferred=counters.deferred,
            succeeded=counters.succeeded,
            failed=counters.failed,
            in_flight=counters.in_flight,
            waiting_for_quota=waiting_for_quota,
            requests=counters.sent,
            retries=counters.retries,
            outages=outages.count,
            outage_seconds=outages.seconds,
            host_down=outages.host,
            elapsed=elapsed,
            rate=counters.done / elapsed if elapsed > 0 else 0.0,
            transport=transport,
            jobs=counters.jobs,
            orphaned_submissions=counters.orphaned_submissions,
            abandoned_jobs=tuple(counters.abandoned_jobs),
        )
