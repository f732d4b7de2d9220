"""The metrics lane: brings events to the sinks that must not hold anything up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import anyio

from ..clock import SystemClock
from .metrics import MAX_UNCOUNTED, MetricsSink, finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from ..clock import Clock
    from ..events import Event
    from ..models import MediaResult
    from .base import SinkLike

LOGGER = logging.getLogger("genesys_media_async.sinks")

MAX_WAITING = 10_000
"""Events in the queue of one metrics sink."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a sink may take to write what is queued, and again to close."""


class Dispatcher:
    """
    Brings events to the metrics sinks.

    Each sink has a bounded queue; an event that finds it full is dropped and counted in `dropped`. `own` counts every
    event. Nothing here waits for a sink.
    """

    def __init__(
        self,
        *,
        metrics: Sequence[SinkLike] = (),
        own: MetricsSink | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._own = own or MetricsSink()
        self._results = self._own.results
        self._clock = clock or SystemClock()
        self._metrics = [_MetricsLane(sink) for sink in metrics]

    def __repr__(self) -> str:
        return f"<Dispatcher: {len(self._metrics)} sinks, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """How many events did not reach a metrics sink, counted once for each sink."""
        return sum(lane.dropped for lane in self._metrics)

    def start(self, task_group: TaskGroup) -> None:
        """Start to write."""
        for lane in self._metrics:
            task_group.start_soon(lane.run)

    def finish(self, results: Sequence[MediaResult]) -> None:
        """Count results in the retriever's own metrics, and queue their events for every metrics sink."""
        self._results += results
        if len(self._results) >= MAX_UNCOUNTED:
            self._own.count()
        if self._metrics:
            at = self._clock.wall()
            events = [finished(result, at) for result in results]
            for lane in self._metrics:
                lane.put(events)

    def emit(self, event: Event) -> None:
        """Count an event in the retriever's own metrics, and queue it for every metrics sink."""
        self.emit_all((event,))

    def emit_all(self, events: Sequence[Event]) -> None:
        """Do for events that came together what `emit` does for one."""
        self._own.add(events)
        for lane in self._metrics:
            lane.put(events)

    async def aclose(self) -> None:
        """Write what is queued, within a bound, and close every sink."""
        for lane in self._metrics:
            await lane.aclose()


class _MetricsLane:
    """The bounded queue of one metrics sink; events that come while it writes are its next batch."""

    def __init__(self, sink: SinkLike) -> None:
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
                # Cancelled: how much of the batch was written is unknown.
                self.dropped += len(batch)
                raise
