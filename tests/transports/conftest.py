"""Fixtures of the tests of transports: event loops, kinds of transports, and certificates."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme

from genesys_media_async.transports import DirectTransport, HttpxTransport, Transport
from genesys_media_async.transports.tls import tls_context
from tests.support.exchanges import DIRECT, HTTPX, UNDER_HTTPX, Tls
from tests.support.scripted_server import server_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from tests.support.exchanges import Carrying, NewLoop


try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]


@pytest.fixture(
    params=["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(uvloop is None, reason="uvloop is an extra"))]
)
def anyio_backend(request: pytest.FixtureRequest):
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
def new_loop(anyio_backend: tuple[str, dict[str, Any]]) -> NewLoop:
    return uvloop.new_event_loop if anyio_backend[1]["use_uvloop"] else asyncio.new_event_loop


@pytest.fixture(params=[HTTPX, DIRECT, UNDER_HTTPX])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = tls_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, authority: trustme.CA, trusting: ssl.SSLContext) -> Tls:
    return Tls(server_tls(authority), trusting) if request.param == "tls" else Tls(None, None)


@pytest.fixture
def carrying(kind: str, trusting: ssl.SSLContext) -> Carrying:
    """Make a transport of the kind, and close it."""

    @contextlib.asynccontextmanager
    async def carry(context: ssl.SSLContext | None = None, most: int | None = None) -> AsyncIterator[Transport]:
        context = context or trusting
        limits = httpx.Limits(max_connections=most, keepalive_expiry=60)
        transport: Transport
        if kind == HTTPX:
            client = httpx.AsyncClient(verify=context, limits=limits, timeout=None, trust_env=False)
            transport = HttpxTransport(client, owned=True)
        elif kind == DIRECT:
            transport = DirectTransport(ssl_context=context, limits=limits)
        else:
            direct = DirectTransport(ssl_context=context, limits=limits)
            transport = HttpxTransport(httpx.AsyncClient(transport=direct, timeout=None), owned=True)
        try:
            yield transport
        finally:
            await transport.aclose()

    return carry
