"""
Delivery of `media.url.generated` in the background: a bounded queue, retries, a drain on exit, a report of failures.

A slow or dead receiver never slows the retrieval: an event that finds the queue full fails at once, and is reported.
"""

from __future__ import annotations

import errno
import logging
import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from ..api.retry import STATUSES, curve, jittered, parse_retry_after
from ..errors import GenesysMediaError, SettingsError, StaleConnectionError
from ..events import WebhookDelivered, WebhookFailed
from ..settings.checked import secret_text
from ..sinks.jsonl import open_to_append
from ..transports.base import HttpReply, HttpRequest, Transport
from .payload import to_json, url_generated

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream

    from ..clock import Clock
    from ..events import Event, JsonScalar
    from ..models import Retrieved
    from ..settings.policies import WebhookTarget

LOGGER = logging.getLogger("genesys_media_async.webhooks")

RETRY_DELAYS = curve(1.0, 60.0)
"""Seconds: the upper bounds of the random delay before each retry."""

MAX_RETRY_AFTER = 3_600.0
"""Seconds of a receiver's Retry-After that are respected."""

CLOSE_TIMEOUT = 5.0
"""Seconds for cancelled deliveries to end."""


@dataclass(frozen=True, slots=True)
class _Delivery:
    webhook_id: str
    file_id: str
    event: dict[str, JsonScalar]
    url: str | None = field(repr=False)

    def body(self) -> bytes:
        return to_json(self.event if self.url is None else {**self.event, "url": self.url})


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why an attempt failed, and the least delay before the next one; None if a retry is useless."""

    reason: str
    min_delay: float | None


class Webhooks:
    """
    Delivers events to one target.

    `post` never waits. `aclose` delivers the queue within the target's `drain_timeout`, and reports the rest as failed.
    An event keeps its `webhook-id` over all attempts, so that a receiver can recognise a repetition.
    """

    def __init__(
        self,
        target: WebhookTarget,
        transport: Transport,
        *,
        user_agent: str,
        clock: Clock,
        rng: random.Random,
        emit: Callable[[Event], None],
    ) -> None:
        _check_writable(target.undelivered_file)
        self._target = target
        self._transport = transport
        self._user_agent = user_agent
        self._clock = clock
        self._rng = rng
        self._emit = emit
        self._send, self._receive = anyio.create_memory_object_stream[_Delivery](target.queue_size)
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self.delivered = 0
        self.failed = 0

    def __repr__(self) -> str:
        host = urlsplit(secret_text(self._target.url)).hostname
        return f"<Webhooks to {host}: {self.waiting} waiting, {self.delivered} delivered, {self.failed} failed>"

    @property
    def waiting(self) -> int:
        """How many events wait for their first attempt."""
        return self._send.statistics().current_buffer_used

    def start(self, task_group: TaskGroup) -> None:
        """Start the tasks that deliver."""
        task_group.start_soon(self._run)

    def post(self, result: Retrieved) -> None:
        """Queue the event of a result; one that cannot be queued is reported as failed."""
        event = url_generated(result, at=self._clock.wall())
        delivery = _Delivery(uuid.uuid4().hex, result.file_id, event, result.url if self._target.include_url else None)
        try:
            self._send.send_nowait(delivery)
        except anyio.WouldBlock:
            self._give_up(delivery, 0, "queue_full")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._give_up(delivery, 0, "closed")

    async def aclose(self) -> None:
        """Deliver the queue for at most the target's `drain_timeout`, and report the rest as failed."""
        self._send.close()
        try:
            with anyio.move_on_after(self._target.drain_timeout):
                await self._ended.wait()
        finally:
            self._scope.cancel()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._ended.wait()

    async def _run(self) -> None:
        try:
            with self._scope:
                async with anyio.create_task_group() as task_group:
                    for _ in range(self._target.concurrency):
                        task_group.start_soon(self._work, self._receive.clone())
        finally:
            with self._receive:
                self._give_up_waiting()
            self._ended.set()

    async def _work(self, receive: MemoryObjectReceiveStream[_Delivery]) -> None:
        async with receive:
            async for delivery in receive:
                await self._deliver(delivery)

    async def _deliver(self, delivery: _Delivery) -> None:
        attempts = 0
        try:
            while True:
                attempts += 1
                failure = await self._attempt(delivery)
                if failure is None:
                    self._report_delivered(delivery, attempts)
                    return
                if failure.min_delay is None or attempts >= self._target.max_attempts:
                    break
                await self._clock.sleep(failure.min_delay + jittered(RETRY_DELAYS, attempts, self._rng))
        except BaseException:
            self._give_up(delivery, attempts, "cut_off")
            raise
        self._give_up(delivery, attempts, failure.reason)

    async def _attempt(self, delivery: _Delivery, *, fresh: bool = False) -> _Failure | None:
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "webhook-id": delivery.webhook_id,
        }
        request = HttpRequest.to("POST", secret_text(self._target.url), headers, delivery.body(), fresh=fresh)
        try:
            reply = await self._transport.exchange(request, timeout=self._target.timeout)
        except GenesysMediaError as error:
            if isinstance(error, StaleConnectionError) and not fresh:
                # No fault of the receiver, whose idle timeout this request crossed.
                return await self._attempt(delivery, fresh=True)
            return _Failure(error.code, 0.0 if error.retryable else None)
        if 200 <= reply.status < 300:
            return None
        return _Failure(f"status_{reply.status}", self._min_delay(reply))

    def _min_delay(self, reply: HttpReply) -> float | None:
        if reply.status not in STATUSES["webhook"]:
            return None
        retry_after = parse_retry_after(reply.headers, wall=self._clock.wall())
        return min(retry_after or 0.0, MAX_RETRY_AFTER)

    def _report_delivered(self, delivery: _Delivery, attempts: int) -> None:
        self.delivered += 1
        self._emit(WebhookDelivered(self._clock.wall(), delivery.file_id, delivery.webhook_id, attempts))

    def _give_up_waiting(self) -> None:
        while True:
            try:
                delivery = self._receive.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                return
            self._give_up(delivery, 0, "not_drained")

    def _give_up(self, delivery: _Delivery, attempts: int, reason: str) -> None:
        self.failed += 1
        self._emit(WebhookFailed(self._clock.wall(), delivery.file_id, delivery.webhook_id, attempts, reason))
        path = self._target.undelivered_file
        if path is not None:
            line = {"webhook_id": delivery.webhook_id, "attempts": attempts, "reason": reason, **delivery.event}
            try:
                _append(path, to_json(line) + b"\n")
            except OSError as error:
                # The reason is in the message; a traceback adds nothing.
                LOGGER.error("the undelivered webhook for %s could not be kept: %s", delivery.file_id, error)  # noqa: TRY400


def _append(path: Path, line: bytes) -> None:
    # Opened anew each time, so that the file can be rotated.
    descriptor = open_to_append(path)
    try:
        # A pipe takes a line as a whole, or not at all if its reader is slow; this must never wait for it.
        if line and os.write(descriptor, line) < len(line):
            raise OSError(errno.EAGAIN, "it took only a part of the line")
    finally:
        os.close(descriptor)


def _check_writable(path: Path | None) -> None:
    if path is not None:
        try:
            _append(path, b"")
        except OSError as error:
            raise SettingsError(
                f"undelivered_file: {error}.", advice="Name a file that can be written, or leave it out."
            ) from None
