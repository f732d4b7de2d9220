"""Runs and retrievers whose event loop or tasks end before they do: an error in our words, never a silent end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from genesys_media_async import MediaRetriever
from genesys_media_async.simulator import SimulatorSettings
from genesys_media_async.testing import ThreadedSimulator, simulator_settings
from tests.support.virtual_runs import ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genesys_media_async.retrieval.run import Run

OTHER_LOOP = "was opened in another event loop"
ENDED_LOOP = "The event loop of this MediaRetriever ended before the retriever was closed"
CANCELLED = "were cancelled from outside"


@pytest.fixture
def simulator() -> Iterator[ThreadedSimulator]:
    with ThreadedSimulator(SimulatorSettings(quota=None, latency=0.001)) as simulator:
        yield simulator


async def begun(simulator: ThreadedSimulator) -> tuple[MediaRetriever, Run]:
    """Open a retriever, and begin a run of it."""
    retriever = await MediaRetriever(simulator_settings(simulator)).open()
    run = retriever.retrieve_many(ids(1_000), concurrency=4)
    await run.__aenter__()
    await anext(run)
    return retriever, run


async def whole(run: Run) -> list[object]:
    return [result async for result in run]


USES = {
    "retrieve": lambda retriever, _: retriever.retrieve("a"),
    "retrieve_all": lambda retriever, _: retriever.retrieve_all(["a"]),
    "a new run": lambda retriever, _: whole(retriever.retrieve_many(["a"])),
    "the run": lambda _, run: whole(run),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_retriever_works_in_its_own_event_loop_only(simulator: ThreadedSimulator, use) -> None:
    own, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        retriever, run = own.run_until_complete(begun(simulator))
        with pytest.raises(RuntimeError, match=OTHER_LOOP):
            other.run_until_complete(use(retriever, run))
        with pytest.raises(RuntimeError, match=OTHER_LOOP):
            other.run_until_complete(retriever.aclose())
        own.run_until_complete(retriever.aclose())
    finally:
        own.close()
        other.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_retriever_whose_event_loop_ended_has_lost_its_runs(simulator: ThreadedSimulator, use) -> None:
    retriever, run = asyncio.run(begun(simulator))
    with pytest.raises(RuntimeError, match=ENDED_LOOP):
        asyncio.run(use(retriever, run))
    with pytest.raises(RuntimeError, match=ENDED_LOOP):
        asyncio.run(retriever.aclose())
    # It is closed now, as far as it can be.
    asyncio.run(retriever.aclose())


def cancel_all_others() -> None:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()


async def as_they_come():
    for each in ids(1_000):
        yield each


@pytest.mark.parametrize("source", [lambda: ids(1_000), as_they_come], ids=["iterable", "async iterable"])
def test_a_run_whose_tasks_are_cancelled_by_others_does_not_end_silently(simulator: ThreadedSimulator, source) -> None:
    async def main() -> int:
        done = 0
        async with MediaRetriever(simulator_settings(simulator)) as retriever:
            with pytest.raises(RuntimeError, match=CANCELLED):
                async for _ in retriever.retrieve_many(source()):
                    done += 1
                    if done == 10:
                        cancel_all_others()
            with pytest.raises(RuntimeError, match=CANCELLED):
                await retriever.retrieve("a")
        return done

    assert 10 <= asyncio.run(main()) < 1_000
