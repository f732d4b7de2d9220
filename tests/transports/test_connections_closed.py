"""Nothing outlives its use: no check that was replaced, no connection that is too old to be used again."""

from __future__ import annotations

import asyncio
import math

import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.simulator import Simulator, SimulatorSettings
from genesys_media_async.transports import DirectTransport
from genesys_media_async.transports.base import HttpRequest
from genesys_media_async.transports.connection_pool import DeadlineTimer
from tests.support.exchanges import until


def checks_of(*whens: float, stops_at: float | None = None) -> list[float]:
    """Return when a check took place, after one was scheduled for each of these times, in their order."""
    clock = VirtualClock()
    found: list[float] = []

    def check(now: float) -> float:
        found.append(round(now, 3))
        return math.inf

    async def main() -> None:
        deadlines = DeadlineTimer(check)
        deadlines.enter(asyncio.get_running_loop())
        for when in whens:
            deadlines.check_by(when)
        if stops_at is not None:
            await asyncio.sleep(stops_at)
            deadlines.stop()
        await asyncio.sleep(100.0)

    clock.run(main())
    return found


def test_a_check_that_is_put_forward_takes_place_once():
    assert checks_of(10.0, 5.0) == [5.0]


def test_no_check_takes_place_after_the_stop():
    assert checks_of(10.0, stops_at=3.0) == []


@pytest.mark.anyio
async def test_a_connection_that_grew_too_old_at_rest_is_closed_when_it_is_passed_over():
    async with Simulator(SimulatorSettings(quota=None)) as simulator:
        transport = DirectTransport(max_lifetime=0.05)
        request = HttpRequest.to("GET", f"{simulator.base_url}/api/v2/tokens/me", {})
        await transport.exchange(request, timeout=10.0)
        await asyncio.sleep(0.1)
        await transport.exchange(request, timeout=10.0)
        assert transport.connections_opened == 2
        await until(lambda: simulator.counts.connections_open <= 1)
        await transport.aclose()
