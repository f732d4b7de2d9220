"""
Models of a quota: servers that count, others who use the same token, latency, and the fastest client beside them.

Pure and synchronous, for tests and benchmarks: a strategy is judged against `floor_seconds`, so that both have the same
floor. The windows are the simulator's own; a token bucket and a pair of limits are added here.

The floor is the time of a client that knows every answer ahead of time, has no latency, and keeps none of the requests
of others out that were accepted in the run it is compared with. So a strategy gains nothing by starving others: the
fewer of their requests were accepted, the sooner the floor is done.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .quota import AlignedWindow, Charge, FixedWindow, SlidingWindow
from .settings import Quota

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .quota import QuotaWindow

LIMIT, SECONDS = 300, 60.0
"""The quota of a token at Genesys Cloud: requests, and seconds of a window."""

ALIGNED_PHASE = 17.0
"""Age in seconds of the clock-aligned window that is open at time 0."""

MEDIAN_LATENCY, LATENCY_SIGMA = 0.12, 0.5
SECOND_LIMIT = 1_000
ROUNDING = 1e-9

Latency: TypeAlias = Callable[[random.Random], tuple[float, float]]
"""Draws the seconds of one request's way to the server, and of its reply's way back."""


def constant(_: random.Random) -> tuple[float, float]:
    """Return 60 ms each way."""
    return 0.06, 0.06


def log_normal_seconds(rng: random.Random) -> float:
    """Draw the seconds of a whole exchange: log-normal, with a median of 120 ms."""
    return MEDIAN_LATENCY * math.exp(LATENCY_SIGMA * rng.gauss(0, 1))


def log_normal(rng: random.Random) -> tuple[float, float]:
    """Draw a log-normal exchange; the server counts the request at any moment of it."""
    whole = log_normal_seconds(rng)
    there = rng.random()
    return whole * there, whole * (1 - there)


def symmetric_log_normal(rng: random.Random) -> tuple[float, float]:
    """Draw a log-normal exchange; the server counts the request in the middle of it."""
    half = log_normal_seconds(rng) / 2
    return half, half


def stalling(rng: random.Random) -> tuple[float, float]:
    """Draw a log-normal exchange; one reply of 500 takes twenty seconds."""
    return (0.06, 20.0) if rng.random() < 0.002 else log_normal(rng)


LATENCIES: dict[str, Latency] = {"constant": constant, "log-normal": log_normal, "stalling": stalling}


@dataclass(slots=True)
class Bucket:
    """An amount that is refilled evenly, up to its capacity; `rate` is what comes back in a second."""

    capacity: float
    rate: float
    level: float
    filled_at: float = 0.0

    def fill(self, now: float) -> float:
        """Refill for the time since the last call, and return the level."""
        self.level = min(self.capacity, self.level + (now - self.filled_at) * self.rate)
        self.filled_at = now
        return self.level


class TokenBucket:
    """A window that starts full and is refilled evenly; it reports how much is missing, and when it is full again."""

    def __init__(self, quota: Quota) -> None:
        self._bucket = Bucket(quota.limit, quota.limit / quota.seconds, quota.limit)

    def charge(self, now: float) -> Charge:
        """Let a request through or refuse it."""
        bucket = self._bucket
        allowed = bucket.fill(now) >= 1 - ROUNDING
        bucket.level -= allowed
        missing = bucket.capacity - bucket.level
        return Charge(allowed, math.ceil(missing - ROUNDING), (missing if allowed else 1 - bucket.level) / bucket.rate)


class TwoLimits:
    """Two limits at once; what is reported is the first one's, unless the second refuses."""

    def __init__(self, first: QuotaWindow, second: QuotaWindow) -> None:
        self._first = first
        self._second = second

    def charge(self, now: float) -> Charge:
        """Let a request through or refuse it."""
        charge = self._first.charge(now)
        if not charge.allowed:
            return charge
        second = self._second.charge(now)
        return charge if second.allowed else Charge(False, charge.count, second.reset_in)


