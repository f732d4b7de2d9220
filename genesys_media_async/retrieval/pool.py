"""
N workers over an input that is read lazily; knows nothing of HTTP.

    async with Pool(items, work, concurrency=16) as results:
        async for result in results:
            ...

Nothing runs before the block is entered or after it is left, however it is left. The workers belong to tasks of the
pool, so the block may be entered in one task and left in another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from .background import BackgroundTasks, cancelled_from_outside
from .source_reader import SourceReader, self_cancellation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator, Sequence
    from types import TracebackType
    from typing import Self

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result = TypeVar("Result")
Begun = TypeVar("Begun")

MAX_RELEASED = 1_000
"""Slots that may be released at once while other workers use them; each holds its items in memory."""


class Intake(Protocol):
    """Whether more items may be taken now; `is_open`, a plain attribute, is read before each one."""

    is_open: bool

    async def admitted(self) -> bool:
        """Wait while it is not open; False if it is worth asking again. What it raises ends the intake."""
        ...

    def wake(self) -> None:
        """End the waits in `admitted` with False."""
        ...


class OpenIntake:
    """An intake without limits."""

    is_open = True

    async def admitted(self) -> bool:
        """Return True."""
        return True

    def wake(self) -> None:
        """Do nothing: nobody waits."""


class Work(Protocol[Item_contra, Begun]):
    """What a pool does with its items, in steps: only what has to wait is awaited."""

    @property
    def repeated(self) -> Sequence[object]:
        """Items that wait for others in progress; while there are any, `share` is awaited."""
        ...

    def begin(self, items: tuple[Item_contra, ...], /) -> tuple[Begun, ...]:
        """Begin items; return what there is to do for them."""
        ...

    def do(self, begun: tuple[Begun, ...], work: Self, /) -> Awaitable[None]:
        """Do what was begun together; the function gets the work, too, so that it need not be one of its methods."""
        ...

    def end(self, begun: tuple[Begun, ...], /) -> None:
        """End what is done."""
        ...

    def let_go(self, begun: tuple[Begun, ...], /) -> None:
        """Forget what could not be done."""
        ...

    async def share(self) -> None:
        """Wait for what is in progress in place of `repeated`."""
        ...

    async def settled(self) -> None:
        """Wait until every result so far is handed over."""
        ...


class Pool(Generic[Item, Result, Begun]):
    """
    Does the `work` for the items, at most `concurrency` at once, and iterates over the results it hands over.

    `work` gets one item, or up to `batch_size` of them, and may hand over none, one or many results. They come in the
    order in which they are handed over, not in the order of the items. Once more than `concurrency` of them wait to be
    taken, the workers wait too, and nothing more is read from `items`. An exception from `items` or from `work` ends
    the intake; what is in progress is finished and handed over first, then the iteration raises it.
    """

    def __init__(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        work: Work[Item, Begun],
        *,
        concurrency: int,
        batch_size: int = 1,
        intake: Intake | None = None,
    ) -> None:
        self._items = items
        self._intake = intake or OpenIntake()
        self._work = work
        self._concurrency = concurrency
        self._batch_size = batch_size
        self._batches: Iterator[tuple[Item, ...]] = iter(())
        self._reader: SourceReader[Item] | None = None
        self._stopped = False
        self._takes_items = True
        self._failure: BaseException | None = None
        self._tasks = BackgroundTasks()
        self._own_tasks: set[asyncio.Task[object] | None] = set()
        self._working = 0
        self._released = 0
        self._spare_workers = 0
        self.ready: deque[Result] = deque()
        """Results that were handed over and not yet taken."""
        self._is_crowded = False
        """Whether more results than workers waited when the last ones came."""
        self._arrived = asyncio.Event()
        self.waiting_for_room: deque[asyncio.Future[None]] = deque()
        """Workers that wait until fewer results are `ready`."""

    def __repr__(self) -> str:
        return f"<Pool of {self._concurrency}{', stopped' if self._stopped else ''}>"

    async def __aenter__(self) -> Self:
        if isinstance(self._items, AsyncIterable):
            self._reader = SourceReader(aiter(self._items))
        else:
            source = iter(self._items)
            # One by one, zip makes the batches without any Python.
            self._batches = zip(source, strict=False) if self._batch_size == 1 else self._in_batches(source)
        await self._tasks.open()
        if self._reader is not None:
            self._working += 1
            self._tasks.start_soon(self._run_reader, self._reader)
        for _ in range(self._concurrency):
            self._start_worker()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def is_own_task(self) -> bool:
        """True inside `work` and inside the source of the items."""
        return asyncio.current_task() in self._own_tasks

    async def aclose(self) -> None:
        """Cancel what is in progress, wait until it has ended, and drop what was not taken."""
        if self.is_own_task:
            raise RuntimeError("A run cannot be closed from inside its ids or its endpoint: stop it instead.")
        try:
            await self._tasks.aclose()
        finally:
            self._working = 0
            self.ready.clear()
            self._arrived.set()

    def __aiter__(self) -> AsyncIterator[Result]:
        return self

    async def __anext__(self) -> Result:
        while not self.ready:
            if not self._working:
                self._tasks.raise_failure()
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self.take()

    def take(self) -> Result:
        """Return the oldest result in `ready`, which must not be empty."""
        result = self.ready.popleft()
        if self.waiting_for_room:
            self.make_room()
        return result

    def take_back(self, result: Result) -> None:
        """Put a result that was taken in front of the others."""
        self.ready.appendleft(result)

    def hand_over(self, results: Iterable[Result]) -> None:
        """Add results for the iteration."""
        self.ready.extend(results)
        self._is_crowded = len(self.ready) > self._concurrency
        self._arrived.set()

    def fail(self, error: BaseException) -> None:
        """Take no more items; what is in progress is finished and handed over, then the iteration raises `error`."""
        self._failure = self._failure or error
        self.stop()

    def stop(self) -> None:
        """Take no more items; what is in progress is finished and handed over, then the iteration ends."""
        self._stopped, self._takes_items = True, False
        self._intake.wake()
        if self._reader is not None:
            self._reader.stop()

    @asynccontextmanager
    async def slot_released(self) -> AsyncGenerator[None]:
        """Let another worker use the slot of a work that only waits inside this block."""
        if self._stopped or self._released >= MAX_RELEASED:
            yield
            return
        self._released += 1
        if self._spare_workers:
            self._spare_workers -= 1
        else:
            self._start_worker()
        try:
            yield
        finally:
            self._released -= 1
            self._spare_workers += 1

    def _start_worker(self) -> None:
        self._working += 1
        self._tasks.start_soon(self._run_worker)

    async def _run_worker(self) -> None:
        work = self._work
        with self._own_task():
            while self._takes_items:
                if self._spare_workers:
                    self._spare_workers -= 1
                    break
                begun: tuple[Begun, ...] = ()
                try:
                    if not self._intake.is_open and not await self._intake.admitted():
                        continue
                    items = (
                        next(self._batches, ()) if self._reader is None else await self._reader.take(self._batch_size)
                    )
                    if not items:
                        self._takes_items = False
                        self._intake.wake()
                        break
                    begun = work.begin(items)
                    if begun:
                        await work.do(begun, work)
                        work.end(begun)
                    if work.repeated:
                        # Only now: others may wait for what was begun here, and this worker for others.
                        begun = ()
                        await work.share()
                except BaseException as error:  # noqa: BLE001 - raised again, here or by the iteration
                    self._failed(error, begun)
                if self._is_crowded:
                    await self._room()
            await self._settled()

    async def _run_reader(self, reader: SourceReader[Item]) -> None:
        with self._own_task():
            try:
                await reader.run()
            except Exception as error:  # noqa: BLE001 - raised by the iteration, after what is already done
                self.fail(error)

    async def _settled(self) -> None:
        try:
            await self._work.settled()
        except Exception as error:  # noqa: BLE001 - likewise
            self.fail(error)

    def _failed(self, error: BaseException, begun: tuple[Begun, ...]) -> None:
        """Let the iteration raise an exception after what is already done; raise here if the task is cancelled."""
        self._work.let_go(begun)
        if isinstance(error, asyncio.CancelledError):
            error = self_cancellation(error, "work")
        elif not isinstance(error, Exception):
            raise error
        self.fail(error)

    @contextmanager
    def _own_task(self) -> Generator[None]:
        """Know the current task as one of the pool's, and how it ended."""
        self._own_tasks.add(task := asyncio.current_task())
        try:
            yield
        except BaseException as error:
            self._note_end(error)
            raise
        finally:
            self._own_tasks.discard(task)
            self._working -= 1
            self._arrived.set()

    def _note_end(self, error: BaseException) -> None:
        # Without a failure, the iteration would end as if every item were done.
        if self._failure is None and not self._tasks.is_closing:
            is_cancelled = isinstance(error, asyncio.CancelledError)
            self._failure = cancelled_from_outside() if is_cancelled else error

    def _in_batches(self, items: Iterator[Item]) -> Iterator[tuple[Item, ...]]:
        while batch := tuple(self._until_failure(islice(items, self._batch_size))):
            yield batch

    def _until_failure(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield items; those before an exception are done all the same."""
        try:
            yield from items
        except Exception as error:  # noqa: BLE001 - likewise
            self.fail(error)

    def make_room(self) -> None:
        """Let one waiting work go on, or all if nothing is left to take: released slots may make them more."""
        while self.waiting_for_room and len(self.ready) <= self._concurrency:
            waiter = self.waiting_for_room.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self.ready:
                    break

    async def _room(self) -> None:
        self._is_crowded = len(self.ready) > self._concurrency
        if self._is_crowded:
            waiter = asyncio.get_running_loop().create_future()
            self.waiting_for_room.append(waiter)
            await waiter
