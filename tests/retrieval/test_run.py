"""A run: begun once, iterated with or without a block, and closed at any time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from genesys_media_async import CredentialsRejectedError, MediaRetriever, VirtualClock
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import other_tasks, settings_for
from tests.support.virtual_runs import ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


def run(scenario: Callable[[MediaRetriever, VirtualClock], Awaitable[None]], **overrides: object) -> Simulator:
    """Run a scenario with an open retriever, in virtual time; nothing may be left running."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)

    async def main() -> None:
        configured = settings_for(simulator, **overrides)
        async with MediaRetriever(configured, transport=simulator.transport(), clock=clock) as retriever:
            await scenario(retriever, clock)
        assert other_tasks() == set()

    clock.run(main())
    return simulator


def test_a_run_begins_once():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        async with retriever.retrieve_many(ids(3)) as results:
            assert len([result async for result in results]) == 3
        with pytest.raises(RuntimeError, match="begun before"):
            await results.__aenter__()
        with pytest.raises(TypeError):
            await retriever.retrieve_many(7).__aenter__()  # type: ignore[arg-type]
        assert retriever.statistics().done == 3

    run(scenario)


def test_a_bare_loop_that_is_left_early_ends_its_run_soon():
    async def scenario(retriever: MediaRetriever, clock: VirtualClock) -> None:
        before = other_tasks()
        async for result in retriever.retrieve_many(ids(1_000), concurrency=3):
            assert result.ok
            break
        # The event loop closes what the loop has left, in a task of its own.
        await clock.sleep(1)
        assert other_tasks() == before

    assert run(scenario).counts.api_requests <= 6


def test_a_run_that_has_not_begun_explains_how_to_begin_it():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        with pytest.raises(RuntimeError, match=r"has not begun.*async with"):
            await anext(retriever.retrieve_many(ids(3)))

    run(scenario)


def test_a_run_that_was_read_to_its_end_stays_at_its_end_until_it_is_closed():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        async with retriever.retrieve_many(ids(3)) as results:
            assert len([result async for result in results]) == 3
            assert [result async for result in results] == []
        with pytest.raises(RuntimeError, match="closed"):
            await anext(results)

    run(scenario)


@pytest.mark.parametrize("closer", ["run", "retriever"])
@pytest.mark.parametrize("is_waiting", [True, False], ids=["a waiting reader", "a later reader"])
def test_a_run_that_is_closed_early_raises_when_it_is_iterated(closer: str, is_waiting: bool):
    async def scenario(retriever: MediaRetriever, clock: VirtualClock) -> None:
        results = await retriever.retrieve_many(ids(100), concurrency=2).__aenter__()
        assert (await anext(results)).ok
        assert (await anext(results)).ok

        async def read() -> None:
            with pytest.raises(RuntimeError, match="closed before its last result"):
                await anext(results)

        reader = asyncio.create_task(read()) if is_waiting else None
        await clock.sleep(0.5)
        await asyncio.create_task((results if closer == "run" else retriever).aclose())
        await (reader or read())
        await results.aclose()

    run(scenario)


def test_a_run_may_be_begun_and_closed_in_different_tasks():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        before = other_tasks()
        results = await asyncio.create_task(retriever.retrieve_many(ids(100), concurrency=2).__aenter__())
        assert (await anext(results)).ok
        await asyncio.create_task(results.aclose())
        assert other_tasks() == before

    run(scenario)


def test_a_run_that_could_not_begin_is_closed():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        before = other_tasks()
        results = retriever.retrieve_many(ids(3))
        with pytest.raises(CredentialsRejectedError):
            await results.__aenter__()
        assert other_tasks() == before
        with pytest.raises(RuntimeError, match="closed"):
            await anext(results)

    run(scenario, client_secret="wrong")


def test_an_input_is_closed_with_its_run():
    closed: list[str] = []

    async def reading(name: str) -> AsyncIterator[str]:
        try:
            for file_id in ids(100):
                yield file_id
        finally:
            closed.append(name)

    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        async with retriever.retrieve_many(reading("left early"), concurrency=2) as results:
            await anext(results)
        assert closed == ["left early"]
        results = await retriever.retrieve_many(reading("open"), concurrency=2).__aenter__()
        await anext(results)
        await retriever.aclose()
        assert closed == ["left early", "open"]

    run(scenario)


def test_the_repr_of_a_run_has_its_counts():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        async with retriever.retrieve_many([*ids(3), "a b"], concurrency=1) as results:
            async for _each in results:
                pass
            assert repr(results) == "<Run: 3 retrieved, 1 failed, 0 in flight>"

    run(scenario)
