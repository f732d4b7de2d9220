"""
A quota spent by one strategy after another: seconds, and requests refused, beside the least that is possible.

    python benchmarks/quota.py                     the table, then half a minute over real sockets
    python benchmarks/quota.py --no-real           the table alone, all of it in virtual time
    python benchmarks/quota.py --picture           how the first three windows are filled, as text
    python benchmarks/quota.py --json              one JSON object a line instead of tables

3,000 requests by 50 workers under 300 in 60 s. Every strategy is asyncio code that runs on a virtual clock against a
simulated server: half of a log-normal latency (median 120 ms, sigma 0.5), the quota's answer, the other half. A refusal
says Retry-After in whole seconds, rounded down, but at least 1; a refused request is sent again until it is accepted.
Each number is the median over some seeds; the same seed gives the same numbers.

The windows: `fixed` opens with a request; `sliding` looks back from each; `clock` is fixed to the wall clock and was
17 s old at the start. With headers, each reply has truthful `inin-ratelimit-*`. The others' requests come at random,
1.5 a second on average, 30 % of the quota, and are not sent again.

The floor is the time of a client that knows when the server will accept and has no latency. Where others are, it leaves
them nothing: it takes the whole of each window in the instant in which it opens. A client with latency cannot, so that
some of each window goes to them; and since 3,000 are ten windows exactly, the first request so lost costs an eleventh:
600 s are then the least. Try --requests 2800, too.

`adaptive` follows the adaptive retry mode of the AWS SDKs as their guide and botocore's `retries` describe it: a token
bucket, dormant until the first refusal, whose rate follows CUBIC.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html and https://www.rfc-editor.org/rfc/rfc9438
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, astuple, dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Protocol, TypeAlias

import backoff
from aiolimiter import AsyncLimiter
from command_line import at_least_one

from genesys_media_async import MediaRetriever, QuotaLimit, Settings, ValidationRule
from genesys_media_async.api.retry import pause_after_429
from genesys_media_async.clock import SystemClock, VirtualClock
from genesys_media_async.governor import LocalLimiter
from genesys_media_async.quota import Reading
from genesys_media_async.simulator import Quota, Simulator, SimulatorSettings
from genesys_media_async.simulator.quota import AlignedWindow, FixedWindow, QuotaWindow, SlidingWindow, retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from genesys_media_async.clock import Clock
    from genesys_media_async.retrieval.retriever import TransportChoice

LIMIT, SECONDS = 300, 60.0
FOREIGN_RATE = 1.5
CLOCK_PHASE = 17.0
MEDIAN_LATENCY, SIGMA = 0.12, 0.5
SMALLEST_STEP = 1e-9
SLOT = 2.0
BLOCKS, NONE, REFUSED = "▁▂▃▄▅▆▇█", "·", "×"  # noqa: RUF001


@dataclass(frozen=True)
class Reply:
    """What a client sees of one exchange; `retry_after` is None unless it was refused."""

    retry_after: int | None
    reading: Reading | None


Exchange: TypeAlias = "Callable[[], Awaitable[Reply]]"


class Strategy(Protocol):
    """One way of keeping to a quota, shared by all workers."""

    async def send(self, exchange: Exchange) -> None:
        """Send one request, again and again until it is accepted."""
        ...


class Ours:
    """The package's governor."""

    def __init__(self, clock: Clock) -> None:
        self._governor = LocalLimiter(QuotaLimit(limit=LIMIT, seconds=SECONDS), clock)

    async def send(self, exchange: Exchange) -> None:
        """Send when there is a permit; a refusal pauses everybody."""
        while True:
            permit = await self._governor.acquire(deadline=math.inf)
            reply = await exchange()
            if reply.retry_after is None:
                self._governor.spend(permit, reply.reading)
                return
            self._governor.refuse(permit, pause_after_429(reply.retry_after, 1))


class SleepRetryAfter:
    """Each worker that is refused sleeps for as long as it was told; before each try it may have to pass a limiter."""

    def __init__(self, clock: Clock, limiter: Callable[[], AsyncLimiter] | None = None) -> None:
        self._clock = clock
        self._limiter = limiter and limiter()

    async def send(self, exchange: Exchange) -> None:
        """Send at once, or when the limiter says so."""
        while True:
            if self._limiter is not None:
                await self._limiter.acquire()
            reply = await exchange()
            if reply.retry_after is None:
                return
            await self._clock.sleep(reply.retry_after)


class TooManyRequests(Exception):
    """A refusal, for those who retry by exceptions."""


class BackOff:
    """
    Exponential back-off with full jitter, which pays no attention to Retry-After.

    Its waits are bounded by the window, which is kind to it: as `backoff` has it by default they grow for ever.
    """

    @backoff.on_exception(backoff.expo, TooManyRequests, max_value=SECONDS, logger=None)
    async def send(self, exchange: Exchange) -> None:
        """Send at once."""
        reply = await exchange()
        if reply.retry_after is not None:
            raise TooManyRequests


