"""A run that ends early, by its consumer, its input, a timeout or `stop`, leaves nothing running."""

from __future__ import annotations

import anyio
import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import other_tasks, settings_for


async def all_connections_are_closed(simulator: Simulator) -> None:
    """Wait until it is so, as long as the test may take."""
    while simulator.counts.connections_open:  # noqa: ASYNC110 - counts cannot be waited for
        await anyio.sleep(0.005)


ENDLESS = (f"id-{number}" for number in range(10**9))


@pytest.mark.anyio
async def test_leaving_the_loop_early_leaves_nothing_running():
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        async with MediaRetriever(settings_for(simulator)) as retriever:
            async with retriever.retrieve_many(ENDLESS, concurrency=8) as results:
                async for result in results:
                    assert result.ok
                    break
            asked = simulator.counts.api_requests
            await anyio.sleep(0.05)
            assert simulator.counts.api_requests == asked
            assert simulator.counts.in_flight == 0
        await all_connections_are_closed(simulator)
    assert other_tasks() == before


@pytest.mark.anyio
async def test_an_exception_of_the_consumer_is_raised_as_itself():
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        cause = OSError("the disk is full")
        with pytest.raises(ValueError, match="of the consumer's own") as raised:
            async with (
                MediaRetriever(settings_for(simulator)) as retriever,
                retriever.retrieve_many(ENDLESS, concurrency=8) as results,
            ):
                async for _ in results:
                    raise ValueError("of the consumer's own") from cause
        assert raised.value.__cause__ is cause
        await all_connections_are_closed(simulator)
    assert other_tasks() == before


@pytest.mark.anyio
async def test_an_exception_of_the_input_is_raised_after_the_finished_results():
    def breaking():
        yield from ("id-1", "id-2", "id-3")
        raise OSError("the list cannot be read any further")

    async def breaking_too():
        for file_id in breaking():
            yield file_id

    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        for source in (breaking(), breaking_too()):
            done = []
            with pytest.raises(OSError, match="any further"):
                async with retriever.retrieve_many(source, concurrency=2) as results:
                    async for result in results:
                        done.append(result.file_id)
            assert sorted(done) == ["id-1", "id-2", "id-3"]


@pytest.mark.anyio
async def test_an_outer_timeout_ends_everything():
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, latency=0.02)) as simulator:
        with anyio.move_on_after(0.15) as scope:
            async with MediaRetriever(settings_for(simulator)) as retriever:
                async with retriever.retrieve_many(ENDLESS, concurrency=8) as results:
                    async for _ in results:
                        pass
        assert scope.cancelled_caught
        await all_connections_are_closed(simulator)
    assert other_tasks() == before


@pytest.mark.anyio
async def test_stop_finishes_what_is_in_flight_and_reads_no_more():
    read = 0

    async def reading():
        nonlocal read
        while True:
            read += 1
            yield f"id-{read}"

    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        async with MediaRetriever(settings_for(simulator)) as retriever:
            async with retriever.retrieve_many(reading(), concurrency=4) as results:
                done = 0
                async for result in results:
                    assert result.ok
                    done += 1
                    if done == 10:
                        results.stop()
        assert done == read == simulator.counts.api_ok


def test_stop_does_not_wait_for_an_input_that_yields_nothing():
    clock = VirtualClock()
    simulator = Simulator(clock=clock)

    async def silent():
        yield "id-1"
        await anyio.sleep_forever()

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            async with retriever.retrieve_many(silent(), concurrency=4) as results:
                with anyio.fail_after(2):
                    assert (await anext(results)).ok
                    results.stop()
                    assert [result async for result in results] == []

    clock.run(run())