def quota_window(kind: str, limit: int = LIMIT, seconds: float = SECONDS) -> QuotaWindow:
    """Return an unused window: fixed, aligned, sliding, bucket, or two (a fixed window and a bucket of 1,000)."""
    quota = Quota(limit, seconds)
    match kind:
        case "fixed":
            return FixedWindow(quota)
        case "aligned":
            return AlignedWindow(quota, ALIGNED_PHASE)
        case "sliding":
            return SlidingWindow(quota)
        case "bucket":
            return TokenBucket(quota)
        case "two":
            return TwoLimits(FixedWindow(quota), TokenBucket(Quota(SECOND_LIMIT, seconds)))
        case _:
            raise ValueError(kind)


def header_values(charge: Charge, limit: int) -> tuple[int, int, int]:
    """Return what truthful headers say of a charge: count, allowed, reset."""
    # Published traces show the reset a second beyond the window: rounded down, plus one.
    return charge.count, limit, math.floor(charge.reset_in) + 1


def random_arrivals(rate: float, rng: random.Random) -> Iterator[float]:
    """Yield the times of requests that come at random, `rate` a second on average; none for a rate of 0."""
    at = 0.0
    while rate:
        at += rng.expovariate(rate)
        yield at


class QuotaServer:
    """
    A server that counts the requests of one client, and of others who use the same token and do not repeat theirs.

    Others are counted when a later request arrives, or by `charge_others`: they are at times of their own, so that the
    order is the true one. All times are kept, in the order of arrival.
    """

    def __init__(self, window: QuotaWindow, others: Iterator[float] | None = None) -> None:
        self._window = window
        self._others = others or iter(())
        self._next_other = next(self._others, math.inf)
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.others_accepted: list[float] = []
        self.others_refused: list[float] = []

    def charge(self, now: float) -> Charge:
        """Let the client's request through or refuse it."""
        self.charge_others(now)
        charge = self._window.charge(now)
        (self.accepted if charge.allowed else self.refused).append(now)
        return charge

    def charge_others(self, until: float) -> None:
        """Let the others' requests before a time through or refuse them."""
        while self._next_other < until:
            at, self._next_other = self._next_other, next(self._others, math.inf)
            (self.others_accepted if self._window.charge(at).allowed else self.others_refused).append(at)


class OtherRequests:
    """
    The requests of others as a sliding window counts them.

    `room` is how many more fit into the window when each of them arrives.
    """

    def __init__(self, times: Sequence[float], limit: int, seconds: float) -> None:
        self._times = times
        self._leave = [each + seconds for each in times]
        self._seconds = seconds
        self.room = [limit - (number + 1 - bisect_right(self._leave, at)) for number, at in enumerate(times)]

    def counted(self, now: float) -> tuple[int, float]:
        """Return how many that came before `now` still count, and when the first of them leaves."""
        came, left = bisect_left(self._times, now), bisect_right(self._leave, now)
        return came - left, self._leave[left] if left < came else math.inf

    def to_come(self, now: float, *, needed: int = 0) -> Iterator[tuple[float, int]]:
        """Yield those within a window of `now`, last first, and the room of each; none if all have more than needed."""
        first, last = self._span(now)
        if min(self.room[first:last], default=math.inf) > needed:
            return
        for number in range(last - 1, first - 1, -1):
            yield self._times[number], self.room[number]

    def take_room(self, at: float) -> None:
        """Count a request of the client at `at`: each of the others within a window of it has less room by one."""
        first, last = self._span(at)
        self.room[first:last] = [room - 1 for room in self.room[first:last]]

    def _span(self, now: float) -> tuple[int, int]:
        return bisect_left(self._times, now), bisect_left(self._times, now + self._seconds)


class Leftover(Protocol):
    """What others leave of a quota, taken by a client that knows all their requests ahead of time."""

    def earliest(self, at: float) -> float:
        """Return the first time from `at` on at which a request is accepted and keeps none of the others out."""
        ...

    def count(self, at: float, /) -> None:
        """Count a request of the client, at a time that `earliest` returned."""
        ...


