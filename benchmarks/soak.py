"""
Every id has its one result, over real sockets, under every fault at once; the simulator's counts must agree with ours.

    python benchmarks/soak.py                      20,000 ids at each of three concurrencies (some minutes)
    python benchmarks/soak.py --ids 2000           quicker
    python benchmarks/soak.py --concurrency 8      one row

No quota, so that nothing but the faults stands in the way. Ends with exit code 1, and says what is wrong, if an id has
no result or two, or if the two sides count differently.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import Counter

import anyio
from command_line import at_least_one

from genesys_media_async import MediaRetriever, Settings
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings

FAULT_SHARE = 0.01
# Each of these stops or fails everybody for a while, so that a few go a long way.
RARE = {Fault.TOO_MANY_REQUESTS: 2e-4, Fault.TOO_MANY_REQUESTS_NO_HEADER: 2e-4, Fault.TOKEN_EXPIRED: 5e-4}
FAULTS = dict.fromkeys(Fault, FAULT_SHARE) | RARE


async def soak(count: int, concurrency: int) -> list[str]:
    """Retrieve `count` ids, print a row, and return what is wrong."""
    simulated = SimulatorSettings(
        quota=None, faults=FAULTS, seed=concurrency, fault_seconds=0.5, drip_gap=0.001, late_seconds=0.05
    )
    seen: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    started = time.perf_counter()
    async with Simulator(simulated) as simulator:
        settings = Settings.model_validate(
            {
                "client_id": "demo-client",
                "client_secret": "demo-secret",
                "base_url": simulator.base_url,
                "login_url": simulator.login_url,
                "quota": None,
                "timeout": 5.0,
                "retry": {"tries": 12, "base": 0.01, "longest": 0.2},
            }
        )
        ids = (f"recording-{number:06}" for number in range(count))
        async with MediaRetriever(settings) as retriever:
            async with retriever.retrieve_many(ids, concurrency=concurrency) as results:
                async for result in results:
                    seen[result.file_id] += 1
                    if result.error is not None:
                        failed[result.error.code] += 1
            ours = retriever.statistics()
        theirs = simulator.counts
    seconds = time.perf_counter() - started
    words = ", ".join(f"{code} {number}" for code, number in failed.most_common()) or "none"
    faults = sum(theirs.faults.values())
    print(
        f"| {concurrency} | {count:,} | {ours.succeeded:,} | {words} | {faults:,} of {len(theirs.faults)} kinds "
        f"| {ours.requests:,} | {theirs.api_requests:,} | {seconds:.0f} |",
        flush=True,
    )
    wrong = [
        ("an id has no result, or more than one", len(seen) != count or set(seen.values()) != {1}),
        ("not every fault was met", len(theirs.faults) != len(FAULTS) and count >= 20_000),
        ("requests are counted differently", ours.requests != theirs.api_requests),
        ("more were in flight than allowed", theirs.peak_in_flight > concurrency),
        ("connections are left open", theirs.connections_open != 0),
    ]
    return [f"concurrency {concurrency}: {what}" for what, is_so in wrong if is_so]


def main() -> None:
    """Print a row for each concurrency."""
    parser = argparse.ArgumentParser(description="Every id has its one result, under every fault at once.")
    parser.add_argument("--ids", type=at_least_one, default=20_000, metavar="N")
    parser.add_argument("--concurrency", type=at_least_one, nargs="+", default=[4, 16, 64], metavar="N")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
    print()
    print("| workers | ids | retrieved | failed for good | faults met | requests, ours | the simulator's | s |")
    print("| --: | --: | --: | :-- | :-- | --: | --: | --: |")
    wrong = [what for concurrency in options.concurrency for what in anyio.run(soak, options.ids, concurrency)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
