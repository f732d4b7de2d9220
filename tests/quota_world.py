"""
A world to hold the quota account against: servers that count, latency, workers, and others with the same token.

Discrete events on a heap, without asyncio, so that a run of 3,000 requests takes hundredths of a second. The windows
are the simulator's own; a bucket and a pair of limits are added here.
"""

from __future__ import annotations

import copy
import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from genesys_media_async.quota import Permit, QuotaAccount, Reading
from genesys_media_async.simulator.quota import AlignedWindow, Charge, FixedWindow, QuotaWindow, SlidingWindow
from genesys_media_async.simulator.settings import Quota

GUARD = 1.0
TYPICAL_WAY_THERE = 0.06
Latency = Callable[[random.Random], tuple[float, float]]


class TokenBucket:
    """Starts full and is refilled evenly; says how much is missing and when it would be full again."""

    def __init__(self, quota: Quota) -> None:
        self._limit = quota.limit
        self._rate = quota.limit / quota.seconds
        self._level = float(quota.limit)
        self._at = 0.0

    def charge(self, now: float) -> Charge:
        self._level = min(self._limit, self._level + (now - self._at) * self._rate)
        self._at = now
        allowed = self._level >= 1 - 1e-9
        self._level -= allowed
        missing = self._limit - self._level
        return Charge(allowed, math.ceil(missing - 1e-9), (missing if allowed else 1 - self._level) / self._rate)


class Both:
    """Two limits at once; the headers are the first one's, and the second is the lower or the shorter one."""

    def __init__(self, first: QuotaWindow, second: QuotaWindow) -> None:
        self._first = first
        self._second = second

    def charge(self, now: float) -> Charge:
        charge = self._first.charge(now)
        if not charge.allowed:
            return charge
        second = self._second.charge(now)
        return charge if second.allowed else Charge(False, charge.count, second.reset_in)


def server(kind: str, limit: int = 300, seconds: float = 60.0) -> QuotaWindow:
    quota = Quota(limit, seconds)
    match kind:
        case "fixed":
            return FixedWindow(quota)
        case "aligned":
            return AlignedWindow(quota, 17.0)
        case "sliding":
            return SlidingWindow(quota)
        case "bucket":
            return TokenBucket(quota)
        case "two":
            return Both(FixedWindow(quota), TokenBucket(Quota(1_000, seconds)))
    raise ValueError(kind)


def constant(_: random.Random) -> tuple[float, float]:
    return 0.06, 0.06


def log_normal(rng: random.Random) -> tuple[float, float]:
    whole = 0.12 * math.exp(0.5 * rng.gauss(0, 1))
    there = rng.random()
    return whole * there, whole * (1 - there)


def stalling(rng: random.Random) -> tuple[float, float]:
    """Now and then a reply that takes twenty seconds to come back."""
    return (0.06, 20.0) if rng.random() < 0.002 else log_normal(rng)


LATENCIES: dict[str, Latency] = {"constant": constant, "log-normal": log_normal, "stalling": stalling}


class Headers:
    """
    What the server's headers say of a charge: the truth, nothing, or one of four kinds of nonsense.

    Each number of an adversarial one is for itself the truth, about the truth, any small number, or an absurd one.
    """

    def __init__(self, kind: str, limit: int, seed: int = 99) -> None:
        self._kind = kind
        self._limit = limit
        self._rng = random.Random(seed)
        # Some are mostly right, so that they are believed for a while.
        self._honesty = self._rng.choice([0.0, 0.5, 0.9, 0.99])
        self._last: Reading | None = None
        self._told = 0

    def of(self, charge: Charge) -> Reading | None:
        # Published traces show the reset a second beyond the window: rounded down, plus one.
        truth = Reading(charge.count, self._limit, math.floor(charge.reset_in) + 1)
        before, self._last = self._last, truth
        match self._kind:
            case "on":
                return truth
            case "stuck":
                return Reading(1, self._limit, 61)
            case "vanishing":
                self._told += 1
                return truth if self._told <= 400 else None
            case "late":
                return before
            case "random":
                allowed = self._rng.choice([300, 300, 5, 1_000])
                return Reading(self._rng.randrange(400), allowed, self._rng.randrange(-5, 90))
            case "adversarial":
                return Reading(*map(self._twist, (truth.count, truth.allowed, truth.reset)))
        return None

    def _twist(self, true: int) -> int:
        rng = self._rng
        if rng.random() < self._honesty:
            return true
        return rng.choice(
            [true + rng.randrange(-3, 4), rng.randrange(2 * self._limit), -true, 0, 1, 10**400, -(10**400)]
        )


class Account(Protocol):
    def take(self, now: float) -> Permit | None: ...
    def next_chance(self, now: float) -> float: ...
    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None: ...
    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool: ...


def twin_of(window: QuotaWindow) -> QuotaWindow:
    """A copy to ask what would be; deepcopy would take most of a run's time."""
    twin = copy.copy(window)
    for name, value in vars(window).items():
        if isinstance(value, deque):
            setattr(twin, name, value.copy())
        elif hasattr(value, "charge"):
            setattr(twin, name, twin_of(value))
    return twin


