"""
A quota account driven through a model of a server: workers, latency, and others with the same token.

Discrete events on a heap, without asyncio, so that a run of 3,000 requests takes hundredths of a second.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.quota.headers import Reading
from genesys_media_async.quota.permit import Permit
from genesys_media_async.simulator.quota_models import (
    LIMIT,
    SECONDS,
    OtherRequests,
    QuotaServer,
    constant,
    header_values,
    random_arrivals,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.simulator.quota import Charge, QuotaWindow
    from genesys_media_async.simulator.quota_models import Latency

GUARD = 1.0


class Headers:
    """
    A server's headers for each charge: true ones, none, or one of five kinds of nonsense.

    Each number of an adversarial one is, by itself, true, nearly true, any small number, or an absurd one.
    """

    def __init__(self, kind: str, limit: int, seed: int = 99) -> None:
        self._kind = kind
        self._limit = limit
        self._rng = random.Random(seed)
        # Some are mostly right, so that they are believed for a while.
        self._honesty = self._rng.choice([0.0, 0.5, 0.9, 0.99])
        self._last: Reading | None = None
        self._made = 0

    def of(self, charge: Charge) -> Reading | None:
        truth = Reading(*header_values(charge, self._limit))
        before, self._last = self._last, truth
        match self._kind:
            case "on":
                return truth
            case "stuck":
                return Reading(1, self._limit, 61)
            case "vanishing":
                self._made += 1
                return truth if self._made <= 400 else None
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
    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> object: ...
    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool: ...


class SafeAccount:
    """
    The fastest schedule that is safe for every way of counting: a permit is charged until a window after its reply.

    It knows all requests of others (`others`, in order) ahead of time, charges each for a window as well, and sends
    nothing that would cause one of them to be refused.
    """

    def __init__(self, limit: int, seconds: float, others: Sequence[float] = ()) -> None:
        self._limit = limit
        self._seconds = seconds
        self._in_flight = 0
        self._spent: deque[float] = deque()
        self._others = OtherRequests(others, limit, seconds)
        self._min_room = min(self._others.room, default=math.inf)
        self._chance = math.inf

    def try_acquire(self, now: float) -> Permit | None:
        while self._spent and self._spent[0] <= now:
            self._spent.popleft()
        counted, leaves_at = self._others.counted(now)
        if self._in_flight + len(self._spent) + counted >= self._limit:
            self._chance = min(self._spent[0] if self._spent else math.inf, leaves_at)
            return None
        charged = self._in_flight + len(self._spent)
        for at, room in self._others.to_come(now, needed=charged) if charged >= self._min_room else ():
            if charged - bisect_right(self._spent, at) >= room:
                self._chance = math.nextafter(at, math.inf)
                return None
        self._in_flight += 1
        self._chance = now
        return Permit(now)

    def next_attempt_at(self, now: float) -> float:
        return self._chance

    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._in_flight -= 1
        self._spent.append(now + self._seconds)

    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool:
        raise AssertionError("what is safe against every server was refused")


@dataclass
class Outcome:
    """
    What came of a run: seconds until the last reply, and each 429 by when it was sent and when its reply arrived.

    `others_accepted` has the times of others' requests that were accepted; `others_refused` counts the rest.
    """

    seconds: float = 0.0
    refusals: list[tuple[float, float]] = field(default_factory=list)
    most_in_flight: int = 0
    others_accepted: list[float] = field(default_factory=list)
    others_refused: int = 0

    @property
    def refused(self) -> int:
        return len(self.refusals)


@dataclass
class World:
    """`requests` sent by `workers` to one server; others send `others_rate` requests a second with the same token."""

    window: QuotaWindow
    latency: Latency = constant
    workers: int = 50
    requests: int = 3_000
    others_rate: float = 0.0
    headers: str = "off"
    limit: int = LIMIT
    seed: int = 1
    _events: list = field(default_factory=list)
    _order: itertools.count = field(default_factory=itertools.count)

    def _at(self, time: float, what: str, *details) -> None:
        heapq.heappush(self._events, (time, next(self._order), what, details))

    def run(self, account: Account) -> Outcome:
        rng = random.Random(self.seed)
        server = QuotaServer(self.window, random_arrivals(self.others_rate, random.Random(self.seed + 76)))
        headers = Headers(self.headers, self.limit, self.seed + 98)
        outcome = Outcome()
        idle, to_do, done, in_flight = self.workers, self.requests, 0, 0
        wake_at: float | None = 0.0
        self._at(0.0, "wake")
        while done < self.requests:
            now, _, what, details = heapq.heappop(self._events)
            if what == "arrive":
                permit, back = details
                charge = server.charge(now)
                self._at(now + back, "reply", permit, charge, headers.of(charge))
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
        server.charge_others(outcome.seconds)
        outcome.others_accepted, outcome.others_refused = server.others_accepted, len(server.others_refused)
        return outcome


def account() -> QuotaAccount:
    return QuotaAccount(LIMIT, SECONDS)
