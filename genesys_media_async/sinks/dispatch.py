"""The two dispatcher to the sinks: the audit lane waits, the metrics lane never does."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import anyio

from ..errors import AuditWriteError, sanitized
from .metrics import MAX_UNCOUNTED, MetricsSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from ..events import AttemptAudited, Event
    from .base import SinkLike

LOGGER = logging.getLogger("genesys_media_async.sinks")

MAX_WAITING = 10_000
"""Events in the queue of one metrics sink."""

CLOSE_TIMEOUT = 5.0
"""Seconds for a sink to close; a metrics sink has as many before that for the events still in its queue."""

RECORD_TIMEOUT = 10.0
"""Seconds that the audit sinks may take over what has come together."""


class Dispatcher:
    """
    Brings events to the sinks.

    `audit` queues a record for every audit sink and returns the future of its writing. `emit` counts an event in `own`,
    and puts it into the bounded queue of each metrics sink; an event that finds a queue full is dropped and counted in
    `dropped`. Neither waits.
    """

    def __init__(
        self,
        *,
        audit: Sequence[SinkLike] = (),
        metrics: Sequence[SinkLike] = (),
        own: MetricsSink | None = None,
    ) -> None:
        self._own = own or MetricsSink()
        self._uncounted = self._own.uncounted
        self._audit = _AuditLane(audit, then=self.emit_all) if audit else None
        self._metrics = [_MetricsLane(sink) for sink in metrics]

    def __repr__(self) -> str:
        audits = len(self._audit.sinks) if self._audit else 0
        return f"<Dispatcher: {audits} audit, {len(self._metrics)} metrics, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """How many events did not reach a metrics sink, counted once for each sink."""
        return sum(lane.dropped for lane in self._metrics)

    def start(self, task_group: TaskGroup) -> None:
        """Start the tasks that write to the sinks."""
        for lane in (self._audit, *self._metrics):
            if lane is not None:
                task_group.start_soon(lane.run)

    def audit(self, record: AttemptAudited) -> asyncio.Future[None] | None:
        """
        Queue a record for every audit sink, and then, if they have taken it, for the metrics sinks.

        The future is done when every audit sink has taken the record, and fails with `AuditWriteError` if one could not,
        or if the dispatcher are closed; None if there is no audit sink. Who does not await it cancels it: the record is
        written all the same.
        """
        if self._audit is not None:
            return self._audit.put(record)
        self.emit(record)
        return None

    def emit(self, event: Event) -> None:
        """Count an event in the retriever's own metrics, and queue it for every metrics sink."""
        self._uncounted.append(event)
        if len(self._uncounted) >= MAX_UNCOUNTED:
            self._own.count()
        for lane in self._metrics:
            lane.put((event,))

    def emit_all(self, events: Sequence[Event]) -> None:
        """Do for events that came together what `emit` does for one."""
        self._uncounted += events
        if len(self._uncounted) >= MAX_UNCOUNTED:
            self._own.count()
        for lane in self._metrics:
            lane.put(events)

    async def aclose(self) -> None:
        """
        Write out what waits, within a bound, and close every sink.

        Raises `AuditWriteError` if an audit sink could not be closed, or lost a record that nobody was waiting for; the
        others are closed all the same.
        """
        try:
            if self._audit is not None:
                await self._audit.aclose()
        finally:
            for lane in self._metrics:
                await lane.aclose()


class _AuditLane:
    """One queue for all audit sinks: what comes together while they write is their next batch."""

    def __init__(self, sinks: Sequence[SinkLike], *, then: Callable[[Sequence[AttemptAudited]], None]) -> None:
        self.sinks = tuple(sinks)
        self._then = then
        self._records: list[AttemptAudited] = []
        # One for each record, in their order.
        self._waiting: list[asyncio.Future[None]] = []
        self._arrived = asyncio.Event()
        self._lock = asyncio.Lock()
        self._lost: AuditWriteError | None = None
        self._closed = False

    def put(self, record: AttemptAudited) -> asyncio.Future[None]:
        # What the loop's `create_future` makes too, in three times the time.
        written: asyncio.Future[None] = asyncio.Future()
        if self._closed:
            written.set_exception(_too_late(record))
            return written
        if not self._records:
            self._arrived.set()
        self._records.append(record)
        self._waiting.append(written)
        return written

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            async with self._lock:
                await self._write_waiting()

    async def aclose(self) -> None:
        lost: AuditWriteError | None = None
        with anyio.CancelScope(shield=True):
            async with self._lock:
                # Nobody will write what comes while this is written.
                self._closed = True
                await self._write_waiting()
            for sink in self.sinks:
                try:
                    with anyio.fail_after(CLOSE_TIMEOUT):
                        await sink.aclose()
                except Exception as error:  # noqa: BLE001 - told as AuditWriteError once the others are closed
                    lost = _lost("The end of the audit trail", sink, error)
        if (lost := self._lost or lost) is not None:
            raise lost

    async def _write_waiting(self) -> None:
        self._arrived.clear()
        if not self._records:
            return
        records, self._records = tuple(self._records), []
        waiting, self._waiting = self._waiting, []
        lost = await self._write(records)
        if lost is None:
            self._then(records)
            for written in waiting:
                if not written.done():
                    written.set_result(None)
            return
        for record, written in zip(records, waiting, strict=True):
            error = _lost(_named(record), *lost)
            if written.done():
                self._lost = error
            else:
                written.set_exception(error)

    async def _write(self, records: tuple[AttemptAudited, ...]) -> tuple[SinkLike, Exception] | None:
        for sink in self.sinks:
            try:
                # A record may be of a request that Genesys has carried out: nothing cancels its way to the sinks.
                with anyio.move_on_after(RECORD_TIMEOUT, shield=True) as patience:
                    await sink.write(records)
            except Exception as error:  # noqa: BLE001 - handed to everyone whose record it was
                return sink, error
            if patience.cancelled_caught:
                return sink, TimeoutError()
        return None


def _named(record: AttemptAudited) -> str:
    return f"The audit record of {sanitized(record.file_id, 128)}"


def _too_late(record: AttemptAudited) -> AuditWriteError:
    return AuditWriteError(
        f"{_named(record)} came too late: the audit trail is closed.",
        advice="Let every run end before the MediaRetriever is closed, then run again for what is not yet done.",
    )


def _lost(what: str, sink: SinkLike, error: Exception) -> AuditWriteError:
    reason = sanitized(str(error)) or type(error).__name__
    lost = AuditWriteError(f"{what} could not be written to {sink!r}: {reason}.")
    lost.__cause__ = error
    return lost


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
