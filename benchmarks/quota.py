"""
One quota, and the strategies that keep to it: seconds, and refused requests, beside the least possible time.

    python -m benchmarks.quota                     the table, then half a minute over real sockets
    python -m benchmarks.quota --no-real           the table alone, all of it in virtual time
    python -m benchmarks.quota --picture           how the first three windows are filled, as text
    python -m benchmarks.quota --json              one JSON object a line instead of tables

3,000 requests by 50 workers under 300 in 60 s. Every strategy is asyncio code that runs on a virtual clock against a
model of a server: half of a log-normal latency (median 120 ms, sigma 0.5), the quota's answer, the other half. A
refusal carries Retry-After in whole seconds, rounded down, but at least 1; a refused request is sent again until it is
accepted. Each number is the median over some seeds; the same seed gives the same numbers.

The windows: `fixed` opens with a request; `sliding` looks back from each; `clock` is aligned to the wall clock and was
17 s old at the start. With headers, each reply has true `inin-ratelimit-*`. The requests of others arrive at random,
1.5 a second on average, 30 % of the quota, and are not sent again.

The floor is the time of a client that knows every answer ahead of time and has no latency. Others' requests that were
accepted in a run are accepted beside its floor as well, so that a strategy gains nothing by starving others: where
there are others, each run has a floor of its own, and the table shows their range. It is the floor of the tests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, astuple, dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from genesys_media_async import MediaRetriever, QuotaLimit, Settings, ValidationRule
from genesys_media_async.clock import SystemClock, VirtualClock
from genesys_media_async.simulator import Quota, Simulator, SimulatorSettings
from genesys_media_async.simulator.quota import retry_after
from genesys_media_async.simulator.quota_models import (
    LIMIT,
    SECONDS,
    QuotaServer,
    floor_seconds,
    header_values,
    quota_window,
    random_arrivals,
    symmetric_log_normal,
)

from .harness.command_line import at_least_one, parser_of
from .harness.machine import describe_briefly
from .quota_strategies.adaptive import Adaptive
from .quota_strategies.backoff import BackOff
from .quota_strategies.base import Reply
from .quota_strategies.ours import Ours
from .quota_strategies.sleep import SleepRetryAfter

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.clock import Clock
    from genesys_media_async.transports.choice import TransportChoice

    from .quota_strategies.base import Strategy

OTHERS_RATE = 1.5
SLOT = 2.0
BLOCKS, NONE, REFUSED = "▁▂▃▄▅▆▇█", "·", "×"  # noqa: RUF001 - the multiplication sign is meant

STRATEGIES: dict[str, Callable[[Clock], Strategy]] = {
    "**ours**": Ours,
    "back-off with full jitter": lambda _: BackOff(),
    "each worker sleeps Retry-After": SleepRetryAfter,
    "`AsyncLimiter(300, 60)`, Retry-After": partial(SleepRetryAfter, limiter=partial(AsyncLimiter, 300, 60)),
    "`AsyncLimiter(1, 0.2)`, Retry-After": partial(SleepRetryAfter, limiter=partial(AsyncLimiter, 1, 0.2)),
    "half the quota: `AsyncLimiter(150, 60)`": partial(SleepRetryAfter, limiter=partial(AsyncLimiter, 150, 60)),
    "adaptive, after botocore": Adaptive,
}
PICTURED = ("**ours**", "`AsyncLimiter(300, 60)`, Retry-After", "each worker sleeps Retry-After")


@dataclass(frozen=True)
class Scenario:
    """The server's kind of window, as `quota_window` names it, its headers, and others with the same token."""

    kind: str
    headers: bool = False
    others_rate: float = 0.0


SCENARIOS = {
    "fixed": Scenario("fixed"),
    "fixed, headers": Scenario("fixed", headers=True),
    "sliding": Scenario("sliding"),
    "clock, headers": Scenario("aligned", headers=True),
    "fixed, headers, others": Scenario("fixed", headers=True, others_rate=OTHERS_RATE),
}


class Server:
    """The model of a server, and the way there and back on a clock."""

    def __init__(self, scenario: Scenario, clock: Clock, seed: int) -> None:
        others = random_arrivals(scenario.others_rate, random.Random(f"{seed} others"))
        self.model = QuotaServer(quota_window(scenario.kind), others)
        self._has_headers = scenario.headers
        self._clock = clock
        self._latency = random.Random(seed)

    async def exchange(self) -> Reply:
        """Answer one request."""
        there, back = symmetric_log_normal(self._latency)
        await self._clock.sleep(there)
        charge = self.model.charge(self._clock.monotonic())
        await self._clock.sleep(back)
        count, allowed, reset = header_values(charge, LIMIT)
        headers = {
            "inin-ratelimit-count": str(count),
            "inin-ratelimit-allowed": str(allowed),
            "inin-ratelimit-reset": str(reset),
        }
        return Reply(None if charge.allowed else retry_after(charge, "down"), headers if self._has_headers else None)


