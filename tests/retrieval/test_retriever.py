"""A retriever: opened, shared and closed, in any task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async import MediaRetriever, SettingsError, VirtualClock, WebhookTarget
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import other_tasks, settings_for
from tests.support.virtual_runs import ids

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


def run(scenario: Callable[[MediaRetriever, VirtualClock], Awaitable[None]], **overrides: object) -> Simulator:
    """Run a scenario with a retriever that is not yet open, in virtual time; nothing may be left running."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)

    async def main() -> None:
        retriever = MediaRetriever(settings_for(simulator, **overrides), transport=simulator.transport(), clock=clock)
        await scenario(retriever, clock)
        assert other_tasks() == set()

    clock.run(main())
    return simulator


def test_a_retriever_outlives_the_scope_in_which_it_was_opened():
    async def scenario(retriever: MediaRetriever, clock: VirtualClock) -> None:
        with anyio.CancelScope() as scope:
            await retriever.open()
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        # The token is requested by a task of the retriever.
        assert (await retriever.retrieve("recording-1")).ok
        await retriever.aclose()

    assert run(scenario).counts.token_requests == 1


def test_closing_twice_or_without_opening_does_nothing():
    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        await retriever.aclose()
        await retriever.open()
        await retriever.aclose()
        await retriever.aclose()

    run(scenario)


def test_an_opening_that_fails_leaves_nothing_running_and_may_be_repeated(tmp_path: Path):
    folder = tmp_path / "made later"
    target = WebhookTarget(url="https://receiver.example.com/", undelivered_file=folder / "undelivered.jsonl")

    async def scenario(retriever: MediaRetriever, _: VirtualClock) -> None:
        with pytest.raises(SettingsError, match="undelivered_file"):
            await retriever.open()
        assert other_tasks() == set()
        folder.mkdir()
        async with retriever:
            assert retriever.statistics().done == 0

    run(scenario, webhook=target)


def test_a_close_that_is_cancelled_ends_all_runs_and_raises():
    async def scenario(retriever: MediaRetriever, clock: VirtualClock) -> None:
        async def stubborn() -> AsyncIterator[str]:
            try:
                for file_id in ids(100):
                    yield file_id
            finally:
                await clock.sleep(2)

        await retriever.open()
        runs = [await retriever.retrieve_many(stubborn(), concurrency=2).__aenter__() for _ in range(3)]
        for each in runs:
            assert (await anext(each)).ok
        closing = asyncio.create_task(retriever.aclose())
        await clock.sleep(0.1)
        closing.cancel()
        await asyncio.wait({closing})
        assert closing.cancelled()
        assert other_tasks() == set()
        for each in runs:
            with pytest.raises(RuntimeError, match="closed"):
                await anext(each)

    run(scenario)


@pytest.mark.anyio
async def test_the_error_of_a_closed_retriever_explains_how_to_open_it():
    async with Simulator() as simulator:
        retriever = MediaRetriever(settings_for(simulator))
        with pytest.raises(RuntimeError, match="async with MediaRetriever"):
            await retriever.retrieve("recording-1")
        async with retriever:
            with pytest.raises(RuntimeError, match="open already"):
                await retriever.__aenter__()
            await retriever.retrieve("recording-1")
        with pytest.raises(RuntimeError, match="not open"):
            retriever.retrieve_many(["recording-1"])
