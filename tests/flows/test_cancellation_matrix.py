"""Each way to hold a retriever, cancelled in each way at any step: it ends soon and leaves nothing running."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async import MediaRetriever, VirtualClock, WebhookTarget
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.sinks import Sink
from tests.support.cancellation import Stop, is_in_its_own_context, run_stepping
from tests.support.retrievers import collect, other_tasks, settings_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from genesys_media_async.events import Event

MAX_EXIT = 10.0
"""Virtual seconds from a cancellation to the end; a hanging request would take thirty."""

IDS = ("a", "b")


class ClosingSink(Sink):
    """A sink that takes a while to close."""

    def __init__(self) -> None:
        self.written = 0
        self.closed = False

    async def write(self, events: Sequence[Event]) -> None:
        self.written += len(events)

    async def aclose(self) -> None:
        self.closed = True
        await anyio.sleep(0.5)


class World:
    """A simulator with a reply that hangs, retrievers for it, and a `Stop` for the tasks that use them."""

    def __init__(self, stop: Stop, *, with_webhook: bool) -> None:
        self.stop = stop
        self.clock = VirtualClock()
        self.sinks: list[ClosingSink] = []
        self.simulator = Simulator(SimulatorSettings(quota=None, latency=0.05, fault_seconds=1_000.0), clock=self.clock)
        self.simulator.script(None, Fault.HANG)
        target = WebhookTarget(url=self.simulator.webhook_url, drain_timeout=5.0, concurrency=1)
        self.settings = settings_for(self.simulator, webhook=target if with_webhook else None, timeout=30.0)

    def retriever(self) -> MediaRetriever:
        audit, metrics = ClosingSink(), ClosingSink()
        self.sinks += [audit, metrics]
        return MediaRetriever(
            self.settings,
            transport=self.simulator.transport(),
            audit=[audit],
            sinks=[metrics],
            clock=self.clock,
            rng=random.Random(1),
        )

    async def as_victim(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Do the work in a task that may be cancelled; return whether it was. Another exception is raised."""
        self.stop.scope = scope = anyio.CancelScope()

        async def scoped() -> None:
            with scope:
                await work()

        self.stop.victim = asyncio.create_task(scoped())
        error = await exception_of(self.stop.victim)
        if error is None:
            return scope.cancelled_caught
        assert not is_in_its_own_context(error)
        if not isinstance(error, asyncio.CancelledError):
            raise error
        return True


async def exception_of(task: asyncio.Task[None]) -> BaseException | None:
    try:
        await task
    except BaseException as error:
        return error
    return None


async def async_with(world: World) -> bool:
    async def work() -> None:
        async with world.retriever() as retriever:
            assert len(await collect(retriever, IDS, concurrency=2)) == len(IDS)

    return await world.as_victim(work)


async def exit_stack(world: World) -> bool:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            retriever = await stack.enter_async_context(world.retriever())
            run = await stack.enter_async_context(retriever.retrieve_many(IDS, concurrency=2))
            assert len([result async for result in run]) == len(IDS)

    return await world.as_victim(work)


async def nested_stacks(world: World) -> bool:
    async def work() -> None:
        async with AsyncExitStack() as outer:
            first = await outer.enter_async_context(world.retriever())
            async with AsyncExitStack() as inner:
                second = await inner.enter_async_context(world.retriever())
                runs = [
                    await stack.enter_async_context(retriever.retrieve_many(IDS[:1], concurrency=1))
                    for stack, retriever in ((outer, first), (inner, second))
                ]
                assert [len([result async for result in run]) for run in runs] == [1, 1]

    return await world.as_victim(work)


async def open_and_aclose(world: World) -> bool:
    """Open, use and close a retriever in three tasks, each of which may be cancelled."""
    retriever = world.retriever()

    async def use() -> None:
        assert len(await collect(retriever, IDS, concurrency=2)) == len(IDS)

    if await world.as_victim(retriever.open):
        # The cancellation may have come with the last step, when it was open.
        await retriever.aclose()
        return True
    was_cancelled = await world.as_victim(use)
    return await world.as_victim(retriever.aclose) or was_cancelled


def run_and_cancel(
    hold: Callable[[World], Awaitable[bool]], how: str, *, at: int, with_webhook: bool
) -> tuple[int, bool]:
    """Cancel before the `at`-th step; return how many steps there were, and whether the cancellation had an effect."""
    stop = Stop(at, by_scope=how == "scope", again_after=1 + at % 4 if how == "cancel twice" else None)
    world = World(stop, with_webhook=with_webhook)

    async def main() -> bool:
        was_cancelled = await hold(world)
        assert other_tasks() == set(), f"something is left running after a cancellation at step {at}"
        return was_cancelled

    was_cancelled = run_stepping(stop, world.clock, main)
    # A scope that is cancelled with the last step in it has no effect.
    assert was_cancelled or how == "scope" or stop.stopped_at is None, f"the cancellation at step {at} was lost"
    if was_cancelled and stop.stopped_at is not None:
        assert world.clock.monotonic() - stop.stopped_at <= MAX_EXIT, f"a slow end after a cancellation at step {at}"
    assert world.simulator.counts.in_flight == 0
    assert all(sink.closed for sink in world.sinks if sink.written), f"a sink is left open at step {at}"
    return stop.steps, was_cancelled


@pytest.mark.parametrize("with_webhook", [False, True], ids=["no webhook", "webhook"])
@pytest.mark.parametrize("how", ["scope", "task.cancel()", "cancel twice"])
@pytest.mark.parametrize("hold", [async_with, exit_stack, nested_stacks, open_and_aclose])
def test_a_retriever_that_is_cancelled_at_any_step_ends_soon_and_leaves_nothing_running(
    hold: Callable[[World], Awaitable[bool]], how: str, with_webhook: bool
):
    steps, was_cancelled = run_and_cancel(hold, how, at=0, with_webhook=with_webhook)
    assert not was_cancelled
    assert steps > 20
    endings = [run_and_cancel(hold, how, at=at, with_webhook=with_webhook)[1] for at in range(1, steps + 1)]
    assert sum(endings) > steps / 2
