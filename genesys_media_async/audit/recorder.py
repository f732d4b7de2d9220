"""
Makes every audit record, and has it written before anybody gets the result.

    `attempt`   one attempt of a call, after its reply or its failure
    `cut_off`   an attempt that was cancelled in flight
    `unsent`    a request that was refused before it was sent
    `result`    one medium of a call about several
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

from ..errors import (
    AuditWriteError,
    AuthenticationError,
    GenesysMediaError,
    InvalidRequestError,
    UrlRejectedError,
    sanitized,
)
from ..events import AttemptAudited, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup

    from ..clock import Clock
    from ..sinks.base import SinkLike

CLOSE_TIMEOUT = 5.0
"""Seconds that an audit sink may take to close."""

RECORD_TIMEOUT = 10.0
"""Seconds that an audit sink may take to write a batch."""

_SUCCESS = Outcome.SUCCESS

Written = asyncio.Future[None]


class AuditRecorder:
    """
    Makes audit records and hands them to the audit sinks, then to `then`.

    `attempt`, `unsent` and `result` only queue a record. They return a future that is done when every audit sink has
    written the record, and fails with `AuditWriteError` if one could not, or if the recorder is closed; or None if
    there is no audit sink. The caller awaits the future before it hands out the result. A caller that does not wait
    cancels it; the record is written all the same.

    The records that arrive while the sinks write are their next batch. A batch that one of them cannot write never
    reaches `then`, which gets every written batch.
    """

    def __init__(
        self,
        sinks: Sequence[SinkLike] = (),
        *,
        clock: Clock,
        user_agent: str,
        then: Callable[[Sequence[AttemptAudited]], None],
    ) -> None:
        self._sinks = tuple(sinks)
        self._clock = clock
        self._user_agent = user_agent
        self._then = then
        self._records: list[AttemptAudited] = []
        # One for each record, in the same order.
        self._futures: list[Written] = []
        self._arrived = asyncio.Event()
        self._lock = asyncio.Lock()
        self._lost: AuditWriteError | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<AuditRecorder: {len(self._sinks)} sinks, {len(self._records)} records waiting>"

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
    ) -> Written | None:
        """Record an attempt, the `number`-th of its call; `latency` is in seconds."""
        # By position: that is three times faster than by name, and this is done for every attempt.
        record = AttemptAudited(
            self._clock.wall(),
            action,
            subject,
            _SUCCESS if error is None else outcome_of(error),
            status,
            latency,
            self._user_agent,
            number,
            error.code if error is not None else None,
            correlation_id,
        )
        if not self._sinks:
            self._then((record,))
            return None
        # The loop's `create_future` makes the same future in three times the time.
        written: Written = asyncio.Future()
        if self._closed:
            written.set_exception(_too_late(record))
            return written
        if not self._records:
            self._arrived.set()
        self._records.append(record)
        self._futures.append(written)
        return written

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
        Record an attempt that was cancelled in flight; nobody waits for the record.

        Genesys may have generated a URL that nobody will see, and the audit trail must not have a gap there.
        """
        error = GenesysMediaError("Cancelled, or out of time, while the request was in flight.", code="cut_off")
        written = self.attempt(action, subject, error, status, latency, number, correlation_id)
        if written is not None:
            written.cancel()

    def unsent(self, action: str, subject: str, error: GenesysMediaError) -> Written | None:
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
    ) -> Written | None:
        """Record the result for one medium of a call about several, after so many `attempts`."""
        status = None if error is None else error.status_code
        return self.attempt(f"{action}.result", media_id, error, status, latency, attempts, correlation_id)

    async def aclose(self) -> None:
        """
        Write the records that wait, and close every sink.

        Raises `AuditWriteError` if a sink could not be closed, or lost a record that nobody was waiting for; the other
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
        if (lost := self._lost or lost) is not None:
            raise lost

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            async with self._lock:
                await self._write_waiting()

    async def _write_waiting(self) -> None:
        self._arrived.clear()
        if not self._records:
            return
        records, self._records = tuple(self._records), []
        futures, self._futures = self._futures, []
        lost = await self._write(records)
        if lost is None:
            self._then(records)
            for written in futures:
                if not written.done():
                    written.set_result(None)
            return
        for record, written in zip(records, futures, strict=True):
            error = _lost(_named(record), *lost)
            if written.done():
                self._lost = error
            else:
                written.set_exception(error)

    async def _write(self, records: tuple[AttemptAudited, ...]) -> tuple[SinkLike, Exception] | None:
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


def outcome_of(error: GenesysMediaError | None) -> Outcome:
    """Return the audit trail's word for a result."""
    match error:
        case None:
            return Outcome.SUCCESS
        case InvalidRequestError():
            return Outcome.PAYLOAD_INVALID
        case AuthenticationError():
            return Outcome.AUTH_FAILURE
        case UrlRejectedError():
            return Outcome.VALIDATION_FAILED
        case _:
            return Outcome.GENERATION_FAILED


def _named(record: AttemptAudited) -> str:
    return f"The audit record of {sanitized(record.file_id, 128)}"


def _too_late(record: AttemptAudited) -> AuditWriteError:
    return AuditWriteError(
        f"{_named(record)} is too late: the audit trail is closed.",
        advice="Let every run end before the MediaRetriever is closed, then run again for what is not yet done.",
    )


def _lost(what: str, sink: SinkLike, error: Exception) -> AuditWriteError:
    reason = sanitized(str(error)) or type(error).__name__
    lost = AuditWriteError(f"{what} could not be written to {sink!r}: {reason}.")
    lost.__cause__ = error
    return lost
