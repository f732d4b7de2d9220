"""The two lanes to the sinks: the audit lane waits, the metrics lane never does."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import anyio

from ..errors import EvidenceLost, quotable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from ..events import AttemptAudited, Event
    from .base import Sink

LOGGER = logging.getLogger("genesys_media_async.sinks")

MOST_WAITING = 10_000
CLOSE_PATIENCE = 5.0


class Lanes:
    """
    Brings events to sinks.

    `audit` returns when every audit sink has taken the record, and raises `EvidenceLost` if one could not. `emit` puts
    an event into the bounded queue of each metrics sink and returns at once; what finds a queue full is dropped and
    counted in `dropped`.
    """

    def __init__(self, *, audit: Sequence[Sink] = (), metrics: Sequence[Sink] = ()) -> None:
        self._audit = [_AuditLane(sink) for sink in audit]
        self._metrics = [_MetricsLane(sink) for sink in metrics]

    def __repr__(self) -> str:
        return f"<Lanes: {len(self._audit)} audit, {len(self._metrics)} metrics, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """How many events did not reach a metrics sink."""
        return sum(lane.dropped for lane in self._metrics)

    def start(self, task_group: TaskGroup) -> None:
        """Begin to write to the metrics sinks."""
        for lane in self._metrics:
            task_group.start_soon(lane.run)

    async def audit(self, record: AttemptAudited) -> None:
        """Write a record to every audit sink, and to the metrics sinks in passing."""
        for lane in self._audit:
            await lane.write(record)
        self.emit(record)

    def emit(self, event: Event) -> None:
        """Queue an event for every metrics sink."""
        for lane in self._metrics:
            lane.put(event)

    async def aclose(self) -> None:
        """
        Write out what waits, within a bound, and close every sink.

        Raises `EvidenceLost` if an audit sink could not be closed; the others are closed all the same.
        """
        lost: EvidenceLost | None = None
        for lane in self._metrics:
            with anyio.move_on_after(CLOSE_PATIENCE, shield=True):
                await lane.aclose()
        for audit_lane in self._audit:
            try:
                await audit_lane.aclose()
            except EvidenceLost as error:
                lost = error
        if lost is not None:
            raise lost


class _AuditLane:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = asyncio.Lock()

    async def write(self, record: AttemptAudited) -> None:
        async with self._lock:
            try:
                await self._sink.write((record,))
            except Exception as error:
                raise self._lost(f"The audit record of {quotable(record.file_id, 128)}", error) from error

    async def aclose(self) -> None:
        try:
            with anyio.fail_after(CLOSE_PATIENCE, shield=True):
                await self._sink.aclose()
        except Exception as error:
            raise self._lost("The end of the audit trail", error) from error

    def _lost(self, what: str, error: Exception) -> EvidenceLost:
        reason = quotable(str(error)) or type(error).__name__
        return EvidenceLost(f"{what} could not be written to {self._sink!r}: {reason}.")


class _MetricsLane:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._lock = asyncio.Lock()
        self.dropped = 0

    def put(self, event: Event) -> None:
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(event)
            self._arrived.set()
        else:
            self.dropped += 1

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._write_waiting()

    async def aclose(self) -> None:
        await self._write_waiting()
        try:
            await self._sink.aclose()
        except Exception:
            LOGGER.exception("%r could not be closed", self._sink)

    async def _write_waiting(self) -> None:
        async with self._lock:
            self._arrived.clear()
            batch = tuple(self._waiting)
            self._waiting.clear()
            if not batch:
                return
            try:
                await self._sink.write(batch)
            except Exception:
                self.dropped += len(batch)
                LOGGER.exception("%r failed; %d events are lost to it", self._sink, len(batch))
            except BaseException:
                # Cut off: nobody knows how much of it was written.
                self.dropped += len(batch)
                raise
