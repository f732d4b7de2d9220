"""A login host that follows a script, and a token manager that uses it, in virtual time."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.api.tokens import TokenManager
from genesys_media_async.errors import (
    APITimeoutError,
    AuthenticationError,
    GenesysMediaError,
)
from genesys_media_async.settings.settings import Settings
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest
from tests.support.randomness import Steady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.events import Event

CLIENT_ID = "5a1d7e4c-client"
SECRET = "canary-secret+/="
TOKEN_CANARY = "canary-token"


@dataclass(frozen=True)
class Step:
    """What the login host does with one request: answer, or break, after some seconds."""

    outcome: HttpReply | GenesysMediaError | None = None
    lifetime: float = 3_600.0
    after: float = 0.0


def grant(lifetime: float = 3_600.0, after: float = 0.0) -> Step:
    return Step(lifetime=lifetime, after=after)


def reply_with(status: int, body: object = None, *, after: float = 0.0, **headers: str) -> Step:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Step(HttpReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw), after=after)


def break_off(error: GenesysMediaError, after: float = 0.0) -> Step:
    return Step(error, after=after)


THROTTLED = {
    "error": "invalid_request",
    "description": "rate limit exceeded",
    "error_description": "rate limit exceeded",
}
WRONG_CLIENT = {"error": "invalid_client", "description": "client not found", "error_description": "client not found"}


class LoginHost:
    """Follows its script, a step a request; then grants tokens of an hour."""

    def __init__(self, clock: VirtualClock, *script: Step) -> None:
        self.clock = clock
        self.script = list(script)
        self.requests: list[HttpRequest] = []
        self.sent_at: list[float] = []
        self.timeouts: list[float] = []
        self.in_flight = 0

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        assert self.in_flight == 0, "two token requests at once"
        self.requests.append(request)
        self.sent_at.append(self.clock.monotonic())
        self.timeouts.append(timeout)
        number = len(self.requests)
        step = self.script.pop(0) if self.script else grant()
        self.in_flight += 1
        try:
            await anyio.sleep(min(step.after, timeout))
        finally:
            self.in_flight -= 1
        if step.after > timeout:
            raise APITimeoutError(f"No complete reply within {timeout:g} s.")
        if isinstance(step.outcome, GenesysMediaError):
            raise step.outcome
        if step.outcome is not None:
            assert len(step.outcome.body) <= max_reply_size
            return step.outcome
        body = {"access_token": f"{TOKEN_CANARY}-{number}", "token_type": "bearer", "expires_in": step.lifetime}
        return HttpReply(200, {"content-type": "application/json"}, json.dumps(body).encode())

    async def aclose(self) -> None:
        raise AssertionError("the transport is not the token manager's to close")


@dataclass
class Login:
    tokens: TokenManager
    host: LoginHost
    events: list[Event]


def configured(**changes: Any) -> Settings:
    values: dict[str, Any] = {"client_id": CLIENT_ID, "client_secret": SECRET, **changes}
    return Settings(**values)


@asynccontextmanager
async def login(clock: VirtualClock, *script: Step, jitter: float = 0.0, **changes: Any) -> AsyncIterator[Login]:
    host = LoginHost(clock, *script)
    events: list[Event] = []
    async with anyio.create_task_group() as task_group:
        tokens = TokenManager(
            configured(**changes),
            host,
            clock=clock,
            rng=Steady(jitter),
            spawn=task_group.start_soon,
            emit=events.append,
        )
        yield Login(tokens, host, events)
        task_group.cancel_scope.cancel()


async def gather(tokens: TokenManager, count: int) -> list[str | BaseException]:
    return await asyncio.gather(*(tokens.get() for _ in range(count)), return_exceptions=True)


async def refused(tokens: TokenManager) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        await tokens.get()
    return caught.value


def fresh(tokens: TokenManager, clock: VirtualClock) -> str | None:
    """Return the token that a call would use without waiting."""
    return tokens.current.value if clock.monotonic() < tokens.current.refresh_at else None