class WindowLeftover:
    """
    What others leave of fixed windows; the client may take all of it at once.

    A window opens with anybody's request, or, with a `phase`, by the clock.
    """

    def __init__(self, others: Sequence[float], limit: int, seconds: float, phase: float | None = None) -> None:
        self._others = others
        self._limit = limit
        self._seconds = seconds
        self._phase = phase
        self._ends_at = -math.inf
        self._room = 0

    def earliest(self, at: float) -> float:
        """Return when a request is accepted; in a full window, that is when the next one opens."""
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

    def count(self, _at: float, /) -> None:
        """Count a request of the client."""
        self._room -= 1


class SlidingWindowLeftover:
    """What others leave of a sliding window: slots whose requests have left it, and that none of the others needs."""

    def __init__(self, others: Sequence[float], limit: int, seconds: float) -> None:
        self._others = OtherRequests(others, limit, seconds)
        self._limit = limit
        self._seconds = seconds
        self._leave: deque[float] = deque()

    def earliest(self, at: float) -> float:
        """Return when a request is accepted."""
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

    def count(self, at: float, /) -> None:
        """Count a request of the client."""
        self._leave.append(at + self._seconds)
        self._others.take_room(at)


class BucketLeftover:
    """What others leave of a token bucket: the tokens that they do not need before the bucket is refilled."""

    def __init__(self, others: Sequence[float], limit: int, seconds: float) -> None:
        self._others = others
        self._bucket = Bucket(limit, limit / seconds, limit)
        self._next = 0
        # What the bucket must hold just before each of them comes, for it and all that follow.
        self._needed = [1.0] * len(others)
        for number in range(len(others) - 2, -1, -1):
            refilled = self._bucket.rate * (others[number + 1] - others[number])
            self._needed[number] += max(0.0, self._needed[number + 1] - refilled)

    def earliest(self, at: float) -> float:
        """Return when a request is accepted."""
        while True:
            self._fill(at)
            needed, passes_at = 0.0, math.inf
            if self._next < len(self._others):
                passes_at = self._others[self._next]
                needed = max(0.0, self._needed[self._next] - self._bucket.rate * (passes_at - at))
            missing = 1 + needed - self._bucket.level
            if missing <= ROUNDING:
                return at
            # While some are kept for the next of the others, what is kept grows as fast as the bucket is refilled.
            refilled_at = at + missing / self._bucket.rate
            at = math.nextafter(passes_at, math.inf) if needed else min(refilled_at, passes_at + ROUNDING)

    def _fill(self, now: float) -> None:
        while self._next < len(self._others) and self._others[self._next] < now:
            self._bucket.fill(self._others[self._next])
            self._bucket.level -= 1
            self._next += 1
        self._bucket.fill(now)

    def count(self, _at: float, /) -> None:
        """Count a request of the client."""
        self._bucket.level -= 1


def leftover_of(others: Sequence[float], kind: str, limit: int = LIMIT, seconds: float = SECONDS) -> Leftover:
    """Return what these requests of others leave of a window as `quota_window` makes it."""
    match kind:
        case "fixed" | "two":
            return WindowLeftover(others, limit, seconds)
        case "aligned":
            return WindowLeftover(others, limit, seconds, ALIGNED_PHASE)
        case "sliding":
            return SlidingWindowLeftover(others, limit, seconds)
        case "bucket":
            return BucketLeftover(others, limit, seconds)
        case _:
            raise ValueError(kind)


def fastest_arrivals(
    leftover: Leftover, requests: int, workers: int, latency: Latency, seed: int = 1
) -> Iterator[float]:
    """
    Yield when the server counts the requests of a client that takes what others leave as soon as it is there.

    The last value is the time of the last reply. One worker waits for each reply and so loses time to latency; with
    more, none is charged for latency.
    """
    rng, now = random.Random(seed), 0.0  # noqa: S311 - reproducible on purpose
    for _ in range(requests):
        there, back = latency(rng) if workers == 1 else (0.0, 0.0)
        at = leftover.earliest(now + there)
        leftover.count(at)
        yield at
        now = at + back
    yield now


def floor_seconds(kind: str, others: Sequence[float], requests: int, workers: int, latency: Latency) -> float:
    """Return the least time that requests take under the usual quota, if these of others are all accepted."""
    last: deque[float] = deque(fastest_arrivals(leftover_of(others, kind), requests, workers, latency), maxlen=1)
    return last[0]
