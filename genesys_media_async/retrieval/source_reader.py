"""One task that reads an async iterable for many workers, from its first item to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from enum import Enum, auto
from typing import Final, Generic, Literal, TypeVar

import anyio

Item = TypeVar("Item")

CLOSE_TIMEOUT = 5.0
"""Seconds that a source may take to close."""

LINGER = 0.1
"""Seconds that an incomplete batch waits for another item of a slow source."""


class _End(Enum):
    END = auto()


_END: Final = _End.END


class SourceReader(Generic[Item]):
    """
    Reads an async source in one task from beginning to end, one item at a time, and only on demand.

    A generator may hold a cancel scope or a task group open over its yields. These must be left by the task that
    entered them, and before any scope that was entered earlier.
    """

    def __init__(self, source: AsyncIterator[Item]) -> None:
        self._source = source
        self._scope = anyio.CancelScope()
        self._lock = asyncio.Lock()
        self._demand: asyncio.Future[Item | Literal[_End.END]] | None = None
        self._demanded = asyncio.Event()
        self._reading = False
        self._stopped = False
        self._ended = False

    def stop(self) -> None:
        """Read no more."""
        self._stopped = True
        if self._reading:
            self._scope.cancel()
        else:
            self._demanded.set()

    async def take(self, max_items: int) -> tuple[Item, ...]:
        """Wait for an item, and a little for each further one; empty once the source has ended or failed."""
        batch: list[Item] = []
        # One worker at a time, so that a trickle makes one full batch and not many of one item each.
        async with self._lock:
            while len(batch) < max_items:
                if self._demand is None:
                    if self._ended:
                        break
                    self._demand = asyncio.get_running_loop().create_future()
                    self._demanded.set()
                if not batch:
                    await self._demand
                elif not (await asyncio.wait({self._demand}, timeout=LINGER))[0]:
                    # The item of this demand will be the first of the next batch.
                    break
                demand, self._demand = self._demand, None
                item = demand.result()
                if item is _END:
                    break
                batch.append(item)
        return tuple(batch)

    async def run(self) -> None:
        """Read until the source ends, or `stop`. Raises the exception of the source."""
        try:
            with self._scope:
                try:
                    await self._read()
                finally:
                    await self._close()
        finally:
            self._ended = True
            if self._demand is not None and not self._demand.done():
                self._demand.set_result(_END)

    async def _read(self) -> None:
        while True:
            await self._demanded.wait()
            self._demanded.clear()
            if self._stopped:
                return
            self._reading = True
            try:
                item = await anext(self._source)
            except StopAsyncIteration:
                return
            except asyncio.CancelledError as error:
                raise self_cancellation(error, "source") from None
            finally:
                self._reading = False
            if self._demand is not None and not self._demand.done():
                self._demand.set_result(item)

    async def _close(self) -> None:
        source: object = self._source
        if isinstance(source, AsyncGenerator):
            # Otherwise the event loop would close it at some later time in some other task. No scope is entered for
            # it: the generator's own scopes must be the innermost.
            self._scope.shield = True
            self._scope.deadline = anyio.current_time() + CLOSE_TIMEOUT
            try:
                await source.aclose()
            except BaseExceptionGroup as group:
                # A task group open over a yield wraps the GeneratorExit that closes its generator.
                if group.split(GeneratorExit)[1] is not None:
                    raise


def self_cancellation(error: asyncio.CancelledError, what: str) -> RuntimeError:
    """Error for a work or a source that cancelled itself; raises `error` again if the run was cancelled."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    return RuntimeError(f"The {what} was cancelled from within, and not by the run.")
