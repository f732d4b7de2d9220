"""Pools with simple work and sources, in virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
import anyio.lowlevel

from genesys_media_async.clock import VirtualClock
from genesys_media_async.retrieval.pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable


Item = TypeVar("Item")
Result = TypeVar("Result")


def run(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run in virtual time; no task may be left afterwards."""

    async def watched() -> None:
        await main()
        await anyio.lowlevel.checkpoint()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something is left running"

    VirtualClock().run(watched())


class Batches(Generic[Item]):
    """Work that awaits a function of each batch."""

    repeated = ()

    def __init__(self, function: Callable[[tuple[Item, ...]], Awaitable[None]]) -> None:
        self._function = function

    def do(self, begun: tuple[Item, ...], work: Batches[Item]) -> Awaitable[None]:
        return self._function(begun)

    def begin(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        return items

    def end(self, begun: tuple[Item, ...]) -> None: ...

    def let_go(self, begun: tuple[Item, ...]) -> None: ...

    async def share(self) -> None: ...

    async def settled(self) -> None: ...


def pool_of(
    items: Iterable[Item] | AsyncIterable[Item], work: Callable[[Item], Awaitable[Result]], *, concurrency: int
) -> Pool[Item, Result, Item]:
    """A pool whose work hands over one result for each item."""

    async def one_result(batch: tuple[Item, ...]) -> None:
        (item,) = batch
        pool.hand_over([await work(item)])

    pool = Pool[Item, Result, Item](items, Batches(one_result), concurrency=concurrency)
    return pool


async def double(item: int) -> int:
    await anyio.sleep(1)
    return 2 * item


def taking(seconds: float) -> Callable[[int], Awaitable[int]]:
    async def work(item: int) -> int:
        await anyio.sleep(seconds)
        return item

    return work


class Source:
    """An async source that records how it was left."""

    def __init__(self, items: Iterable[int], *, gap: float = 0.0, then_waits: bool = False) -> None:
        self.items = items
        self.gap = gap
        self.then_waits = then_waits
        self.taken = 0
        self.closed = False
        self.cancelled = False

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for item in self.items:
                await anyio.sleep(self.gap)
                self.taken += 1
                yield item
            if self.then_waits:
                await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            # A clean-up may have to wait, such as one that returns a connection.
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            self.closed = True
