"""A certificate or a proxy that refuses is asked once, and the run ends with that sentence."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async import ConnectionSetupError, MediaRetriever, Settings
from genesys_media_async.transports import HttpReply, HttpRequest

pytestmark = pytest.mark.anyio


class Refusing:
    """A transport to hosts of which those at some paths have a certificate that expired."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.requests: list[str] = []

    async def exchange(self, request: HttpRequest, *, timeout: float, max_reply_size: int = 0) -> HttpReply:
        self.requests.append(request.url)
        await anyio.lowlevel.checkpoint()
        if self.refused in request.url:
            raise ConnectionSetupError("The certificate is not accepted: expired.", code="certificate_rejected")
        return HttpReply(200, {}, b'{"access_token": "t", "token_type": "bearer", "expires_in": 3600}')

    async def aclose(self) -> None:
        pass


SETTINGS = Settings(client_id="a", client_secret="b", quota=None, concurrency=4)


async def test_of_the_api_ends_the_run_and_leaves_the_other_ids_alone() -> None:
    transport, results = Refusing("/download-url"), []
    async with MediaRetriever(SETTINGS, transport=transport) as retriever:
        with pytest.raises(ConnectionSetupError, match="expired"):
            async for result in retriever.retrieve_many(f"id-{number}" for number in range(1_000)):
                results.append(result)
    assert 1 <= len(results) <= 4
    assert {result.error.code for result in results if not result.ok} == {"certificate_rejected"}
    assert len(transport.requests) == 1 + len(results)


async def test_of_the_login_host_is_asked_once() -> None:
    transport = Refusing("/oauth/token")
    async with MediaRetriever(SETTINGS, transport=transport) as retriever:
        with pytest.raises(ConnectionSetupError, match="expired"):
            await retriever.retrieve("id-1")
        with pytest.raises(ConnectionSetupError, match="expired"):
            await retriever.retrieve("id-2")
    assert len(transport.requests) == 1