@dataclass(frozen=True)
class Outcome:
    """The numbers of one run, or the medians of several; `refused` counts 429s."""

    seconds: float
    floor: float
    percent_of_floor: float
    refused: float
    others_refused: float = 0.0


async def spend(strategy: Strategy, server: Server, requests: int, workers: int) -> None:
    """Let the workers send all requests."""
    to_do = iter(range(requests))

    async def work() -> None:
        for _ in to_do:
            await strategy.send(server.exchange)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


def run(strategy: str, scenario: Scenario, requests: int, workers: int, seed: int) -> tuple[Outcome, QuotaServer]:
    """Run one strategy once, in virtual time."""
    clock = VirtualClock()
    server = Server(scenario, clock, seed)
    random.seed(seed)

    async def main() -> float:
        await spend(STRATEGIES[strategy](clock), server, requests, workers)
        return clock.monotonic()

    seconds, model = clock.run(main()), server.model
    model.charge_others(seconds)
    floor = floor_seconds(scenario.kind, model.others_accepted, requests, workers, symmetric_log_normal)
    return Outcome(seconds, floor, 100 * floor / seconds, len(model.refused), len(model.others_refused)), model


def middle(outcomes: list[Outcome]) -> Outcome:
    """Return the median of each number."""
    return Outcome(*(median(values) for values in zip(*map(astuple, outcomes), strict=True)))


def run_all(options: argparse.Namespace) -> dict[str, dict[str, Outcome]]:
    """Run every strategy in every scenario; return the medians by strategy and by scenario."""
    seeds = range(options.seed, options.seed + options.seeds)

    def outcome_of(strategy: str, scenario: Scenario) -> Outcome:
        return middle([run(strategy, scenario, options.requests, options.workers, seed)[0] for seed in seeds])

    return {
        strategy: {name: outcome_of(strategy, scenario) for name, scenario in SCENARIOS.items()}
        for strategy in STRATEGIES
    }


def print_table(options: argparse.Namespace) -> None:
    """Print the Markdown table, or one JSON object for each of its cells."""
    outcomes = run_all(options)
    if options.json:
        for strategy, cells in outcomes.items():
            for name, outcome in cells.items():
                print(json.dumps({"strategy": plain(strategy), "scenario": name, **asdict(outcome)}))
        return
    print(f"{describe_briefly()}\n")
    print(f"| {options.requests:,} requests, {options.workers} workers | " + " | ".join(SCENARIOS) + " |")
    print("| :-- |" + " --: |" * len(SCENARIOS))
    floors = (range_of([cells[name].floor for cells in outcomes.values()]) for name in SCENARIOS)
    print("| floor | " + " | ".join(floors) + " |")
    for strategy, cells in outcomes.items():
        print(
            f"| {strategy} | " + " | ".join(cell_of(outcome, SCENARIOS[name]) for name, outcome in cells.items()) + " |"
        )
    print("\nTime, share of the floor, 429s; in the last column also others' 429s.", end=" ")
    print(f"{time.process_time():.0f} s of CPU.")


def cell_of(outcome: Outcome, scenario: Scenario) -> str:
    """Return the cell of one strategy in one scenario."""
    others = f", {outcome.others_refused:,.0f}" if scenario.others_rate else ""
    return f"{outcome.seconds:.0f} s, {outcome.percent_of_floor:.1f} %, {outcome.refused:,.0f}{others}"


def range_of(seconds: list[float]) -> str:
    """Return times as one number if all are equal, or as the least and the greatest."""
    least, greatest = f"{min(seconds):.0f}", f"{max(seconds):.0f}"
    return f"{least} s" if least == greatest else f"{least} to {greatest} s"


