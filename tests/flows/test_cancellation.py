"""However a run ends, nothing is left running, no permit is lost and no request goes without its audit record."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from genesys_media_async import MediaRetriever, MemorySink, QuotaLimit, VirtualClock, WebhookTarget
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.cancellation import Stop, run_stepping
from tests.support.cancelled_runs import end_of
from tests.support.retrievers import collect, settings_for


def eventful(clock: VirtualClock) -> Simulator:
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.05, fault_seconds=1.0), clock=clock)
    simulator.script(
        None,
        Fault.SERVER_ERROR_503_RETRY_AFTER,
        Fault.TOKEN_EXPIRED,
        Fault.HANG,
        Fault.TOO_MANY_REQUESTS,
        Fault.SLOW_DRIP,
        Fault.RESET_DURING_REPLY,
    )
    return simulator


def run_and_cancel(at: int) -> tuple[int, str]:
    """Cancel an eventful run before its `at`-th step; return the steps it took and how it ended."""
    clock = VirtualClock()
    simulator = eventful(clock)
    audit = MemorySink()
    target = WebhookTarget(url=simulator.webhook_url, drain_timeout=5.0)
    settings = settings_for(simulator, webhook=target, quota=QuotaLimit(limit=3, seconds=1.0))
    stop = Stop(at)

    async def retrieve_six() -> int:
        retriever = MediaRetriever(
            settings, transport=simulator.transport(), audit=[audit], clock=clock, rng=random.Random(1)
        )
        async with retriever:
            return len(await collect(retriever, (f"id-{n}" for n in range(6)), concurrency=3))

    ended = end_of(retrieve_six, stop, clock, simulator, audit, finds=6)
    return stop.steps, ended


def test_a_run_that_is_cancelled_at_any_step_leaves_nothing_behind():
    steps, ended = run_and_cancel(at=0)
    assert ended == "finished"
    endings = set()
    for at in range(1, steps + 1):
        _, ended = run_and_cancel(at)
        endings.add(ended)
    assert steps > 100
    # A cancellation may come when everything is done, but not always.
    assert "cancelled" in endings
    gc.collect()


def run_beside_a_victim(at: int) -> int:
    """Cancel one of five retrievals that share a cold retriever; return the steps the victim's loop took."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.2), clock=clock)
    settings = settings_for(simulator, quota=QuotaLimit(limit=2, seconds=1.0))
    stop = Stop(at)

    async def main() -> None:
        retriever = MediaRetriever(settings, transport=simulator.transport(), clock=clock)
        async with retriever:
            others = [asyncio.create_task(retriever.retrieve(f"other-{n}")) for n in range(3)]
            stop.victim = asyncio.create_task(retriever.retrieve("victim"))
            others += [asyncio.create_task(retriever.retrieve(f"other-{n}")) for n in range(3, 4)]
            urls = await asyncio.gather(*others)
            assert len(urls) == 4
            await asyncio.wait([stop.victim])
            # Both permits are returned, or will be: two more requests go through at once within a window.
            started = clock.monotonic()
            await asyncio.gather(retriever.retrieve("later-1"), retriever.retrieve("later-2"))
            assert clock.monotonic() - started < 1.5

    run_stepping(stop, clock, main)
    assert simulator.counts.token_requests == 1
    assert simulator.counts.peak_in_flight <= 2
    return stop.steps


def test_a_cancelled_caller_takes_nothing_from_the_others():
    steps = run_beside_a_victim(at=0)
    assert steps > 15
    for at in range(1, steps + 1):
        run_beside_a_victim(at)


@pytest.mark.timeout(600)  # On a busy machine, so many callers take longer than other tests may.
@pytest.mark.anyio
async def test_ten_thousand_cold_callers_make_one_token_request_and_none_is_lost():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    async with MediaRetriever(settings_for(simulator), transport=simulator.transport()) as retriever:
        urls = await asyncio.gather(*(retriever.retrieve(f"id-{number}") for number in range(10_000)))
    assert len({url.url for url in urls}) == 10_000
    assert simulator.counts.token_requests == 1
