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
from contextlib import asynccontextmanager
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from anyio.abc import TaskGroup

Item = TypeVar("Item")
Result = TypeVar("Result")

CLOSE_TIMEOUT = 5.0

LINGER = 0.1
"""Seconds that a batch which is not full waits for another item of a source that is slow."""

MAX_RESTING = 1_000
"""So many works may rest at once while others take their places; each holds its items in memory."""


class _End(Enum):
    END = auto()


_END: Final = _End.END


class Pool(Generic[Item, Result]):
    """
    Calls `work` for the items, for at most `concurrency` at once, and iterates over what it tells.

    `work` is given one item, or up to `batch_size` of them, and may `tell` none, one or many results. They come as they
    are told, not in the order of the items. Once more than `concurrency` of them wait to be taken, the workers wait
    too, and nothing more is read from `items`. An exception from `items` or from `work` ends the intake; what is under
    way is finished and handed over first, then the iteration raises it.
    """

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        work: Callable[[tuple[Item, ...]], Awaitable[None]],
        *,
        concurrency: int,
        batch_size: int = 1,
    ) -> None:
        self._items = items
        self._work = work
        self._concurrency = concurrency
        self._batch_size = batch_size
        self._source: Iterator[Item] = iter(())
        self._reader: _Reader[Item] | None = None
        self._stopped = False
        self._failure: BaseException | None = None
        self._task_group: TaskGroup
        self._working = 0
        self._resting = 0
        self._surplus = 0
        self.ready: deque[Result] = deque()
        """What was told and not yet taken."""
        self._arrived = asyncio.Event()
        self._waiting_for_room: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Pool of {self._concurrency}{', stopped' if self._stopped else ''}>"

    async def __aenter__(self) -> Self:
        if isinstance(self._items, AsyncIterable):
            self._reader = _Reader(aiter(self._items))
        else:
            self._source = iter(self._items)
        self._task_group = await anyio.create_task_group().__aenter__()
        if self._reader is not None:
            self._working += 1
            self._task_group.start_soon(self._run_reader, self._reader)
        for _ in range(self._concurrency):
            self._start_worker()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._task_group.cancel_scope.cancel()
        try:
            return await leave(self._task_group, error)
        finally:
            self._working = 0
            self.ready.clear()

    def __aiter__(self) -> AsyncIterator[Result]:
        return self

    async def __anext__(self) -> Result:
        while not self.ready:
            if not self._working:
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self.take()

    def take(self) -> Result:
        """Return the result that was told first of those in `ready`, where there is one."""
        result = self.ready.popleft()
        if self._waiting_for_room and len(self.ready) <= self._concurrency:
            self._make_room()
        return result

    def take_back(self, result: Result) -> None:
        """Let a result that was taken be the next to be taken."""
        self.ready.appendleft(result)

    def tell(self, result: Result) -> None:
        """Hand a result over."""
        self.ready.append(result)
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """Take no more items; what is under way is finished and handed over, then the iteration raises `error`."""
        self._failure = self._failure or error
        self.stop()

    def stop(self) -> None:
        """Take no more items; what is under way is finished and handed over, then the iteration ends."""
        self._stopped = True
        if self._reader is not None:
            self._reader.stop()

    @asynccontextmanager
    async def resting(self) -> AsyncGenerator[None]:
        """Let another worker take the place of the work that enters this, for as long as it only waits."""
        if self._stopped or self._resting >= MAX_RESTING:
            yield
            return
        self._resting += 1
        if self._surplus:
            self._surplus -= 1
        else:
            self._start_worker()
        try:
            yield
        finally:
            self._resting -= 1
            self._surplus += 1

    def _start_worker(self) -> None:
        self._working += 1
        self._task_group.start_soon(self._run_worker)

    async def _run_worker(self) -> None:
        try:
            while not self._stopped:
                if self._surplus:
                    self._surplus -= 1
                    break
                try:
                    batch = await self._reader.take(self._batch_size) if self._reader else self._next_batch()
                    if not batch:
                        break
                    await self._work(batch)
                except Exception as error:  # noqa: BLE001 - raised by the iteration, after what is already done
                    self.fail(error)
                except asyncio.CancelledError as error:
                    self.fail(_cancelled_by_itself(error, "work"))
                if len(self.ready) > self._concurrency:
                    await self._room()
        finally:
            self._working -= 1
            self._arrived.set()

    async def _run_reader(self, reader: _Reader[Item]) -> None:
        try:
            await reader.run()
        except Exception as error:  # noqa: BLE001 - likewise
            self.fail(error)
        finally:
            self._working -= 1
            self._arrived.set()

    def _next_batch(self) -> tuple[Item, ...]:
        if self._batch_size == 1:
            item = next(self._source, _END)
            return () if item is _END else (item,)
        batch: list[Item] = []
        try:
            batch.extend(islice(self._source, self._batch_size))
        except Exception as error:  # noqa: BLE001 - likewise
            self.fail(error)
        return tuple(batch)

    def _make_room(self) -> None:
        """Let a work go on that waits, and all of them if nothing is left to take: works that rested may be more."""
        while self._waiting_for_room:
            waiter = self._waiting_for_room.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self.ready:
                    break

    async def _room(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting_for_room.append(waiter)
        await waiter


class _Reader(Generic[Item]):
    """
    Reads an async source in one task from beginning to end, an item at a time, and only when a worker wants one.

    A generator may hold a cancel scope or a task group open over its yields. These have to be left by the task that
    entered them, and before any scope that was entered earlier.
    """

    def __init__(self, source: AsyncIterator[Item]) -> None:
        self._source = source
        self._scope = anyio.CancelScope()
        self._lock = asyncio.Lock()
        self._order: asyncio.Future[Item | Literal[_End.END]] | None = None
        self._ordered = asyncio.Event()
        self._reading = False
        self._stopped = False
        self._ended = False

    def stop(self) -> None:
        """Read no more."""
        self._stopped = True
        if self._reading:
            self._scope.cancel()
        else:
            self._ordered.set()

    async def take(self, most: int) -> tuple[Item, ...]:
        """Wait for an item, and a little for each further one; none means that the source has ended, or failed."""
        batch: list[Item] = []
        # One worker at a time, so that what trickles in makes one full batch and not many with an item each.
        async with self._lock:
            while len(batch) < most:
                if self._order is None:
                    if self._ended:
                        break
                    self._order = asyncio.get_running_loop().create_future()
                    self._ordered.set()
                if not batch:
                    await self._order
                elif not (await asyncio.wait({self._order}, timeout=LINGER))[0]:
                    # What comes of the order is the first item of the next batch.
                    break
                order, self._order = self._order, None
                item = order.result()
                if item is _END:
                    break
                batch.append(item)
        return tuple(batch)

    async def run(self) -> None:
        """Read until the source ends, or `stop`. Raises what the source raises."""
        try:
            with self._scope:
                try:
                    await self._read()
                finally:
                    await self._close()
        finally:
            self._ended = True
            if self._order is not None and not self._order.done():
                self._order.set_result(_END)

    async def _read(self) -> None:
        while True:
            await self._ordered.wait()
            self._ordered.clear()
            if self._stopped:
                return
            self._reading = True
            try:
                item = await anext(self._source)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError as error:
                raise _cancelled_by_itself(error, "source") from None
            finally:
                self._reading = False
            if self._order is not None and not self._order.done():
                self._order.set_result(item)

    async def _close(self) -> None:
        source: object = self._source
        if isinstance(source, AsyncGenerator):
            # Left alone, it is ended by the event loop, some time, in a task of its own. No scope is entered for it:
            # the generator's own have to be the innermost.
            self._scope.shield = True
            self._scope.deadline = anyio.current_time() + CLOSE_TIMEOUT
            try:
                await source.aclose()
            except BaseExceptionGroup as group:
                # What a task group that is open over a yield makes of the GeneratorExit that closes its generator.
                if group.split(GeneratorExit)[1] is not None:
                    raise


def _cancelled_by_itself(error: asyncio.CancelledError, what: str) -> RuntimeError:
    """Return what it means that a work or the source ends with a cancellation; raise it if it is the run's own."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    return RuntimeError(f"The {what} was cancelled from within, which nobody had asked for.")


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
