"""
A world to hold the quota account against: servers that count, latency, workers, and others with the same token.

Discrete events on a heap, without asyncio, so that a run of 3,000 requests takes hundredths of a second. The windows
are the simulator's own; a bucket and a pair of limits are added here.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.quota.headers import Reading
from genesys_media_async.quota.permit import Permit
from genesys_media_async.simulator.quota import AlignedWindow, Charge, FixedWindow, QuotaWindow, SlidingWindow
from genesys_media_async.simulator.settings import Quota

GUARD = 1.0
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
    def try_acquire(self, now: float) -> Permit | None: ...
    def next_attempt_at(self, now: float) -> float: ...
    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> None: ...
    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool: ...


class SafeAccount:
    """
    The fastest schedule that is safe whatever the server counts in: charged until a window after the reply.

    Where others are, it knows all their requests (`others`, in order) ahead of time, charges each for a window, too,
    and sends nothing for which one of them would have to be refused.
    """

    def __init__(self, limit: int, seconds: float, others: Sequence[float] = ()) -> None:
        self._limit = limit
        self._seconds = seconds
        self._in_flight = 0
        self._spent: deque[float] = deque()
        self._others = Others(others, limit, seconds)
        self._least_room = min(self._others.room, default=math.inf)
        self._chance = math.inf

    def try_acquire(self, now: float) -> Permit | None:
        while self._spent and self._spent[0] <= now:
            self._spent.popleft()
        counted, leaves_at = self._others.counted(now)
        if self._in_flight + len(self._spent) + counted >= self._limit:
            self._chance = min(self._spent[0] if self._spent else math.inf, leaves_at)
            return None
        charged = self._in_flight + len(self._spent)
        for at, room in self._others.to_come(now, least=charged) if charged >= self._least_room else ():
            if charged - bisect_right(self._spent, at) >= room:
                self._chance = math.nextafter(at, math.inf)
                return None
        self._in_flight += 1
        self._chance = now
        return Permit(now, 0, 0, 0, 0, is_probe=False)

    def next_attempt_at(self, now: float) -> float:
        return self._chance

    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._in_flight -= 1
        self._spent.append(now + self._seconds)

    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool:
        raise AssertionError("what is safe against every server was refused")


class Others:
    """The requests of others as a sliding window sees them, and the room that they leave when each of them comes."""

    def __init__(self, times: Sequence[float], limit: int, seconds: float) -> None:
        self.times = times
        self.leave = [each + seconds for each in times]
        self._seconds = seconds
        self.room = [limit - (number + 1 - bisect_right(self.leave, at)) for number, at in enumerate(times)]

    def counted(self, now: float) -> tuple[int, float]:
        """How many that came before `now` still count, and when the first of them leaves."""
        came, left = bisect_left(self.times, now), bisect_right(self.leave, now)
        return came - left, self.leave[left] if left < came else math.inf

    def span(self, now: float) -> tuple[int, int]:
        """Which of them come within a window of `now`."""
        return bisect_left(self.times, now), bisect_left(self.times, now + self._seconds)

    def to_come(self, now: float, *, least: int = 0) -> Iterator[tuple[float, int]]:
        """Those within a window of `now`, the last first, and the room each finds; none if always above `least`."""
        first, last = self.span(now)
        if min(self.room[first:last], default=math.inf) > least:
            return
        for number in range(last - 1, first - 1, -1):
            yield self.times[number], self.room[number]


class LeftOfWindows:
    """What a fixed window leaves, that opens with anybody's request, or at `phase` on the clock: all of it at once."""

    def __init__(self, others: Sequence[float], limit: int, seconds: float, phase: float | None = None) -> None:
        self._others = others
        self._limit = limit
        self._seconds = seconds
        self._phase = phase
        self._ends_at = -math.inf
        self._room = 0

    def earliest(self, at: float) -> float:
        """When a request that may be counted at `at` or later is accepted, and keeps none of the others out."""
        while True:
            if at >= self._ends_at:
                starts_at = self._opening(at)
                self._ends_at = starts_at + self._seconds
                theirs = bisect_left(self._others, self._ends_at) - bisect_left(self._others, starts_at)
                self._room = self._limit - theirs
            if self._room > 0:
                return at
            at = self._ends_at

    def _opening(self, at: float) -> float:
        if self._phase is not None:
            return math.floor((at + self._phase) / self._seconds) * self._seconds - self._phase
        number = bisect_left(self._others, self._ends_at)
        while number < len(self._others) and self._others[number] < at:
            opened_at = self._others[number]
            if opened_at + self._seconds > at:
                return opened_at
            number = bisect_left(self._others, opened_at + self._seconds)
        return at

    def count(self, at: float) -> None:
        self._room -= 1


class LeftOfSlidingWindow:
    """What a sliding window leaves: a slot is free when its request has left it and none of the others will need it."""

    def __init__(self, others: Sequence[float], limit: int, seconds: float) -> None:
        self._others = Others(others, limit, seconds)
        self._limit = limit
        self._seconds = seconds
        self._leave: deque[float] = deque()

    def earliest(self, at: float) -> float:
        while True:
            while self._leave and self._leave[0] <= at:
                self._leave.popleft()
            theirs, leaves_at = self._others.counted(at)
            if len(self._leave) + theirs >= self._limit:
                at = min(self._leave[0] if self._leave else math.inf, leaves_at)
                continue
            full_at = next((time for time, room in self._others.to_come(at) if room <= 0), None)
            if full_at is None:
                return at
            at = math.nextafter(full_at, math.inf)

    def count(self, at: float) -> None:
        self._leave.append(at + self._seconds)
        first, last = self._others.span(at)
        self._others.room[first:last] = [room - 1 for room in self._others.room[first:last]]