def print_picture(options: argparse.Namespace) -> None:
    """Print the accepted and refused requests in the first three windows of the fixed kind."""
    slots, per_window = round(3 * SECONDS / SLOT), round(SECONDS / SLOT)
    print(f"Accepted in each {SLOT:g} s: {BLOCKS[0]} a few, {BLOCKS[-1]} {LIMIT}, {NONE} none; {REFUSED} some refused")
    for strategy in PICTURED:
        _, model = run(strategy, SCENARIOS["fixed"], options.requests, options.workers, options.seed)
        accepted, refused = (Counter(int(at // SLOT) for at in times) for times in (model.accepted, model.refused))
        print(f"\n{plain(strategy)}: {sum(refused[slot] for slot in range(slots)):,} refused")
        print("".join(block_of(accepted[slot]) for slot in range(slots)))
        print("".join(REFUSED if refused[slot] else " " for slot in range(slots)).rstrip())
    print("│".ljust(per_window) * 3 + "│")
    print("".join(f"{number * SECONDS:g} s".ljust(per_window) for number in range(4)).rstrip())


def plain(name: str) -> str:
    """Return a strategy's name without its Markdown."""
    return name.replace("*", "").replace("`", "")


def block_of(count: int) -> str:
    """Return a block as high as the count is to the limit."""
    return BLOCKS[min(len(BLOCKS), math.ceil(count * len(BLOCKS) / LIMIT)) - 1] if count else NONE


REAL_QUOTA, REAL_REQUESTS = Quota(limit=60, seconds=3.0), 600


async def retrieve(workers: int, clock: Clock, *, sockets: bool) -> Outcome:
    """Let the whole package get its URLs from the simulator, over sockets or in-process."""
    async with AsyncExitStack() as stack:
        simulator = Simulator(SimulatorSettings(quota=REAL_QUOTA, latency=(0.03, 0.3)), clock=clock)
        if sockets:
            await stack.enter_async_context(simulator)
        settings = Settings.model_validate(
            {
                "client_id": "demo-client",
                "client_secret": "demo-secret",
                "base_url": simulator.base_url,
                "login_url": simulator.login_url,
                "quota": QuotaLimit(limit=REAL_QUOTA.limit, seconds=REAL_QUOTA.seconds),
                "concurrency": workers,
                "rule": ValidationRule(loopback_http=True),
            }
        )
        transport: TransportChoice = "auto" if sockets else simulator.transport()
        retriever = await stack.enter_async_context(MediaRetriever(settings, transport=transport, clock=clock))
        started = clock.monotonic()
        for result in await retriever.retrieve_all(f"recording-{number}" for number in range(REAL_REQUESTS)):
            result.unwrap()
        seconds = clock.monotonic() - started
    floor = math.ceil(REAL_REQUESTS / REAL_QUOTA.limit - 1) * REAL_QUOTA.seconds
    return Outcome(seconds, floor, 100 * floor / seconds, simulator.counts.refused_429)


def print_real(options: argparse.Namespace) -> None:
    """Run the whole package in virtual time and in real time, to show that both agree."""
    virtual = VirtualClock()
    outcomes = {
        "virtual": virtual.run(retrieve(options.workers, virtual, sockets=False)),
        "real, over sockets": asyncio.run(retrieve(options.workers, SystemClock(), sockets=True)),
    }
    if options.json:
        for name, outcome in outcomes.items():
            print(json.dumps({"strategy": "MediaRetriever", "time": name, **asdict(outcome)}))
        return
    print(f"\n| {REAL_REQUESTS} ids, {REAL_QUOTA.limit} in {REAL_QUOTA.seconds:g} s | time | floor | 429s |")
    print("| :-- | --: | --: | --: |")
    for name, outcome in outcomes.items():
        print(f"| {name} | {outcome.seconds:.2f} s | {outcome.floor:.0f} s | {outcome.refused:,.0f} |")


def main() -> None:
    """Print the tables or the picture."""
    parser = parser_of("quota", "One quota, and the strategies that keep to it.")
    parser.add_argument("--requests", type=at_least_one, default=3_000, metavar="N")
    parser.add_argument("--workers", type=at_least_one, default=50, metavar="N")
    parser.add_argument("--seed", type=at_least_one, default=1, metavar="N", help="the first seed")
    parser.add_argument("--seeds", type=at_least_one, default=3, metavar="N", help="number of seeds for each median")
    parser.add_argument(
        "--real", action=argparse.BooleanOptionalAction, default=True, help="also half a minute of real time"
    )
    parser.add_argument("--picture", action="store_true", help="show how three windows are filled, and no table")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of tables")
    options = parser.parse_args()
    if options.picture:
        print_picture(options)
        return
    print_table(options)
    if options.real:
        print_real(options)


if __name__ == "__main__":
    main()
