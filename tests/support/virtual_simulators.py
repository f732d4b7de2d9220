"""Scenarios against a simulator in virtual time, without sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from genesys_media_async.clock import VirtualClock
from genesys_media_async.simulator import Simulator, SimulatorSettings

GRANT = {"grant_type": "client_credentials"}


DOCUMENT = "/api/v2/contentmanagement/documents/{}/content"
DOWNLOAD = "/api/v2/downloads/{}"
TRANSCRIPT = "/api/v2/speechandtextanalytics/conversations/{}/communications/{}/transcripturl"
SETTINGS = "/api/v2/recording/settings"

Scenario = Callable[[httpx.AsyncClient, Simulator, VirtualClock], Awaitable[Any]]


async def log_in(http: httpx.AsyncClient) -> None:
    reply = await http.post("/oauth/token", data=GRANT, auth=("demo-client", "demo-secret"))
    http.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"


async def ask(http: httpx.AsyncClient, file_id: str = "a") -> httpx.Response:
    return await http.post(f"/api/v2/media/storage/files/{file_id}/download-url", json={"fileId": file_id})


def in_virtual_time(scenario: Scenario, **settings: Any) -> tuple[Any, float]:
    """Run a scenario (http, simulator, clock) in virtual time; return its result and its duration."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(**settings), clock=clock)

    async def main() -> tuple[Any, float]:
        transport = simulator.transport()
        async with httpx.AsyncClient(transport=transport, base_url=simulator.base_url, timeout=None) as http:
            await log_in(http)
            began = clock.monotonic()
            outcome = await scenario(http, simulator, clock)
            return outcome, clock.monotonic() - began

    return clock.run(main())


async def bare_get(http: httpx.AsyncClient, url: str) -> httpx.Response:
    """Get a signed URL without the token."""
    return await http.send(httpx.Request("GET", url))
