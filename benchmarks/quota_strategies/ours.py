"""This package's way: no request without a permit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from genesys_media_async import QuotaLimit
from genesys_media_async.api.retry import pause_after_429
from genesys_media_async.limiter.local import LocalLimiter
from genesys_media_async.simulator.quota_models import LIMIT, SECONDS

if TYPE_CHECKING:
    from genesys_media_async.clock import Clock

    from .base import Exchange


class Ours:
    """The package's limiter."""

    def __init__(self, clock: Clock) -> None:
        self._limiter = LocalLimiter(QuotaLimit(limit=LIMIT, seconds=SECONDS), clock)

    async def send(self, exchange: Exchange) -> None:
        """Send when there is a permit; a refusal pauses all workers."""
        while True:
            permit = await self._limiter.acquire(deadline=math.inf)
            reply = await exchange()
            if reply.retry_after is None:
                self._limiter.complete(permit, reply.headers)
                return
            self._limiter.reject(permit, pause_after_429(reply.retry_after, 1))
