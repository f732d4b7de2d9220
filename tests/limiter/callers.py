"""Callers of a limiter in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from genesys_media_async.clock import VirtualClock
from genesys_media_async.limiter.local import LocalLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from genesys_media_async.events import Event
    from genesys_media_async.settings.policies import Pace, QuotaLimit

FOREVER = float("inf")


class Caller:
    """Takes permits one after another, and notes when."""

    def __init__(self, limiter: LocalLimiter, clock: VirtualClock) -> None:
        self.limiter = limiter
        self.clock = clock
        self.sent: list[float] = []
        self.names: list[object] = []

    async def send(
        self, name: object = None, *, lasts: float = 0.0, deadline: float = FOREVER, pause: float | None = None
    ) -> None:
        """Send a request whose reply comes after `lasts` seconds: a 429 if it is to cause a pause."""
        permit = await self.limiter.acquire(deadline=deadline)
        self.sent.append(self.clock.monotonic())
        self.names.append(name)
        try:
            await anyio.sleep(lasts)
        except BaseException:
            self.limiter.complete(permit)
            raise
        if pause is None:
            self.limiter.complete(permit)
        else:
            self.limiter.reject(permit, pause)


def run(
    limit: QuotaLimit | None,
    main: Callable[[LocalLimiter, VirtualClock, Caller], Coroutine[Any, Any, None]],
    *,
    happened: list[Event] | None = None,
    pace: Pace = "burst",
) -> Caller:
    clock = VirtualClock()
    limiter = LocalLimiter(limit, clock, happened.append if happened is not None else lambda _: None, pace=pace)
    caller = Caller(limiter, clock)
    clock.run(main(limiter, clock, caller))
    return caller


async def free_permits(limiter: LocalLimiter, limit: int) -> int:
    """Count the permits there are once a window has passed, by taking them."""
    free = 0
    with anyio.move_on_after(1_000):
        for _ in range(limit):
            await limiter.acquire(deadline=FOREVER)
            free += 1
    return free


def most_within(times: list[float], window: float) -> int:
    return max(sum(start <= each < start + window for each in times) for start in times)
