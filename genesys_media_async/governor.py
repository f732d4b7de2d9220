"""Where workers wait for a permit: the pure account of `quota.py` with a clock, a queue and one timer."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from .errors import RateLimited
from .quota import QuotaAccount

if TYPE_CHECKING:
    from .clock import Clock
    from .settings import QuotaLimit


@dataclass(slots=True)
class _Waiter:
    permit: asyncio.Future[None]
    deadline: float


class Governor:
    """
    Hands out the permits of one token in the order in which they were asked for.

    Waiting costs nothing: there is one timer for all who wait. A waiter that is cancelled takes nothing with it and
    leaves nothing behind. With no limit there is still the pause after a 429, which holds for everyone.
    """

    def __init__(self, limit: QuotaLimit | None, clock: Clock) -> None:
        self._clock = clock
        self._account = QuotaAccount(limit.limit, limit.seconds) if limit else QuotaAccount(sys.maxsize, 0.0)
        self._waiters: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        # One request each 1/rate seconds has no burst to double, which AsyncLimiter(limit, seconds) would have.
        self._spacing = AsyncLimiter(1, limit.seconds / limit.limit) if limit and limit.pace == "even" else None
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Governor of {self._account!r}, {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        """How many callers wait for a permit."""
        return sum(not waiter.permit.done() for waiter in self._waiters)

    async def acquire(self, *, deadline: float) -> None:
        """
        Wait for a permit, after everyone who came before.

        Each permit must go back by `spend` or `give_back`. Raises `RateLimited` as soon as it is known that a pause
        outlasts `deadline` (monotonic seconds).
        """
        now = self._clock.monotonic()
        if self._account.paused_until > deadline:
            raise self._paused_too_long()
        if self._waiters or not self._account.take(now):
            await self._wait(deadline)
        if self._spacing is not None:
            try:
                await self._space_out(self._spacing, deadline)
            except BaseException:
                self.give_back()
                raise

    async def _space_out(self, spacing: AsyncLimiter, deadline: float) -> None:
        # One at a time, since a pause may begin meanwhile: it must neither be overlooked nor end in a burst.
        async with self._turn:
            await spacing.acquire()
            while (pause := self._account.paused_until - self._clock.monotonic()) > 0:
                if self._account.paused_until > deadline:
                    raise self._paused_too_long()
                await self._clock.sleep(pause)
                await spacing.acquire()

    def spend(self) -> None:
        """Give the permit of a request back that was sent: it is free again one window from now."""
        self._account.spend(self._clock.monotonic())
        self._wake()

    def give_back(self) -> None:
        """Give the permit of a request back that was not sent: it is free at once."""
        self._account.give_back()
        self._wake()

    def pause(self, seconds: float) -> bool:
        """Let nobody send for so many seconds; returns whether that is later than was known before."""
        until = self._clock.monotonic() + seconds
        longer = until > self._account.paused_until
        self._account.pause(until)
        for waiter in self._waiters:
            if waiter.deadline < until and not waiter.permit.done():
                waiter.permit.set_exception(self._paused_too_long())
        self._wake()
        return longer

    async def _wait(self, deadline: float) -> None:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), deadline)
        self._waiters.append(waiter)
        self._wake()
        try:
            await waiter.permit
        except asyncio.CancelledError:
            # The permit may have been granted in the same turn of the loop in which the waiter was cancelled.
            if waiter.permit.done() and not waiter.permit.cancelled() and waiter.permit.exception() is None:
                self.give_back()
            self._wake()
            raise

    def _wake(self) -> None:
        now = self._clock.monotonic()
        while self._waiters and (self._waiters[0].permit.done() or self._account.take(now)):
            permit = self._waiters.popleft().permit
            if not permit.done():
                permit.set_result(None)
        if self._waiters:
            self._set_timer(now)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, now: float) -> None:
        chance = self._account.next_chance(now)
        if chance == float("inf"):
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, chance - now)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            # A permit that was given back while a pause lasts has brought the next chance nearer.
            self._timer.cancel()
        self._timer = loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def _paused_too_long(self) -> RateLimited:
        wait = self._account.paused_until - self._clock.monotonic()
        return RateLimited(
            f"Genesys asked this token to wait {wait:.0f} s more, which is longer than the deadline allows.",
            code="paused_too_long",
            status=429,
            retry_after=wait,
        )
