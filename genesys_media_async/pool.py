"""
N workers over an input that is read lazily; knows nothing of HTTP.

    async with Pool(items, work, concurrency=16) as results:
        async for result in results:
            ...

Nothing runs before the block is entered or after it is left, however it is left. A generator would be shorter, but
must not own a task group: it can be abandoned half-way, and its clean-up would run at some later time in some other
task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

Item = TypeVar("Item")
Result = TypeVar("Result")

CLOSE_PATIENCE = 5.0


class _End(Enum):
    END = auto()


_END: Final = _End.END


class Pool(Generic[Item, Result]):
    """
    Calls `work` for each item, for at most `concurrency` of them at once, and iterates over what it tells.

    `work` is given the item and a function that takes a result; it may tell none, one or many. Results come as they are
    told, not in the order of the items. Once `concurrency` of them wait to be taken, the workers wait too, and nothing
    more is read from `items`. An exception from `items` or from `work` ends the intake; what is under way is finished
    and handed over first, then the iteration raises it.
    """

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        work: Callable[[Item, Callable[[Result], None]], Awaitable[None]],
        *,
        concurrency: int,
    ) -> None:
        self._items = items
        self._work = work
        self._concurrency = concurrency
        self._source: Iterator[Item] | None = None
        self._async_source: AsyncIterator[Item] | None = None
        self._source_lock = anyio.Lock(fast_acquire=True)
        self._reading: anyio.CancelScope | None = None
        self._stopped = False
        self._failure: BaseException | None = None
        self._task_group: TaskGroup
        self._working = 0
        self._ready: deque[Result] = deque()
        self._arrived = asyncio.Event()
        self._waiting_for_room: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Pool of {self._concurrency}{', stopped' if self._stopped else ''}>"

    async def __aenter__(self) -> Self:
        if isinstance(self._items, AsyncIterable):
            self._async_source = aiter(self._items)
        else:
            self._source = iter(self._items)
        self._task_group = await anyio.create_task_group().__aenter__()
        self._working = self._concurrency
        for _ in range(self._concurrency):
            self._task_group.start_soon(self._run_worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._task_group.cancel_scope.cancel()
        try:
            return await leave(self._task_group, error)
        finally:
            self._working = 0
            self._ready.clear()
            await self._close_source()

    def __aiter__(self) -> AsyncIterator[Result]:
        return self

    async def __anext__(self) -> Result:
        while not self._ready:
            if not self._working:
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        result = self._ready.popleft()
        if self._waiting_for_room and len(self._ready) < self._concurrency:
            waiter = self._waiting_for_room.popleft()
            if not waiter.done():
                waiter.set_result(None)
        return result

    def stop(self) -> None:
        """Take no more items; what is under way is finished and handed over, then the iteration ends."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()

    async def _run_worker(self) -> None:
        source = self._source
        try:
            while not self._stopped:
                try:
                    item = next(source, _END) if source is not None else await self._next_item()
                    if item is _END:
                        break
                    await self._work(item, self._tell)
                except Exception as error:  # noqa: BLE001 - raised by the iteration, after what is already done
                    self._failure = self._failure or error
                    self.stop()
                if len(self._ready) >= self._concurrency:
                    await self._room()
        finally:
            self._working -= 1
            self._arrived.set()

    def _tell(self, result: Result) -> None:
        self._ready.append(result)
        self._arrived.set()

    async def _room(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting_for_room.append(waiter)
        await waiter

    async def _next_item(self) -> Item | Literal[_End.END]:
        async with self._source_lock:
            if self._stopped or self._async_source is None:
                return _END
            with anyio.CancelScope() as self._reading:
                try:
                    return await anext(self._async_source)
                except StopAsyncIteration:
                    self._stopped = True
            return _END

    async def _close_source(self) -> None:
        # Left alone, an abandoned async generator is ended by the event loop, some time, in a task of its own.
        source: object = self._async_source
        if isinstance(source, AsyncGenerator):
            with anyio.move_on_after(CLOSE_PATIENCE, shield=True):
                await source.aclose()


async def leave(task_group: TaskGroup, error: BaseException | None) -> bool | None:
    """
    End a task group on behalf of an `__aexit__` that was called with `error`.

    An exception that is alone in its group comes out as itself: callers write `except ConnectionError`, and need not
    know that there is a task group.
    """
    try:
        return await task_group.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)
    except BaseExceptionGroup as group:
        alone: BaseException = group.exceptions[0] if len(group.exceptions) == 1 else group
    if alone is error:
        return False
    raise alone
