"""
What an outage in the middle of a run costs: ids lost, requests sent into it, and the time until the run goes on.

    python -m benchmarks.outages                   every kind, for 1, 10 and 60 s (some minutes of CPU)
    python -m benchmarks.outages --seconds 10      one duration
    python -m benchmarks.outages --ids 200         quicker

Each row is four runs on the virtual clock: media storage and batch jobs, each with a quota and without one. The last
column is the same without waiting for the host (`outage_timeout=0`), as usual clients do it: each id is retried by
itself. It ends with exit code 1 if an id of ours is lost.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from genesys_media_async import MediaRetriever, QuotaLimit, Settings, VirtualClock
from genesys_media_async.endpoints.recordings.recording_batch import RecordingBatch
from genesys_media_async.simulator import OrganizationSettings, OutageKind, Quota, Simulator, SimulatorSettings

from .harness.command_line import at_least_one, parser_of
from .harness.machine import describe_briefly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.simulator.outages import Part

BEGINS = 5.0
WORKERS = 16
QUOTA = Quota(limit=100, seconds=6.0)
LATENCY = 0.2

ROWS: tuple[tuple[str, OutageKind, Part], ...] = (
    ("refused", OutageKind.REFUSED, "all"),
    ("black hole", OutageKind.BLACK_HOLE, "all"),
    ("reset", OutageKind.RESET, "all"),
    ("503", OutageKind.UNAVAILABLE, "all"),
    ("half-open", OutageKind.HALF_OPEN, "all"),
    ("login refused", OutageKind.REFUSED, "login"),
)


@dataclass(frozen=True)
class Outcome:
    """One run: the ids that were not retrieved, the requests into the outage, and the seconds until it went on."""

    lost: int
    sent: int
    resumed_after: float


def run(
    kind: OutageKind, part: Part, seconds: float, count: int, *, is_batch: bool, has_quota: bool, waits: bool
) -> Outcome:
    """Retrieve `count` ids through an outage, on a virtual clock."""
    clock = VirtualClock()
    quota = QUOTA if has_quota else None
    simulated = SimulatorSettings(
        quota=quota,
        # Tokens that end soon need the login host in its outage.
        token_lifetime=4.0 if part == "login" else 86_400.0,
        live_tokens=1_000,
        latency=LATENCY,
        organization=OrganizationSettings(conversations=count),
    )
    simulator = Simulator(simulated, clock=clock)
    settings = Settings(
        client_id="demo-client",
        client_secret="demo-secret",
        base_url=simulator.base_url,
        login_url=simulator.login_url,
        quota=None if quota is None else QuotaLimit(limit=quota.limit, seconds=quota.seconds),
        concurrency=4 if is_batch else WORKERS,
        outage_timeout=900.0 if waits else 0.0,
    )
    retriever = MediaRetriever(
        settings,
        transport=simulator.transport(),
        endpoint=RecordingBatch(batch_size=10) if is_batch else None,
        clock=clock,
        rng=random.Random(7),
    )
    ids = [each.id for each in simulator.organization.conversations()]
    times: list[float] = []

    async def retrieve() -> int:
        lost = 0
        simulator.schedule_outage(kind, seconds, after=BEGINS, part=part)
        async with retriever:
            async for result in retriever.retrieve_many(ids, second_pass=waits):
                lost += not result.ok
                if result.ok:
                    times.append(clock.monotonic())
        return lost

    lost, over = clock.run(retrieve()), BEGINS + seconds
    resumed = min((time for time in times if time > over), default=over)
    return Outcome(lost, len(simulator.outages_met), resumed - over)


def row(name: str, kind: OutageKind, part: Part, seconds: float, count: int) -> tuple[str, int]:
    """Return the row of one kind and duration, and how many ids it lost."""
    variants = list(product((False, True), (False, True)))
    ours, theirs = (
        [
            run(kind, part, seconds, count, is_batch=is_batch, has_quota=has_quota, waits=waits)
            for is_batch, has_quota in variants
        ]
        for waits in (True, False)
    )
    lost = sum(outcome.lost for outcome in ours)
    sent = max(outcome.sent for outcome in ours)
    resumed = max(outcome.resumed_after for outcome in ours)
    alone = sum(outcome.lost for outcome in theirs)
    total = len(variants) * count
    text = f"| {name} | {seconds:g} s | {lost} of {total:,} | {sent} | {resumed:.1f} s | {alone:,} of {total:,} |"
    return text, lost


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each kind of outage and each duration."""
    parser = parser_of("outages", "What an outage in the middle of a run costs.")
    parser.add_argument("--ids", type=at_least_one, default=1_000, metavar="N")
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 10.0, 60.0], metavar="S")
    options = parser.parse_args(arguments)
    print(f"{describe_briefly()}\n")
    print("| outage | for | ids lost | requests into it | goes on after | lost by retries alone |")
    print("| :-- | --: | --: | --: | --: | --: |")
    lost_in_all = 0
    for (name, kind, part), seconds in product(ROWS, options.seconds):
        text, lost = row(name, kind, part, seconds, options.ids)
        lost_in_all += lost
        print(text, flush=True)
    if lost_in_all:
        sys.exit(f"{lost_in_all} ids were lost")


if __name__ == "__main__":
    main()
