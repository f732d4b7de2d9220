"""Simple clients of a simulator over real sockets."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from genesys_media_async.clock import SystemClock
from genesys_media_async.simulator import Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

BASIC = ("demo-client", "demo-secret")

GRANT = {"grant_type": "client_credentials"}

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

WEBHOOK = {"event": "media.url.generated", "fileId": "file-1", "timestamp": "2026-01-02T03:04:05.678Z"}
QUICK: dict[str, Any] = {"fault_seconds": 0.1, "drip_gap": 0.0001, "late_seconds": 0.1}


class SteppedClock(SystemClock):
    """The machine's time plus what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def wall(self) -> float:
        return super().wall() + self.ahead


class User:
    """A simple client of one simulator."""

    def __init__(self, simulator: Simulator, http: httpx.AsyncClient) -> None:
        self.simulator = simulator
        self.http = http
        self.token = ""

    async def log_in(self) -> str:
        reply = await self.http.post("/oauth/token", data=GRANT, auth=BASIC)
        self.token = reply.json()["access_token"]
        return self.token

    async def ask(self, file_id: str = "file-1", *, token: str | None = None, **body: object) -> httpx.Response:
        return await self.http.post(
            path_of(quote(file_id, safe="")),
            json={"fileId": file_id, **body},
            headers={"Authorization": f"Bearer {self.token if token is None else token}"},
        )


def path_of(segment: str) -> str:
    return f"/api/v2/media/storage/files/{segment}/download-url"


@asynccontextmanager
async def user_of(simulator: Simulator, **options: Any) -> AsyncIterator[User]:
    async with simulator, httpx.AsyncClient(base_url=simulator.base_url, trust_env=False, **options) as http:
        user = User(simulator, http)
        await user.log_in()
        yield user


@asynccontextmanager
async def new_user(**settings: Any) -> AsyncIterator[User]:
    clock = settings.pop("clock", SystemClock())
    async with user_of(Simulator(SimulatorSettings(**{**QUICK, **settings}), clock=clock)) as user:
        yield user


async def raw_exchange(simulator: Simulator, data: bytes) -> bytes:
    """Send bytes on a connection of their own and return all bytes that the server sends until it closes."""
    port = int(simulator.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the other end of a connection has noticed something."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("the condition stayed false")


def assert_error(reply: httpx.Response, status: int, code: str) -> None:
    body = reply.json()
    assert (reply.status_code, body["code"], body["status"]) == (status, code, status)
    assert body["contextId"] == reply.headers["ININ-Correlation-Id"]
    assert body["message"]
    assert body["details"] == []
    assert body["errors"] == []


async def post_webhook(user: User, body: object, **headers: str) -> httpx.Response:
    return await user.http.post(user.simulator.webhook_url, json=body, headers={"webhook-id": "msg-1", **headers})
