"""The parts of an open retriever: which transport carries the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from genesys_media_async import MediaRetriever, Settings
from genesys_media_async.simulator import Simulator
from genesys_media_async.transports import DirectTransport, HttpReply
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from genesys_media_async.transports import HttpRequest
    from genesys_media_async.transports.choice import TransportChoice


NOWHERE = httpx.MockTransport(lambda _: httpx.Response(404))


class Courier:
    async def exchange(self, request: HttpRequest, *, timeout: float, max_reply_size: int = 0) -> HttpReply:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("transport", "proxy", "name"),
    [
        ("direct", None, "direct"),
        ("httpx", None, "httpx"),
        ("auto", "http://proxy.example.com:3128", "httpx"),
        (DirectTransport(), None, "direct"),
        (httpx.AsyncClient(transport=NOWHERE), None, "httpx"),
        (NOWHERE, None, "MockTransport"),
        (Courier(), None, "Courier"),
    ],
)
async def test_statistics_have_the_name_of_the_transport(transport: TransportChoice, proxy: str | None, name: str):
    settings = Settings(client_id="a", client_secret="b", base_url="https://api.example.com", proxy=proxy)
    async with MediaRetriever(settings, transport=transport) as retriever:
        assert retriever.statistics().transport == name


@pytest.mark.anyio
async def test_a_client_of_the_user_carries_the_requests_and_stays_open():
    seen: list[httpx.Request] = []

    async def hook(request: httpx.Request) -> None:
        seen.append(request)

    async with Simulator() as simulator:
        client = httpx.AsyncClient(
            headers={"x-gateway-key": "k"}, auth=("somebody", "else"), event_hooks={"request": [hook]}
        )
        async with client:
            async with MediaRetriever(settings_for(simulator), transport=client) as retriever:
                await retriever.retrieve("recording-1")
            assert not client.is_closed
    token_request, api_request = seen
    assert token_request.headers["authorization"].startswith("Basic ")
    assert api_request.headers["authorization"].startswith("Bearer ")
    assert api_request.headers["x-gateway-key"] == "k"
    assert api_request.headers["accept-encoding"] == "identity"
