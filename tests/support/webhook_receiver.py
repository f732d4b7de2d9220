"""A scripted receiver of webhooks, and a `Webhooks` that delivers to it in virtual time."""

from __future__ import annotations

import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import SecretStr

from genesys_media_async.errors import APITimeoutError, GenesysMediaError
from genesys_media_async.events import Event, WebhookDelivered, WebhookFailed
from genesys_media_async.models import Retrieved
from genesys_media_async.settings.policies import WebhookTarget
from genesys_media_async.transports.base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from genesys_media_async.webhooks.delivery import Webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from genesys_media_async.clock import VirtualClock

TARGET = "https://hooks.example.com/in?key=canary-key"
SIGNED = "https://media.example.com/a.wav?X-Signature=canary-signature"


class SteadyRandom(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


def retrieved(file_id: str = "f-1", **changes: Any) -> Retrieved:
    values: dict[str, Any] = {
        "url": SIGNED,
        "ends_at": datetime(2024, 1, 1, 12, tzinfo=UTC).timestamp(),
        "expires_in": 3_600,
        "file_name": "ä b.wav",
        "content_type": "audio/wav",
    }
    return Retrieved(file_id, **(values | changes))


@dataclass(frozen=True)
class Answer:
    """What the receiver does with one request."""

    outcome: int | GenesysMediaError = 204
    after: float = 0.0
    retry_after: str | None = None


class Receiver:
    """Answers by its script, then always alike; records the requests and their times."""

    def __init__(self, clock: VirtualClock, *script: Answer, always: Answer | None = None) -> None:
        self.clock = clock
        self.script = list(script)
        self.always = always or Answer()
        self.requests: list[HttpRequest] = []
        self.times: list[float] = []
        self.at_once = 0
        self.most_at_once = 0

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        self.requests.append(request)
        self.times.append(self.clock.monotonic())
        answer = self.script.pop(0) if self.script else self.always
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(min(answer.after, timeout))
        finally:
            self.at_once -= 1
        if answer.after > timeout:
            raise APITimeoutError("too slow")
        if isinstance(answer.outcome, GenesysMediaError):
            raise answer.outcome
        headers = {} if answer.retry_after is None else {"retry-after": answer.retry_after}
        return HttpReply(answer.outcome, headers, b"")

    async def aclose(self) -> None:
        raise AssertionError("the transport is not the webhooks' to close")

    def ids(self) -> list[str]:
        return [json.loads(request.body)["fileId"] for request in self.requests]


@dataclass
class Office:
    webhooks: Webhooks
    receiver: Receiver
    events: list[Event]

    def failed(self) -> list[tuple[str, int, str]]:
        return [(e.file_id, e.attempts, e.reason) for e in self.events if isinstance(e, WebhookFailed)]

    def delivered(self) -> list[tuple[str, int]]:
        return [(e.file_id, e.attempts) for e in self.events if isinstance(e, WebhookDelivered)]


def target(**changes: Any) -> WebhookTarget:
    return WebhookTarget(url=SecretStr(TARGET), **changes)


@asynccontextmanager
async def office(
    clock: VirtualClock, *script: Answer, always: Answer | None = None, jitter: float = 0.5, **changes: Any
) -> AsyncIterator[Office]:
    receiver = Receiver(clock, *script, always=always)
    events: list[Event] = []
    webhooks = Webhooks(
        target(**changes), receiver, user_agent="agent/1", clock=clock, rng=SteadyRandom(jitter), emit=events.append
    )
    async with anyio.create_task_group() as task_group:
        webhooks.start(task_group)
        try:
            yield Office(webhooks, receiver, events)
        finally:
            await webhooks.aclose()