class CubicRate:
    """What a client may send a second, learnt from refusals: CUBIC over the rate it has measured of itself."""

    SCALE, BETA, SMOOTHING, SLOT, LEAST, LEAP = 0.4, 0.7, 0.8, 0.5, 0.5, 2.0

    def __init__(self) -> None:
        self._rate_at_refusal = self._refused_at = self._measured = 0.0
        self._slot = self._replies = 0

    def learn(self, now: float, rate: float, *, refused: bool) -> float:
        """Return the rate after a reply, given the one that was in force."""
        self._measure(now)
        if refused:
            self._rate_at_refusal = min(self._measured, rate)
            self._refused_at = now
            rate = self.BETA * self._rate_at_refusal
        else:
            flat_after = math.cbrt(self._rate_at_refusal * (1 - self.BETA) / self.SCALE)
            rate = self.SCALE * (now - self._refused_at - flat_after) ** 3 + self._rate_at_refusal
        return max(self.LEAST, min(rate, self.LEAP * self._measured))

    def _measure(self, now: float) -> None:
        self._replies += 1
        slot = math.floor(now / self.SLOT)
        if slot > self._slot:
            rate = self._replies / ((slot - self._slot) * self.SLOT)
            self._measured += self.SMOOTHING * (rate - self._measured)
            self._slot, self._replies = slot, 0


class TokenBucket:
    """Holds what its rate yields in a second, but at least one token."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._turn = clock, asyncio.Lock()
        self._rate, self._tokens, self._filled_at = 1.0, 0.0, 0.0

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._fill()
        self._rate = rate
        self._tokens = min(self._tokens, max(1.0, rate))

    async def take(self) -> None:
        """Wait for a token."""
        async with self._turn:
            while self._fill() < 1:
                # In short steps, since the rate may change meanwhile.
                await self._clock.sleep(min(0.1, (1 - self._tokens) / self._rate))
            self._tokens -= 1

    def _fill(self) -> float:
        now = self._clock.monotonic()
        self._tokens = min(max(1.0, self._rate), self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return self._tokens


class Adaptive:
    """A token bucket that is filled at the `CubicRate`, and back-off with full jitter after a refusal."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._bucket, self._cubic = clock, TokenBucket(clock), CubicRate()
        self._awake = False

    async def send(self, exchange: Exchange) -> None:
        """Send when the bucket, once it is awake, has a token."""
        longest_wait = 1.0
        while True:
            if self._awake:
                await self._bucket.take()
            refused = (await exchange()).retry_after is not None
            rate = self._bucket.rate if self._awake else math.inf
            self._bucket.rate = self._cubic.learn(self._clock.monotonic(), rate, refused=refused)
            self._awake |= refused
            if not refused:
                return
            await self._clock.sleep(random.uniform(0.0, longest_wait))
            longest_wait = min(20.0, 2 * longest_wait)


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
    """What the server counts in, what it tells, and who else has the token."""

    open_window: Callable[[Quota], QuotaWindow]
    headers: bool = False
    foreign_rate: float = 0.0


SCENARIOS = {
    "fixed": Scenario(FixedWindow),
    "fixed, headers": Scenario(FixedWindow, headers=True),
    "sliding": Scenario(SlidingWindow),
    "clock, headers": Scenario(partial(AlignedWindow, phase=CLOCK_PHASE), headers=True),
    "fixed, headers, others": Scenario(FixedWindow, headers=True, foreign_rate=FOREIGN_RATE),
}


class Server:
    """The simulated server, and the way there and back."""

    def __init__(self, scenario: Scenario, clock: Clock, seed: int) -> None:
        self._scenario = scenario
        self._clock = clock
        self._window = scenario.open_window(Quota(LIMIT, SECONDS))
        self._latency = random.Random(seed)
        self._foreign = foreign_times(scenario, seed)
        self.accepted: list[float] = []
        self.refused: list[float] = []

    async def exchange(self) -> Reply:
        """Answer one request."""
        latency = MEDIAN_LATENCY * math.exp(self._latency.gauss(0.0, SIGMA))
        await self._clock.sleep(latency / 2)
        now = self._clock.monotonic()
        charge = self._window.charge(now)
        (self.accepted if charge.allowed else self.refused).append(now)
        await self._clock.sleep(latency / 2)
        reading = Reading(charge.count, LIMIT, math.floor(charge.reset_in) + 1) if self._scenario.headers else None
        return Reply(None if charge.allowed else retry_after(charge, "down"), reading)

    async def serve_others(self) -> None:
        """Charge what others send."""
        for at in self._foreign:
            await self._clock.sleep(at - self._clock.monotonic())
            self._window.charge(at)


def foreign_times(scenario: Scenario, seed: int) -> Iterator[float]:
    """Yield when others send; for ever, unless there are none."""
    rng, at = random.Random(-seed), 0.0
    while scenario.foreign_rate:
        at += rng.expovariate(scenario.foreign_rate)
        yield at


