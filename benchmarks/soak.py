"""
Every id gets exactly one result, over real sockets, under all faults at once, and both sides count the same requests.

    python -m benchmarks.soak                      20,000 ids at each of three concurrencies (some minutes)
    python -m benchmarks.soak --ids 2000           quicker
    python -m benchmarks.soak --concurrency 8      one row

There is no quota, so that only the faults slow it down. It ends with exit code 1, and prints what is wrong, if an id
has no result or more than one, or if the simulator's counts differ from ours.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from genesys_media_async import MediaRetriever, RetryPolicy, Settings
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings

from .harness.command_line import at_least_one, parser_of
from .harness.machine import describe_briefly

if TYPE_CHECKING:
    from genesys_media_async import Statistics
    from genesys_media_async.simulator import Counts

FAULT_SHARE = 0.01
# Each of these affects all requests for a while, so that a few are enough.
RARE = {Fault.TOO_MANY_REQUESTS: 2e-4, Fault.TOO_MANY_REQUESTS_NO_HEADER: 2e-4, Fault.TOKEN_EXPIRED: 5e-4}
FAULTS = dict.fromkeys(Fault, FAULT_SHARE) | RARE


@dataclass(frozen=True)
class Outcome:
    """One run: results by id, failures by code, our statistics and the simulator's counts."""

    seen: Counter[str]
    failed: Counter[str]
    ours: Statistics
    theirs: Counts
    seconds: float


async def soak(count: int, concurrency: int) -> list[str]:
    """Retrieve `count` ids, print a row, and return what is wrong."""
    outcome = await retrieve(count, concurrency)
    ours, theirs = outcome.ours, outcome.theirs
    words = ", ".join(f"{code} {number}" for code, number in outcome.failed.most_common()) or "none"
    faults = sum(theirs.faults.values())
    print(
        f"| {concurrency} | {count:,} | {ours.succeeded:,} | {words} | {faults:,} of {len(theirs.faults)} kinds "
        f"| {ours.requests:,} | {theirs.api_requests:,} | {outcome.seconds:.0f} |",
        flush=True,
    )
    wrong = [
        ("an id has no result, or more than one", len(outcome.seen) != count or set(outcome.seen.values()) != {1}),
        ("not every fault was met", len(theirs.faults) != len(FAULTS) and count >= 20_000),
        ("requests are counted differently", ours.requests != theirs.api_requests),
        ("more were in flight than allowed", theirs.peak_in_flight > concurrency),
        ("connections are left open", theirs.connections_open != 0),
    ]
    return [f"concurrency {concurrency}: {what}" for what, is_so in wrong if is_so]


async def retrieve(count: int, concurrency: int) -> Outcome:
    """Retrieve `count` ids from a simulator with all faults."""
    simulated = SimulatorSettings(
        quota=None, faults=FAULTS, seed=concurrency, fault_seconds=0.5, drip_gap=0.001, late_seconds=0.05
    )
    seen: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    started = time.perf_counter()
    ids = (f"recording-{number:06}" for number in range(count))
    async with Simulator(simulated) as simulator:
        async with MediaRetriever(settings_for(simulator)) as retriever:
            async with retriever.retrieve_many(ids, concurrency=concurrency) as results:
                async for result in results:
                    seen[result.file_id] += 1
                    if result.error is not None:
                        failed[result.error.code] += 1
            ours = retriever.statistics()
        theirs = simulator.counts
    return Outcome(seen, failed, ours, theirs, time.perf_counter() - started)


def settings_for(simulator: Simulator) -> Settings:
    """Return settings for a simulator, with enough quick retries for all faults."""
    return Settings(
        client_id="demo-client",
        client_secret="demo-secret",
        base_url=simulator.base_url,
        login_url=simulator.login_url,
        quota=None,
        timeout=5.0,
        retry=RetryPolicy(max_attempts=12, base_delay=0.01, max_delay=0.2),
    )


def main() -> None:
    """Print a row for each concurrency."""
    parser = parser_of("soak", "Every id gets exactly one result, under all faults at once.")
    parser.add_argument("--ids", type=at_least_one, default=20_000, metavar="N")
    parser.add_argument("--concurrency", type=at_least_one, nargs="+", default=[4, 16, 64], metavar="N")
    options = parser.parse_args()
    print(f"{describe_briefly()}\n")
    print("| workers | ids | retrieved | failed permanently | faults met | requests sent | requests received | s |")
    print("| --: | --: | --: | :-- | :-- | --: | --: | --: |")
    wrong = [what for concurrency in options.concurrency for what in anyio.run(soak, options.ids, concurrency)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
