"""Each frame that holds a retriever, with each part at work, cut in each way over real sockets: nothing is left."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI

from genesys_media_async import MediaRetriever, WebhookTarget
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.sinks import Sink
from tests.support.cancellation import is_in_its_own_context
from tests.support.exchanges import OPEN_FILES, open_files, until
from tests.support.retrievers import other_tasks, settings_for
from tests.support.watchdog import run_watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence

    from genesys_media_async.events import Event

    Work = Callable[[], Awaitable[object]]
    Frame = Callable[["World", "Callable[[Work], Awaitable[None]]"], Awaitable[None]]

PARTS = ("nothing", "webhook", "audit", "sinks", "slow endpoint")


class SlowSink(Sink):
    """A sink that is in the middle of a write nearly always."""

    def __init__(self) -> None:
        self.writing = False
        self.closed = False

    async def write(self, events: Sequence[Event]) -> None:
        self.writing = True
        await anyio.sleep(0.02)
        self.writing = False

    async def aclose(self) -> None:
        await anyio.sleep(0.01)
        self.closed = True


class World:
    """A simulator, and retrievers for it one part of which is at work when they are cut."""

    def __init__(self, simulator: Simulator, part: str) -> None:
        self.simulator = simulator
        self.part = part
        self.sinks: list[SlowSink] = []
        self.got = 0
        if part == "webhook":
            simulator.script_webhook(*[Fault.HANG] * 1_000)
        if part == "slow endpoint":
            simulator.script(None, None, *[Fault.HANG] * 1_000)

    def retriever(self) -> MediaRetriever:
        target = WebhookTarget(url=self.simulator.webhook_url, drain_timeout=0.2, concurrency=2)
        sink = SlowSink()
        parts: dict[str, list[SlowSink]] = {self.part: [sink]} if self.part in {"audit", "sinks"} else {}
        self.sinks += parts.get(self.part, [])
        return MediaRetriever(
            settings_for(self.simulator, webhook=target if self.part == "webhook" else None),
            audit=parts.get("audit", ()),
            sinks=parts.get("sinks", ()),
        )

    async def use(self, retriever: MediaRetriever) -> None:
        """Retrieve ids without an end."""
        async with retriever.retrieve_many((f"id-{number}" for number in count()), concurrency=2) as run:
            async for _ in run:
                self.got += 1

    def is_under_way(self) -> bool:
        """True when the part is at work."""
        counts = self.simulator.counts
        match self.part:
            case "webhook":
                return counts.webhook_requests > 0
            case "slow endpoint":
                return counts.faults[Fault.HANG] > 0
            case "audit" | "sinks":
                return any(sink.writing for sink in self.sinks)
            case _:
                return self.got > 0 and counts.in_flight > 0


async def plain(world: World, cut: Callable[[Work], Awaitable[None]]) -> None:
    async def work() -> None:
        async with world.retriever() as retriever:
            await world.use(retriever)

    await cut(work)


async def exit_stack(world: World, cut: Callable[[Work], Awaitable[None]]) -> None:
    async def work() -> None:
        async with AsyncExitStack() as stack:
            await world.use(await stack.enter_async_context(world.retriever()))

    await cut(work)


async def nested_stacks(world: World, cut: Callable[[Work], Awaitable[None]]) -> None:
    async def work() -> None:
        async with AsyncExitStack() as outer:
            first = await outer.enter_async_context(world.retriever())
            async with AsyncExitStack() as inner:
                second = await inner.enter_async_context(world.retriever())
                await asyncio.gather(world.use(first), world.use(second))

    await cut(work)


async def fixture(world: World, cut: Callable[[Work], Awaitable[None]]) -> None:
    """As pytest-asyncio does it: set-up, test and tear-down are tasks of their own."""

    async def fixture_function() -> AsyncIterator[MediaRetriever]:
        async with world.retriever() as retriever:
            yield retriever

    generator = fixture_function()

    async def step() -> MediaRetriever | None:
        return await anext(generator, None)

    retriever = await asyncio.create_task(step())
    assert retriever is not None
    await cut(lambda: world.use(retriever))
    assert await asyncio.create_task(step()) is None


async def lifespan(world: World, cut: Callable[[Work], Awaitable[None]]) -> None:
    """FastAPI: one retriever in the lifespan, one in a dependency, and a request that is cut."""

    @asynccontextmanager
    async def whole_life(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.retriever = await stack.enter_async_context(world.retriever())
            yield

    async def of_one_request() -> AsyncIterator[MediaRetriever]:
        async with world.retriever() as retriever:
            yield retriever

    async def urls(retriever: Annotated[MediaRetriever, Depends(of_one_request)]) -> None:
        await asyncio.gather(world.use(retriever), world.use(app.state.retriever))

    app = FastAPI(lifespan=whole_life)
    # Resolved here: annotations of local names are texts that FastAPI cannot evaluate.
    urls.__annotations__ = {"retriever": Annotated[MediaRetriever, Depends(of_one_request)], "return": None}
    app.get("/urls")(urls)
    received: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    server = asyncio.create_task(app({"type": "lifespan", "state": {}}, received.get, sent.put))
    await received.put({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    request = {"type": "http", "method": "GET", "path": "/urls", "query_string": b"", "headers": []}

    async def handle() -> None:
        # The client sends nothing more, and nobody reads what it would be sent.
        nothing: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        await app(request, nothing.get, nothing.put)

    await cut(handle)
    await received.put({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await server


def cutting(how: str, world: World) -> Callable[[Work], Awaitable[None]]:
    """Return what does some work in a task, and cuts it as soon as the part is at work."""

    async def cut(work: Work) -> None:
        scope, timeout = anyio.CancelScope(), asyncio.timeout(None)

        async def framed() -> None:
            with scope:
                async with timeout:
                    await work()

        victim = asyncio.create_task(framed())
        await until(lambda: world.is_under_way() or victim.done())
        assert not victim.done()
        match how:
            case "cancel scope":
                scope.cancel()
            case "time-out":
                timeout.reschedule(asyncio.get_running_loop().time())
            case _:
                victim.cancel()
        if how == "cancel twice":
            await asyncio.sleep(0.001)
            victim.cancel()
        error: BaseException | None = None
        try:
            await victim
        except BaseException as caught:
            error = caught
        assert error is None or not is_in_its_own_context(error)
        expected = {"cancel scope": type(None), "time-out": TimeoutError}.get(how, asyncio.CancelledError)
        assert type(error) is expected

    return cut


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="counts open files in /proc")
@pytest.mark.parametrize("how", ["cancel scope", "time-out", "task.cancel()", "cancel twice"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("frame", [plain, exit_stack, nested_stacks, fixture, lifespan])
def test_what_is_cut_while_a_part_is_at_work_leaves_nothing_behind(frame: Frame, part: str, how: str) -> None:
    async def main() -> None:
        settings = SimulatorSettings(quota=None, latency=0.002, fault_seconds=300.0)
        async with Simulator(settings) as simulator:
            before = open_files()
            world = World(simulator, part)
            await frame(world, cutting(how, world))
            assert other_tasks() == set()
            assert all(sink.closed for sink in world.sinks)
            # The simulator reads the end of its connections a little later.
            with suppress(TimeoutError):
                await until(lambda: open_files() == before)
            assert open_files() == before
        gc.collect()

    run_watched(main)
