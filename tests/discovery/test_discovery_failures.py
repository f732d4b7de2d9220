"""What ends a discovery early, and what its errors contain."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httpx
import pytest

from genesys_media_async import (
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    MediaRetriever,
    NotFoundError,
    PermissionDeniedError,
    Settings,
    VirtualClock,
)
from genesys_media_async.discovery.details_api import JOB_TIMEOUT
from genesys_media_async.simulator import AnalyticsSettings, OAuthClient, Simulator
from tests.support.discoveries import DAY, NOW, virtual
from tests.support.retrievers import settings_for


class TestASearch:
    @pytest.mark.parametrize(
        ("end", "code", "retryable"),
        [
            ("FAILED", "discovery_job_failed", True),
            ("CANCELLED", "discovery_job_failed", True),
            ("EXPIRED", "discovery_job_failed", True),
        ],
    )
    def test_fails_if_its_job_fails(self, end: Any, code: str, retryable: bool):
        async def scenario(retriever: MediaRetriever, *_: Any) -> None:
            with pytest.raises(InternalServerError) as raised:
                [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert (raised.value.code, raised.value.retryable) == (code, retryable)
            assert end in str(raised.value)

        virtual(scenario, analytics=AnalyticsSettings(job_end=end))

    def test_fails_if_its_job_does_not_complete(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, clock: VirtualClock) -> None:
            with pytest.raises(DeadlineExceededError) as raised:
                [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert raised.value.code == "discovery_job_never_completed"
            assert clock.monotonic() == pytest.approx(JOB_TIMEOUT, abs=20)
            assert simulator.counts.api_requests < 150

        virtual(scenario, analytics=AnalyticsSettings(job_seconds=math.inf))

    def test_fails_if_its_job_is_lost(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, clock: VirtualClock) -> None:
            async def restart() -> None:
                await clock.sleep(5.0)
                simulator._cloud._analytics.forget()

            restarting = asyncio.create_task(restart())
            with pytest.raises(NotFoundError) as raised:
                [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert raised.value.retryable
            assert "run it again" in str(raised.value)
            await restarting

        virtual(scenario, analytics=AnalyticsSettings(job_seconds=60.0))

    def test_fails_without_the_permission_and_names_it(self):
        async def scenario(retriever: MediaRetriever, *_: Any) -> None:
            with pytest.raises(PermissionDeniedError, match="analytics:conversationDetail:view"):
                [each async for each in retriever.discover((NOW - DAY, NOW))]

        virtual(scenario, clients=(OAuthClient("demo-client", "demo-secret", permissions=frozenset()),))

    def test_fails_without_a_token(self):
        clock = VirtualClock()
        simulator = Simulator(clock=clock)

        async def main() -> None:
            configured = settings_for(simulator, client_secret="wrong")
            async with MediaRetriever(configured, transport=simulator.transport(), clock=clock) as retriever:
                with pytest.raises(CredentialsRejectedError):
                    [each async for each in retriever.discover((NOW - DAY, NOW))]
            assert simulator.counts.api_requests == 0

        clock.run(main())


def test_errors_contain_no_token():
    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "canary", "token_type": "bearer", "expires_in": 3_600})
        message = f"no: {request.headers['authorization']}"
        return httpx.Response(403, json={"code": "missing.permissions", "message": message})

    async def main() -> str:
        configured = Settings(client_id="a", client_secret="b", quota=None)
        async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
            async with MediaRetriever(configured, transport=client) as retriever:
                with pytest.raises(GenesysMediaError) as raised:
                    [each async for each in retriever.discover((NOW - DAY, NOW))]
        return str(raised.value) + repr(raised.value)

    assert "canary" not in asyncio.run(main())
