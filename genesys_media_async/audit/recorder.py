"""
Makes every audit record, and has it written before anybody is told what came of it.

    `attempt`   one attempt of a call, after its reply or its failure
    `cut_off`   an attempt that was cancelled in flight
    `unsent`    a request that was refused before it was sent
    `result`    one medium of a call about several
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

from ..errors import AuditWriteError, GenesysMediaError, sanitized
from ..events import AttemptAudited, Outcome, outcome_of
from .group import WRITTEN, RecordGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from ..clock import Clock
    from ..sinks.base import SinkLike

CLOSE_TIMEOUT = 5.0
"""Seconds that an audit sink may take to close."""

RECORD_TIMEOUT = 10.0
"""Seconds that an audit sink may take to write a group of records."""

_SUCCESS = Outcome.SUCCESS


class AuditRecorder:
    """
    Makes audit records and hands them to the audit sinks, then to `then`.

    `attempt`, `unsent` and `result` only queue a record, and return the group with which it will be written: every
    record that is made in the same turn of the event loop, or while the sinks write. Nobody waits for it; what the
    record is about is kept in the group (see `RecordGroup`) until the sinks have it. Without a sink the group is
    `WRITTEN`, and with neither a sink nor `then` there is no record at all.

    A group that one of the sinks cannot write never reaches `then`; `on_lost` gets the error, and returns whether
    anybody was there to hear it. If not, and nobody learns of it from the group either, `aclose` raises it.
    """

    def __init__(
        self,
        sinks: Sequence[SinkLike] = (),
        *,
        clock: Clock,
        user_agent: str,
        then: Callable[[Sequence[AttemptAudited]], None] | None = None,
        on_lost: Callable[[AuditWriteError], bool] = lambda _: False,
    ) -> None:
        self._sinks = tuple(sinks)
        self._wall = clock.wall
        self._user_agent = user_agent
        self._then = then
        self._is_needed = bool(self._sinks) or then is not None
        self._on_lost = on_lost
        self._next = RecordGroup()
        self.newest = WRITTEN
        """The group of the newest record: once it is written, so are all before it."""
        self.writing: RecordGroup | None = None
        """The group that the sinks are writing. Callers read it before they send: a slow sink makes them wait."""
        self._arrived = asyncio.Event()
        self._lock = asyncio.Lock()
        self._lost = WRITTEN
        self._closed = False

    def __repr__(self) -> str:
        return f"<AuditRecorder: {len(self._sinks)} sinks, {len(self._next.records)} records waiting>"

    def start(self, task_group: TaskGroup) -> None:
        """Start to write."""
        if self._sinks:
            task_group.start_soon(self._run)

    def attempt(
        self,
        action: str,
        subject: str,
        error: GenesysMediaError | None,
        status: int | None,
        latency: float,
        number: int,
        correlation_id: str | None,
    ) -> RecordGroup:
        """Record an attempt, the `number`-th of its call; `latency` is in seconds."""
        if not self._is_needed:
            return WRITTEN
        record = AttemptAudited(
            self._wall(),
            action,
            subject,
            _SUCCESS if error is None else outcome_of(error),
            status,
            latency,
            self._user_agent,
            number,
            None if error is None else error.code,
            correlation_id,
        )
        group = self._next
        records = group.records
        if not records and not self._begin(group, record):
            return self.newest
        records.append(record)
        return group

    def _begin(self, group: RecordGroup, record: AttemptAudited) -> bool:
        """Begin a group with its first record; False if there are no sinks, or no more."""
        if not self._sinks:
            if self._then is not None:
                self._then((record,))
            return False
        self.newest = group
        if self._closed:
            group.lose(_too_late(record))
            self._next = RecordGroup()
            return False
        self._arrived.set()
        return True

    def cut_off(
        self,
        action: str,
        subject: str,
        status: int | None,
        latency: float,
        number: int,
        correlation_id: str | None,
    ) -> None:
        """
        Record an attempt that was cancelled in flight.

        Genesys may have generated a URL that nobody will see, and the audit trail must not have a gap there.
        """
        error = GenesysMediaError("Cancelled, or out of time, while the request was in flight.", code="cut_off")
        self.attempt(action, subject, error, status, latency, number, correlation_id)

    def unsent(self, action: str, subject: str, error: GenesysMediaError) -> RecordGroup:
        """Record a request that was refused before it was sent."""
        return self.attempt(action, subject, error, None, 0.0, 0, None)

    def result(
        self,
        action: str,
        media_id: str,
        error: GenesysMediaError | None,
        latency: float,
        attempts: int,
        correlation_id: str | None,
    ) -> RecordGroup:
        """Record the result for one medium of a call about several, after so many `attempts`."""
        status = None if error is None else error.status_code
        return self.attempt(f"{action}.result", media_id, error, status, latency, attempts, correlation_id)

    async def aclose(self) -> None:
        """
        Write the records that wait, and close every sink.

        Raises `AuditWriteError` if a sink could not be closed, or lost a record and nobody heard of it; the other
        sinks are closed all the same.
        """
        lost: AuditWriteError | None = None
        with anyio.CancelScope(shield=True):
            async with self._lock:
                # A record that arrives during this last write would be written by nobody.
                self._closed = True
                await self._write_waiting()
            for sink in self._sinks:
                try:
                    with anyio.fail_after(CLOSE_TIMEOUT):
                        await sink.aclose()
                except Exception as error:  # noqa: BLE001 - raised as AuditWriteError once the others are closed
                    lost = _lost("The end of the audit trail", sink, error)
        if not self._lost.is_heard:
            self._lost.require()
        if lost is not None:
            raise lost

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            async with self._lock:
                await self._write_waiting()

    async def _write_waiting(self) -> None:
        self._arrived.clear()
        group = self._next
        if not group.records:
            return
        self._next = RecordGroup()
        self.writing = group
        try:
            lost = await self._write(group.records)
        finally:
            self.writing = None
        if lost is None:
            if self._then is not None:
                self._then(group.records)
            group.settle()
            return
        error = _lost(_named(group.records), *lost)
        group.is_heard = self._on_lost(error)
        group.lose(error)
        if self._lost.is_heard or not self._lost.is_lost:
            self._lost = group

    async def _write(self, records: Sequence[AttemptAudited]) -> tuple[SinkLike, Exception] | None:
        """Return the sink that failed and its error, or None."""
        for sink in self._sinks:
            try:
                # Genesys may have carried out the recorded request: nothing cancels the write.
                with anyio.move_on_after(RECORD_TIMEOUT, shield=True) as timeout:
                    await sink.write(records)
            except Exception as error:  # noqa: BLE001 - handed to everyone whose record it was
                return sink, error
            if timeout.cancelled_caught:
                return sink, TimeoutError()
        return None


def _named(records: Sequence[AttemptAudited]) -> str:
    first, others = sanitized(records[0].file_id, 128), len(records) - 1
    return f"The audit records of {first} and {others} more" if others else f"The audit record of {first}"


def _too_late(record: AttemptAudited) -> AuditWriteError:
    return AuditWriteError(
        f"{_named((record,))} is too late: the audit trail is closed.",
        advice="Let every run end before the MediaRetriever is closed, then run again for what is not yet done.",
    )


def _lost(what: str, sink: SinkLike, error: Exception) -> AuditWriteError:
    reason = sanitized(str(error)) or type(error).__name__
    lost = AuditWriteError(f"{what} could not be written to {sink!r}: {reason}.")
    lost.__cause__ = error
    return lost
