"""
`media.url.generated`, posted in the background: queued within a bound, repeated, drained on exit, reported if lost.

A slow or dead receiver never slows the retrieval: what finds the queue full is given up at once, and said so.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from ..api.retry import STATUSES, curve, jittered, parse_retry_after
from ..errors import GenesysMediaError, SettingsError
from ..events import WebhookDelivered, WebhookFailed
from ..settings.checked import secret_text
from ..transports.base import HttpReply, HttpRequest, Transport

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

EVENT_NAME = "media.url.generated"
WAITS = curve(1.0, 60.0)
MAX_WAIT = 3_600.0
CLOSE_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class _Delivery:
    webhook_id: str
    file_id: str
    event: dict[str, JsonScalar]
    url: str | None = field(repr=False)

    def body(self) -> bytes:
        return _json(self.event if self.url is None else {**self.event, "url": self.url})


class Webhooks:
    """
    Delivers events to one target.

    `post` never waits. On exit, `aclose` waits for what is queued, within the target's bound, and reports the rest as
    undelivered. An event keeps its id over all tries, so that a receiver can tell a repetition.
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
        self.undelivered = 0

    def __repr__(self) -> str:
        host = urlsplit(secret_text(self._target.url)).hostname
        return f"<Webhooks to {host}: {self.waiting} waiting, {self.delivered} delivered, {self.undelivered} lost>"

    @property
    def waiting(self) -> int:
        """How many events have not been tried yet."""
        return self._send.statistics().current_buffer_used

    def start(self, task_group: TaskGroup) -> None:
        """Begin to deliver."""
        task_group.start_soon(self._run)

    def post(self, result: Retrieved) -> None:
        """Queue the event that a URL was generated."""
        event: dict[str, JsonScalar] = {
            "event": EVENT_NAME,
            "fileId": result.file_id,
            **({} if result.media_id is None else {"mediaId": result.media_id}),
            "timestamp": datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds"),
            "expiresAt": result.expires_at.isoformat(timespec="seconds"),
            "expiresIn": result.expires_in,
            "fileName": result.file_name,
            "contentType": result.content_type,
        }
        delivery = _Delivery(uuid.uuid4().hex, result.file_id, event, result.url if self._target.include_url else None)
        try:
            self._send.send_nowait(delivery)
        except anyio.WouldBlock:
            self._give_up(delivery, 0, "queue_full")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._give_up(delivery, 0, "closed")

    async def aclose(self) -> None:
        """Deliver what is queued, for at most the target's `drain` seconds; report what is left."""
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
        attempts, reason = 0, "cut_off"
        try:
            while attempts < self._target.max_attempts:
                attempts += 1
                reason, floor = await self._attempt(delivery)
                if reason == "":
                    self.delivered += 1
                    self._emit(self._delivered(delivery, attempts))
                    return
                if floor is None:
                    break
                if attempts < self._target.max_attempts:
                    await self._clock.sleep(min(floor, MAX_WAIT) + jittered(WAITS, attempts, self._rng))
        except BaseException:
            self._give_up(delivery, attempts, "cut_off")
            raise
        self._give_up(delivery, attempts, reason)

    async def _attempt(self, delivery: _Delivery) -> tuple[str, float | None]:
        """Return what stood in the way ("" if nothing did), and the least wait before the next try (None: no more)."""
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self._user_agent,
            "webhook-id": delivery.webhook_id,
        }
        request = HttpRequest("POST", secret_text(self._target.url), headers, delivery.body())
        try:
            reply = await self._transport.exchange(request, timeout=self._target.timeout)
        except GenesysMediaError as error:
            return error.code, 0.0
        if 200 <= reply.status < 300:
            return "", None
        return f"status_{reply.status}", self._least_wait(reply)

    def _least_wait(self, reply: HttpReply) -> float | None:
        if reply.status not in STATUSES["webhook"]:
            return None
        return parse_retry_after(reply.headers.get("retry-after"), wall=self._clock.wall()) or 0.0

    def _delivered(self, delivery: _Delivery, attempts: int) -> WebhookDelivered:
        return WebhookDelivered(
            at=self._clock.wall(), file_id=delivery.file_id, webhook_id=delivery.webhook_id, attempts=attempts
        )

    def _give_up_waiting(self) -> None:
        while True:
            try:
                delivery = self._receive.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                return
            self._give_up(delivery, 0, "not_drained")

    def _give_up(self, delivery: _Delivery, attempts: int, reason: str) -> None:
        self.undelivered += 1
        self._emit(
            WebhookFailed(
                at=self._clock.wall(),
                file_id=delivery.file_id,
                webhook_id=delivery.webhook_id,
                attempts=attempts,
                reason=reason,
            )
        )
        if self._target.undelivered_file is not None:
            line = {"webhook_id": delivery.webhook_id, "attempts": attempts, "reason": reason, **delivery.event}
            try:
                with self._target.undelivered_file.open("ab") as file:
                    file.write(_json(line) + b"\n")
            except OSError as error:
                LOGGER.error("the undelivered webhook for %s could not be kept: %s", delivery.file_id, error)  # noqa: TRY400


def _check_writable(path: Path | None) -> None:
    if path is not None:
        try:
            path.open("ab").close()
        except OSError as error:
            raise SettingsError(
                f"undelivered_file: {error}.", advice="Name a file that can be written, or leave it out."
            ) from None


def _json(value: dict[str, JsonScalar]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
