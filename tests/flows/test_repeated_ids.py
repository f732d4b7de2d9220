"""An id that is given again is requested once and answered each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genesys_media_async import AuditWriteError, DownloadUrl, MediaRequest, MediaRetriever, NotFoundError, VirtualClock
from genesys_media_async.api.calls import CallResult
from genesys_media_async.endpoints import Endpoint
from genesys_media_async.retrieval.pool import MAX_RELEASED
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.full_disk import FullDisk
from tests.support.retrievers import collect, settings_for
from tests.support.virtual_runs import ids

if TYPE_CHECKING:
    from genesys_media_async.endpoints import EndpointContext


def test_repeats_of_an_id_in_flight_are_read_within_bounds():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)
    read = 0

    def the_same():
        nonlocal read
        while True:
            read += 1
            yield "a"

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            async with retriever.retrieve_many(the_same(), concurrency=4) as results:
                taken = [await anext(results) for _ in range(5_000)]
                assert all(result.ok and result.file_id == "a" for result in taken)
                assert read <= 5_000 + 2 * MAX_RELEASED
                results.stop()
                left = [result async for result in results]
        assert len(taken) + len(left) == read

    clock.run(run())
    assert simulator.counts.by_file_id == {"a": 1}


def test_repeated_ids_take_no_slot_from_other_ids():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)
    twice = [file_id for file_id in ids(40) for _ in range(2)]

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            return await collect(retriever, twice, concurrency=4)

    assert sorted(result.file_id for result in clock.run(run())) == twice
    # As long as without the repeated ids.
    assert clock.monotonic() == pytest.approx(40 / 4, abs=0.1)


class Growing(Endpoint):
    """An endpoint that has one more medium at each request; the lifetime of their URLs is ten seconds."""

    action = "growing"

    def __init__(self) -> None:
        self.requests = 0

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests
        self.requests += 1
        for number in range(self.requests):
            url = DownloadUrl("https://media.example.com/a", context.clock.wall() + 10, 10, None, "audio/wav")
            await context.report(request, CallResult(url, None, 1, 0.0, None), media_id=f"medium-{number}")


def test_retrieve_all_returns_media_that_appeared_between_two_requests():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    closed = False

    async def again():
        nonlocal closed
        try:
            yield "a"
            await clock.sleep(100)
            yield "a"
        finally:
            closed = True

    async def run():
        async with MediaRetriever(
            settings_for(simulator), transport=simulator.transport(), clock=clock, endpoint=Growing()
        ) as retriever:
            return await retriever.retrieve_all(again(), concurrency=2)

    assert [result.media_id for result in clock.run(run())] == ["medium-0", "medium-0", "medium-1"]
    assert closed


class Missing(Endpoint):
    """An endpoint for two ids at once, neither of which exists."""

    action = "missing"
    batch_size = 2

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        await context.clock.sleep(1)
        for request in requests:
            await context.report(request, CallResult(None, NotFoundError("It is not there."), 1, 0.0, None))


def test_repeats_do_not_wait_for_an_id_whose_run_has_failed():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    asked = ["a", "not an id", "a", "b", "b", "a"]
    handed_over: list[str] = []

    async def run():
        async with MediaRetriever(
            settings_for(simulator),
            transport=simulator.transport(),
            clock=clock,
            endpoint=Missing(),
            audit=[FullDisk(0)],
        ) as retriever:
            async with retriever.retrieve_many(asked, concurrency=3) as results:
                handed_over.extend([result.file_id async for result in results])

    with pytest.raises(AuditWriteError):
        clock.run(run())
