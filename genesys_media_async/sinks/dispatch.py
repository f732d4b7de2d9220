"""The metrics lane: brings events to the sinks that must not hold anything up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from ..events import Event
    from .base import Sink

LOGGER = logging.getLogger("genesys_media_async.sinks")

MAX_WAITING = 10_000
CLOSE_TIMEOUT = 5.0
"""Seconds that a sink may take to write what is queued, and again to close."""


class Dispatcher:
    """
    Brings events to the metrics sinks.

    Each sink has a bounded queue; an event that finds it full is dropped and counted in `dropped`. `count` is called
    with every event at once. Nothing here waits for a sink.
    """

    def __init__(
        self,
        *,
        metrics: Sequence[Sink] = (),
        count: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._count = count
        self._metrics = [_MetricsLane(sink) for sink in metrics]

    def __repr__(self) -> str:
        return f"<Dispatcher: {len(self._metrics)} sinks, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """How many events did not reach a metrics sink."""
        return sum(lane.dropped for lane in self._metrics)

    def start(self, task_group: TaskGroup) -> None:
        """Start to write."""
        for lane in self._metrics:
            task_group.start_soon(lane.run)

    def emit(self, event: Event) -> None:
        """Count an event, and queue it for every metrics sink."""
        self._count(event)
        for lane in self._metrics:
            lane.put((event,))

    def emit_all(self, events: Sequence[Event]) -> None:
        """Count events, and queue them for every metrics sink."""
        for event in events:
            self._count(event)
        for lane in self._metrics:
            lane.put(events)

    async def aclose(self) -> None:
        """Write what is queued, within a bound, and close every sink."""
        for lane in self._metrics:
            await lane.aclose()


class _MetricsLane:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting: list[Event] = []
        self._arrived = asyncio.Event()
        self._lock = asyncio.Lock()
        self.dropped = 0

    def put(self, events: Sequence[Event]) -> None:
        room = MAX_WAITING - len(self._waiting)
        if not self._waiting:
            self._arrived.set()
        self._waiting += events[:room]
        if len(events) > room:
            self.dropped += len(events) - room

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._write_waiting()

    async def aclose(self) -> None:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            await self._write_waiting()
        try:
            with anyio.fail_after(CLOSE_TIMEOUT, shield=True):
                await self._sink.aclose()
        except Exception:
            LOGGER.exception("%r could not be closed", self._sink)

    async def _write_waiting(self) -> None:
        async with self._lock:
            self._arrived.clear()
            if not self._waiting:
                return
            batch, self._waiting = tuple(self._waiting), []
            try:
                await self._sink.write(batch)
            except Exception:
                self.dropped += len(batch)
                LOGGER.exception("%r failed; %d events are lost to it", self._sink, len(batch))
            except BaseException:
                # Cut off: nobody knows how much of it was written.
                self.dropped += len(batch)
                raise
