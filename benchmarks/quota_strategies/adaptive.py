"""
The adaptive retry mode of the AWS SDKs, after their guide and botocore's `retries`.

A token bucket, dormant until the first refusal, whose rate follows CUBIC.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html and https://www.rfc-editor.org/rfc/rfc9438
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING

from genesys_media_async.simulator.quota_models import Bucket

if TYPE_CHECKING:
    from genesys_media_async.clock import Clock

    from .base import Exchange


class CubicRate:
    """The rate that a client may send at, learnt from refusals: CUBIC over the measured rate of its requests."""

    SCALE, BETA, SMOOTHING, SLOT, MIN_RATE, MAX_GROWTH = 0.4, 0.7, 0.8, 0.5, 0.5, 2.0

    def __init__(self) -> None:
        self._rate_at_refusal = self._refused_at = self._measured = 0.0
        self._slot = self._replies = 0

    def learn(self, now: float, rate: float, *, refused: bool) -> float:
        """Return the rate after a reply, given the rate that was in force."""
        self._measure(now)
        if refused:
            self._rate_at_refusal = min(self._measured, rate)
            self._refused_at = now
            rate = self.BETA * self._rate_at_refusal
        else:
            flat_after = math.cbrt(self._rate_at_refusal * (1 - self.BETA) / self.SCALE)
            rate = self.SCALE * (now - self._refused_at - flat_after) ** 3 + self._rate_at_refusal
        return max(self.MIN_RATE, min(rate, self.MAX_GROWTH * self._measured))

    def _measure(self, now: float) -> None:
        self._replies += 1
        slot = math.floor(now / self.SLOT)
        if slot > self._slot:
            rate = self._replies / ((slot - self._slot) * self.SLOT)
            self._measured += self.SMOOTHING * (rate - self._measured)
            self._slot, self._replies = slot, 0


class WaitingBucket:
    """A bucket that holds the tokens of one second, at least one; `take` waits for a token."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._turn = clock, asyncio.Lock()
        self._bucket = Bucket(capacity=1.0, rate=1.0, level=0.0)

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self._bucket.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        level = self._fill()
        self._bucket.rate, self._bucket.capacity = rate, max(1.0, rate)
        self._bucket.level = min(level, self._bucket.capacity)

    async def take(self) -> None:
        """Wait for a token."""
        async with self._turn:
            while self._fill() < 1:
                # In short steps, since the rate may change meanwhile.
                await self._clock.sleep(min(0.1, (1 - self._bucket.level) / self._bucket.rate))
            self._bucket.level -= 1

    def _fill(self) -> float:
        return self._bucket.fill(self._clock.monotonic())


class Adaptive:
    """A token bucket filled at the `CubicRate`, and back-off with full jitter after a refusal."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._bucket, self._cubic = clock, WaitingBucket(clock), CubicRate()
        self._awake = False

    async def send(self, exchange: Exchange) -> None:
        """Send at once; after the first refusal, when the bucket has a token."""
        max_wait = 1.0
        while True:
            if self._awake:
                await self._bucket.take()
            refused = (await exchange()).retry_after is not None
            rate = self._bucket.rate if self._awake else math.inf
            self._bucket.rate = self._cubic.learn(self._clock.monotonic(), rate, refused=refused)
            self._awake |= refused
            if not refused:
                return
            await self._clock.sleep(random.uniform(0.0, max_wait))
            max_wait = min(20.0, 2 * max_wait)
