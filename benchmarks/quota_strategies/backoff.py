"""Exponential back-off by the library `backoff`, on exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import backoff

from genesys_media_async.simulator.quota_models import SECONDS

if TYPE_CHECKING:
    from .base import Exchange


class TooManyRequests(Exception):
    """A refusal, for a library that retries on exceptions."""


class BackOff:
    """
    Exponential back-off with full jitter, which ignores Retry-After.

    Its waits are bounded by the window, which favours it: with the default of `backoff` they grow for ever.
    """

    @backoff.on_exception(backoff.expo, TooManyRequests, max_value=SECONDS, logger=None)
    async def send(self, exchange: Exchange) -> None:
        """Send at once."""
        reply = await exchange()
        if reply.retry_after is not None:
            raise TooManyRequests