class Clairvoyant:
    """A client that knows how much room the server will have when its request arrives, but not who comes in between."""

    def __init__(self, window: QuotaWindow, limit: int) -> None:
        self._window = window
        self._limit = limit
        self._in_flight = 0
        self._looked_at = -math.inf
        self._seen = (0, 0.0)

    def _look(self, now: float) -> tuple[int, float]:
        if now != self._looked_at:
            charge = twin_of(self._window).charge(now + TYPICAL_WAY_THERE)
            self._seen = (self._limit - charge.count + 1 if charge.allowed else 0), now + charge.reset_in
            self._looked_at = now
        return self._seen

    def take(self, now: float) -> Permit | None:
        if self._look(now)[0] <= self._in_flight:
            return None
        self._in_flight += 1
        return Permit(now, 0, 0, 0, is_probe=False)

    def next_chance(self, now: float) -> float:
        room, resets_at = self._look(now)
        return resets_at if room <= self._in_flight else now + 1e-6

    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._in_flight -= 1
        self._looked_at = -math.inf

    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool:
        self._in_flight -= 1
        self._looked_at = -math.inf
        return True


class SafeAccount:
    """The fastest schedule that is safe whatever the server counts in: charged until a window after the reply."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._in_flight = 0
        self._spent: deque[float] = deque()

    def take(self, now: float) -> Permit | None:
        while self._spent and self._spent[0] <= now:
            self._spent.popleft()
        if self._in_flight + len(self._spent) >= self._limit:
            return None
        self._in_flight += 1
        return Permit(now, 0, 0, 0, is_probe=False)

    def next_chance(self, now: float) -> float:
        if self._in_flight + len(self._spent) < self._limit:
            return now
        return self._spent[0] if self._spent else math.inf

    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._in_flight -= 1
        self._spent.append(now + self._seconds)

    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool:
        raise AssertionError("what is safe against every server was refused")


@dataclass
class Outcome:
    """How a run went: seconds until the last reply, and the 429s on the way."""

    seconds: float = 0.0
    refused: int = 0
    most_in_flight: int = 0


@dataclass
class World:
    """`requests` pieces of work done by `workers` against one server; `foreign` requests a second come from others."""

    window: QuotaWindow
    latency: Latency = constant
    workers: int = 50
    requests: int = 3_000
    foreign: float = 0.0
    headers: str = "off"
    limit: int = 300
    seed: int = 1
    _events: list = field(default_factory=list)
    _order: itertools.count = field(default_factory=itertools.count)

    def _at(self, time: float, what: str, *details) -> None:
        heapq.heappush(self._events, (time, next(self._order), what, details))

    def run(self, account: Account) -> Outcome:
        rng, foreign_rng = random.Random(self.seed), random.Random(self.seed + 76)
        headers = Headers(self.headers, self.limit, self.seed + 98)
        outcome = Outcome()
        idle, to_do, done, in_flight = self.workers, self.requests, 0, 0
        wake_at: float | None = 0.0
        self._at(0.0, "wake")
        if self.foreign:
            self._at(foreign_rng.expovariate(self.foreign), "foreign")
        while done < self.requests:
            now, _, what, details = heapq.heappop(self._events)
            if what in {"arrive", "foreign"}:
                self._count(now, foreign_rng, headers, *details)
                continue
            if what == "reply":
                permit, charge, reading = details
                in_flight -= 1
                idle += 1
                if charge.allowed:
                    account.spend(permit, now, reading)
                    done += 1
                else:
                    outcome.refused += 1
                    account.refuse(permit, now, max(1, math.floor(charge.reset_in)) + GUARD)
                    to_do += 1
            elif wake_at is not None and now >= wake_at:
                wake_at = None
            while idle and to_do and (permit := account.take(now)) is not None:
                idle, to_do, in_flight = idle - 1, to_do - 1, in_flight + 1
                outcome.most_in_flight = max(outcome.most_in_flight, in_flight)
                there, back = self.latency(rng)
                self._at(now + there, "arrive", permit, back)
            if idle and to_do:
                chance = account.next_chance(now)
                assert chance > now, "the account says that now is the time, and gives no permit"
                if chance < math.inf and (wake_at is None or chance < wake_at):
                    wake_at = chance
                    self._at(chance, "wake")
            outcome.seconds = now
        return outcome

    def _count(self, now: float, foreign_rng: random.Random, headers: Headers, *ours) -> None:
        charge = self.window.charge(now)
        if ours:
            permit, back = ours
            self._at(now + back, "reply", permit, charge, headers.of(charge))
        else:
            self._at(now + foreign_rng.expovariate(self.foreign), "foreign")

    def floor(self) -> float:
        """
        The time of a client that knows what the server will answer, when it is alone.

        One worker waits for each reply and so loses time to latency; fifty or more lose none.
        """
        rng, foreign_rng = random.Random(self.seed), random.Random(self.seed + 76)
        next_foreign = foreign_rng.expovariate(self.foreign) if self.foreign else math.inf
        now, done = 0.0, 0
        there, back = self.latency(rng) if self.workers == 1 else (0.0, 0.0)
        while True:
            arrives = now + there
            while next_foreign <= arrives:
                self.window.charge(next_foreign)
                next_foreign += foreign_rng.expovariate(self.foreign)
            charge = self.window.charge(arrives)
            if not charge.allowed:
                now = arrives + charge.reset_in - there
                continue
            done += 1
            if done == self.requests:
                return arrives + back
            now = arrives + back
            there, back = self.latency(rng) if self.workers == 1 else (0.0, 0.0)


def account() -> QuotaAccount:
    return QuotaAccount(300, 60.0)