class LeftOfBucket:
    """What a token bucket leaves: the tokens beyond those that others will need before it is refilled."""

    def __init__(self, others: Sequence[float], limit: int, seconds: float) -> None:
        self._others = others
        self._limit = limit
        self._rate = limit / seconds
        self._level = float(limit)
        self._at = 0.0
        self._next = 0
        # What the bucket must hold just before each of them comes, for it and all that follow.
        self._needed = [1.0] * len(others)
        for number in range(len(others) - 2, -1, -1):
            refilled = self._rate * (others[number + 1] - others[number])
            self._needed[number] += max(0.0, self._needed[number + 1] - refilled)

    def earliest(self, at: float) -> float:
        while True:
            self._fill(at)
            needed, passes_at = 0.0, math.inf
            if self._next < len(self._others):
                passes_at = self._others[self._next]
                needed = max(0.0, self._needed[self._next] - self._rate * (passes_at - at))
            missing = 1 + needed - self._level
            if missing <= 1e-9:
                return at
            # While some are kept for the next of the others, what is kept grows as fast as the bucket is refilled.
            at = math.nextafter(passes_at, math.inf) if needed else min(at + missing / self._rate, passes_at + 1e-9)

    def _fill(self, now: float) -> None:
        while self._next < len(self._others) and self._others[self._next] < now:
            self._refill(self._others[self._next])
            self._level -= 1
            self._next += 1
        self._refill(now)

    def _refill(self, now: float) -> None:
        self._level = min(self._limit, self._level + (now - self._at) * self._rate)
        self._at = now

    def count(self, at: float) -> None:
        self._level -= 1


def left_by(others: Sequence[float], kind: str, limit: int = 300, seconds: float = 60.0) -> Left:
    """What is left of a server of this kind, as `server` makes it, when these of the others are all to be served."""
    match kind:
        case "fixed" | "two":
            return LeftOfWindows(others, limit, seconds)
        case "aligned":
            return LeftOfWindows(others, limit, seconds, 17.0)
        case "sliding":
            return LeftOfSlidingWindow(others, limit, seconds)
        case "bucket":
            return LeftOfBucket(others, limit, seconds)
    raise ValueError(kind)


class Left(Protocol):
    def earliest(self, at: float) -> float: ...
    def count(self, at: float) -> None: ...


def arrivals_beside(left: Left, requests: int, workers: int, latency: Latency, seed: int = 1) -> Iterator[float]:
    """
    When the server counts the requests of one who knows all that others will send, and takes what they leave at once.

    The last is the time of the last reply. One worker waits for each reply and so loses time to latency; fifty or more
    lose none.
    """
    rng, now = random.Random(seed), 0.0
    for _ in range(requests):
        there, back = latency(rng) if workers == 1 else (0.0, 0.0)
        at = left.earliest(now + there)
        left.count(at)
        yield at
        now = at + back
    yield now


@dataclass
class Outcome:
    """
    How a run went: seconds until the last reply, and the 429s on the way, each by when it was sent and when told of.

    `foreign` has the times of others' requests that were accepted; how many were not, `foreign_refused`.
    """

    seconds: float = 0.0
    refusals: list[tuple[float, float]] = field(default_factory=list)
    most_in_flight: int = 0
    foreign: list[float] = field(default_factory=list)
    foreign_refused: int = 0

    @property
    def refused(self) -> int:
        return len(self.refusals)


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
                self._count(now, foreign_rng, headers, outcome, *details)
                continue
            if what == "reply":
                permit, charge, reading = details
                in_flight -= 1
                idle += 1
                if charge.allowed:
                    account.complete(permit, now, reading)
                    done += 1
                else:
                    outcome.refusals.append((permit.taken_at, now))
                    account.reject(permit, now, max(1, math.floor(charge.reset_in)) + GUARD)
                    to_do += 1
            elif wake_at is not None and now >= wake_at:
                wake_at = None
            while idle and to_do and (permit := account.try_acquire(now)) is not None:
                idle, to_do, in_flight = idle - 1, to_do - 1, in_flight + 1
                outcome.most_in_flight = max(outcome.most_in_flight, in_flight)
                there, back = self.latency(rng)
                self._at(now + there, "arrive", permit, back)
            if idle and to_do:
                chance = account.next_attempt_at(now)
                assert chance > now, "the account says that now is the time, and gives no permit"
                if chance < math.inf and (wake_at is None or chance < wake_at):
                    wake_at = chance
                    self._at(chance, "wake")
            outcome.seconds = now
        return outcome

    def _count(self, now: float, foreign_rng: random.Random, headers: Headers, outcome: Outcome, *ours) -> None:
        charge = self.window.charge(now)
        if ours:
            permit, back = ours
            self._at(now + back, "reply", permit, charge, headers.of(charge))
        else:
            if charge.allowed:
                outcome.foreign.append(now)
            else:
                outcome.foreign_refused += 1
            self._at(now + foreign_rng.expovariate(self.foreign), "foreign")


def account() -> QuotaAccount:
    return QuotaAccount(300, 60.0)
