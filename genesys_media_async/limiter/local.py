"""The limiter of one process: a pure quota account with a clock, a queue and one timer."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiolimiter import AsyncLimiter

from ..errors import RateLimitError
from ..events import QuotaLimitChanged, QuotaPaused, QuotaResumed
from ..quota.account import QuotaAccount
from ..quota.headers import COUNT_HEADER, Reading
from ..quota.unlimited import UnlimitedAccount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..clock import Clock
    from ..events import Event
    from ..quota.permit import Permit, QuotaState
    from ..settings.policies import Pace, QuotaLimit


@dataclass(slots=True)
class _Waiter:
    permit: asyncio.Future[Permit]
    deadline: float


class LocalLimiter:
    """
    The permits of one token for one process, given out in the order in which callers came.

    Waiting costs nothing: there is one timer for all who wait. A waiter that is cancelled takes nothing with it and
    leaves nothing behind. Without a limit there is still the pause after a 429, which holds for all.
    """

    def __init__(
        self,
        limit: QuotaLimit | None,
        clock: Clock,
        emit: Callable[[Event], None] = lambda _: None,
        *,
        pace: Pace = "burst",
    ) -> None:
        self._clock = clock
        self._now = clock.monotonic
        self._emit = emit
        self._account = QuotaAccount(limit.limit, limit.seconds) if limit else UnlimitedAccount()
        self._allowed = self._account.allowed
        self._waiters: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._paused_since: float | None = None
        # One request each 1/rate seconds has no burst to double, which AsyncLimiter(limit, seconds) would have.
        self._spacing = AsyncLimiter(1, limit.seconds / limit.limit) if limit and pace == "even" else None
        self._turn = asyncio.Lock()
        # Nobody waits, nothing is spaced out and no pause has to be seen to end: only the account is asked.
        self._is_plain = self._spacing is None

    def __repr__(self) -> str:
        return f"<LocalLimiter of {self._account!r}, {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        """How many callers wait for a permit."""
        return sum(not waiter.permit.done() for waiter in self._waiters)

    def state(self) -> QuotaState:
        """Return the state of the quota now."""
        return replace(self._account.state(self._now()), waiting=self.waiting)

    def try_acquire(self, now: float) -> Permit | None:
        """Return a permit if there is one at `now` (monotonic seconds), without waiting; see `acquire`."""
        if self._is_plain:
            return self._account.try_acquire(now)
        return None if self._waiters or self._spacing is not None else self._try_acquire(now)

    async def acquire(self, *, deadline: float) -> Permit:
        """
        Wait for a permit, after all who came before.

        Each permit must go back by `complete`, `reject` or `cancel`. Raises `RateLimitError` as soon as it is known
        that a pause lasts beyond `deadline` (monotonic seconds).
        """
        if self._account.paused_until > deadline:
            raise self._paused_too_long()
        permit = None if self._waiters else self._try_acquire(self._now())
        if permit is None:
            permit = await self._wait(deadline)
        if self._spacing is not None:
            try:
                await self._space_out(self._spacing, deadline)
            except BaseException:
                self.cancel(permit)
                raise
        return permit

    async def _space_out(self, spacing: AsyncLimiter, deadline: float) -> None:
        # One at a time, since a pause may begin meanwhile: it must neither be overlooked nor end in a burst.
        async with self._turn:
            await spacing.acquire()
            while (pause := self._account.paused_until - self._now()) > 0:
                if self._account.paused_until > deadline:
                    raise self._paused_too_long()
                await self._clock.sleep(pause)
                await spacing.acquire()

    def complete(self, permit: Permit, headers: Mapping[str, str] | None = None) -> None:
        """Give back the permit of a request that was sent, with the reply's headers if there is a reply."""
        # Few replies carry quota headers, and this runs for every request.
        reading = Reading.from_headers(headers) if headers is not None and COUNT_HEADER in headers else None
        if self._account.complete(permit, self._now(), reading) != self._allowed:
            self._report_limit()
        if self._waiters:
            self._wake()

    def cancel(self, permit: Permit) -> None:
        """Give back the permit of a request that was not sent: it is free at once."""
        self._account.cancel(permit)
        self._wake()

    def reject(self, permit: Permit, pause: float, *, has_retry_after: bool = True) -> None:
        """
        Give back the permit of a request that was answered 429, and pause all requests for `pause` seconds.

        `has_retry_after` means that Genesys named the time.
        """
        now = self._now()
        if self._account.reject(permit, now, pause, has_retry_after=has_retry_after):
            self._paused_since = now if self._paused_since is None else self._paused_since
            self._emit(QuotaPaused(at=self._clock.wall(), seconds=pause))
        if self._account.allowed != self._allowed:
            self._report_limit()
        for waiter in self._waiters:
            if waiter.deadline < self._account.paused_until and not waiter.permit.done():
                waiter.permit.set_exception(self._paused_too_long())
        self._wake()

    def _try_acquire(self, now: float) -> Permit | None:
        permit = self._account.try_acquire(now)
        if permit is not None and self._paused_since is not None:
            self._emit(QuotaResumed(at=self._clock.wall(), seconds=now - self._paused_since))
            self._paused_since = None
            self._note_plain()
        return permit

    def _note_plain(self) -> None:
        self._is_plain = not self._waiters and self._spacing is None and self._paused_since is None

    def _report_limit(self) -> None:
        self._allowed = allowed = self._account.allowed
        if allowed is not None:
            self._emit(QuotaLimitChanged(at=self._clock.wall(), allowed=allowed))

    async def _wait(self, deadline: float) -> Permit:
        waiter = _Waiter(asyncio.get_running_loop().create_future(), deadline)
        self._waiters.append(waiter)
        self._wake()
        try:
            return await waiter.permit
        except asyncio.CancelledError:
            # The permit may have been granted in the same turn of the loop in which the waiter was cancelled.
            if waiter.permit.done() and not waiter.permit.cancelled() and waiter.permit.exception() is None:
                self.cancel(waiter.permit.result())
            self._wake()
            raise

    def _wake(self) -> None:
        now = self._now()
        while self._waiters:
            waiting = self._waiters[0].permit
            if not waiting.done():
                permit = self._try_acquire(now)
                if permit is None:
                    break
                waiting.set_result(permit)
            self._waiters.popleft()
        self._note_plain()
        if self._waiters:
            self._set_timer(now)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, now: float) -> None:
        next_attempt_at = self._account.next_attempt_at(now)
        if next_attempt_at == float("inf"):
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, next_attempt_at - now)
        if self._timer is not None:
            if self._timer_due <= due:
                return
            # A permit that was cancelled during a pause has brought the next attempt nearer.
            self._timer.cancel()
        self._timer, self._timer_due = loop.call_at(due, self._on_timer), due

    def _on_timer(self) -> None:
        self._timer = None
        self._wake()

    def _paused_too_long(self) -> RateLimitError:
        wait = self._account.paused_until - self._now()
        return RateLimitError(
            f"Genesys paused this token for {wait:.0f} s more, which is longer than the deadline allows.",
            code="paused_too_long",
            status_code=429,
            retry_after=wait,
        )
