"""Sleeping for as long as Retry-After says, with or without a limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiolimiter import AsyncLimiter

    from genesys_media_async.clock import Clock

    from .base import Exchange


class SleepRetryAfter:
    """Each refused worker sleeps for Retry-After; with a limiter, each attempt first takes its turn there."""

    def __init__(self, clock: Clock, limiter: Callable[[], AsyncLimiter] | None = None) -> None:
        self._clock = clock
        self._limiter = limiter and limiter()

    async def send(self, exchange: Exchange) -> None:
        """Send at once, or when the limiter permits."""
        while True:
            if self._limiter is not None:
                await self._limiter.acquire()
            reply = await exchange()
            if reply.retry_after is None:
                return
            await self._clock.sleep(reply.retry_after)