def floor_of(scenario: Scenario, requests: int, seed: int) -> float:
    """Return when a client would be done that has no latency and sends exactly when it is going to be accepted."""
    window, foreign = scenario.open_window(Quota(LIMIT, SECONDS)), foreign_times(scenario, seed)
    now, next_foreign, done = 0.0, next(foreign, math.inf), 0
    while True:
        while next_foreign < now:
            window.charge(next_foreign)
            next_foreign = next(foreign)
        charge = window.charge(now)
        done += charge.allowed
        if done == requests:
            return now
        if not charge.allowed:
            now += max(SMALLEST_STEP, charge.reset_in)


@dataclass(frozen=True)
class Outcome:
    """How one run went, or the median of several."""

    seconds: float
    floor: float
    percent_of_floor: float
    refused: float


async def spend(strategy: Strategy, server: Server, requests: int, workers: int) -> None:
    """Let the workers send all requests."""
    to_do = iter(range(requests))

    async def work() -> None:
        for _ in to_do:
            await strategy.send(server.exchange)

    others = asyncio.create_task(server.serve_others())
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    others.cancel()


def run(strategy: str, scenario: Scenario, requests: int, workers: int, seed: int) -> tuple[Outcome, Server]:
    """Run one strategy once, in virtual time."""
    clock = VirtualClock()
    server = Server(scenario, clock, seed)
    random.seed(seed)

    async def main() -> float:
        await spend(STRATEGIES[strategy](clock), server, requests, workers)
        return clock.monotonic()

    seconds, floor = clock.run(main()), floor_of(scenario, requests, seed)
    return Outcome(seconds, floor, 100 * floor / seconds, len(server.refused)), server


def middle(outcomes: list[Outcome]) -> Outcome:
    """Return the median of each number."""
    return Outcome(*(median(values) for values in zip(*map(astuple, outcomes), strict=True)))


def print_table(options: argparse.Namespace) -> None:
    """Run every strategy in every scenario and print a row for each as soon as it is known."""
    seeds = range(options.seed, options.seed + options.seeds)
    if not options.json:
        floors = [median(floor_of(each, options.requests, seed) for seed in seeds) for each in SCENARIOS.values()]
        print(f"| {options.requests:,} requests, {options.workers} workers | " + " | ".join(SCENARIOS) + " |")
        print("| :-- |" + " --: |" * len(SCENARIOS))
        print("| floor | " + " | ".join(f"{floor:.0f} s" for floor in floors) + " |")
    for strategy in STRATEGIES:
        cells: list[str] = []
        for name, scenario in SCENARIOS.items():
            runs = [run(strategy, scenario, options.requests, options.workers, seed)[0] for seed in seeds]
            outcome = middle(runs)
            cells.append(f"{outcome.seconds:.0f} s, {outcome.percent_of_floor:.1f} %, {outcome.refused:,.0f}")
            if options.json:
                print(json.dumps({"strategy": plain(strategy), "scenario": name, **asdict(outcome)}), flush=True)
        if not options.json:
            print(f"| {strategy} | " + " | ".join(cells) + " |", flush=True)


def print_picture(options: argparse.Namespace) -> None:
    """Print what was accepted and refused in the first three windows of the fixed kind."""
    slots, per_window = round(3 * SECONDS / SLOT), round(SECONDS / SLOT)
    print(f"Accepted in each {SLOT:g} s: {BLOCKS[0]} a few, {BLOCKS[-1]} {LIMIT}, {NONE} none; {REFUSED} some refused")
    for strategy in PICTURED:
        _, server = run(strategy, SCENARIOS["fixed"], options.requests, options.workers, options.seed)
        accepted, refused = (Counter(int(at // SLOT) for at in times) for times in (server.accepted, server.refused))
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
    """Let the whole package get its URLs from the simulator, over sockets or without."""
    world = SimulatorSettings(quota=REAL_QUOTA, latency=(0.03, 0.3))
    async with AsyncExitStack() as stack:
        simulator = Simulator(world, clock=clock)
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
    """Do the same in real time and in virtual time, to show that the one tells of the other."""
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
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="A quota spent by one strategy after another.")
    parser.add_argument("--requests", type=at_least_one, default=3_000, metavar="N")
    parser.add_argument("--workers", type=at_least_one, default=50, metavar="N")
    parser.add_argument("--seed", type=at_least_one, default=1, metavar="N", help="the first seed")
    parser.add_argument("--seeds", type=at_least_one, default=3, metavar="N", help="how many; the median is printed")
    parser.add_argument(
        "--real", action=argparse.BooleanOptionalAction, default=True, help="half a minute of real time"
    )
    parser.add_argument("--picture", action="store_true", help="how the first three windows are filled, and no table")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of tables")
    options = parser.parse_args()
    if options.picture:
        print_picture(options)
        return
    if not options.json:
        print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}")
        print()
    print_table(options)
    if not options.json:
        print(f"\nTime, share of the floor, refusals (429); {time.process_time():.0f} s of CPU.")
    if options.real:
        print_real(options)


if __name__ == "__main__":
    main()
