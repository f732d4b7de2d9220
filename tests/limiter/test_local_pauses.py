"""Pauses at their edges: one that ends with a deadline, and one that is made longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genesys_media_async.events import QuotaResumed
from genesys_media_async.settings.policies import QuotaLimit
from tests.limiter.callers import FOREVER, Caller, run

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.events import Event
    from genesys_media_async.limiter.local import LocalLimiter

MANY = QuotaLimit(limit=100, seconds=10)


def test_a_pause_that_ends_at_the_deadline_is_waited_for() -> None:
    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        permit = await limiter.acquire(deadline=FOREVER)
        limiter.reject(permit, 8.0)
        await caller.send(deadline=clock.monotonic() + 8.0)

    assert run(MANY, main).sent == [pytest.approx(8.0, abs=0.01)]


def test_a_pause_that_is_made_longer_is_reported_from_its_beginning() -> None:
    happened: list[Event] = []

    async def main(limiter: LocalLimiter, clock: VirtualClock, caller: Caller) -> None:
        permits = [await limiter.acquire(deadline=FOREVER) for _ in range(2)]
        limiter.reject(permits[0], 10.0)
        await clock.sleep(5)
        limiter.reject(permits[1], 10.0)
        await caller.send()

    run(MANY, main, happened=happened)
    assert [event.seconds for event in happened if isinstance(event, QuotaResumed)] == [pytest.approx(15.0, abs=0.1)]
