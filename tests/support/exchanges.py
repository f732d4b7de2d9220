"""Requests to a scripted server over a transport, and what tests of transports share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from genesys_media_async.errors import GenesysMediaError
from genesys_media_async.transports import DirectTransport, HttpReply, HttpRequest, Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.scripted_server import Server

    Carrying = Callable[..., AbstractAsyncContextManager[Transport]]
    NewLoop = Callable[[], asyncio.AbstractEventLoop]

HEADERS = {"authorization": "Bearer canary-token", "accept-encoding": "identity", "user-agent": "a/1"}
OPEN_FILES = Path("/proc/self/fd")
HTTPX, DIRECT, UNDER_HTTPX = "httpx", "direct", "direct under httpx"

WHOLE = {
    "with a length": (b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "with extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Evil: 1\r\nB: 2\r\n\r\n",
        b"hello",
    ),
    "after interim replies": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "without a body": (b"HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "with an empty body": (b"HTTP/1.1 200\r\nContent-Length: 0\r\nEmpty:\r\n\r\n", b""),
}


class Tls(NamedTuple):
    """How both ends speak TLS, if they do."""

    server: ssl.SSLContext | None
    client: ssl.SSLContext | None


def capped(most: int | None = None, tls: ssl.SSLContext | None = None, **limits: Any) -> DirectTransport:
    limits = {"max_connections": most, "keepalive_expiry": 60} | limits
    return DirectTransport(limits=httpx.Limits(**limits), ssl_context=tls)


async def ask(transport: Transport, url: str, *, method: str = "POST", timeout: float = 5, **changes) -> HttpReply:
    longest = changes.pop("max_reply_size", 64 * 1024)
    fresh = changes.pop("fresh", False)
    request = HttpRequest.to(method, url, changes.pop("headers", HEADERS), changes.pop("body", b"body"), fresh=fresh)
    return await transport.exchange(request, timeout=timeout, max_reply_size=longest)


async def failure(transport: Transport, url: str, **changes) -> GenesysMediaError:
    with pytest.raises(GenesysMediaError) as caught:
        await ask(transport, url, **changes)
    assert "canary" not in f"{caught.value} {caught.value!r}"
    return caught.value


async def send(transport: DirectTransport, url: str, method: str = "POST", **options: Any) -> httpx.Response:
    """Send one request as httpx's client does, and leave the body unread."""
    timeouts = {"connect": None, "read": None, "write": None, "pool": None} | options.pop("timeouts", {})
    extensions = {"timeout": timeouts} | options.pop("extensions", {})
    request = httpx.Request(method, url, extensions=extensions, **options)
    return await transport.handle_async_request(request)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def turns(number: int) -> None:
    """Let the loop turn; what was sent on this machine has arrived after one or two."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


async def echo(server: Server, writer: asyncio.StreamWriter) -> None:
    """Answer with the target of the request."""
    target = server.requests[-1].split(b" ", 2)[1]
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target))


async def which(server: Server, writer: asyncio.StreamWriter) -> None:
    """Answer with the client's port, so with the connection."""
    await asyncio.sleep(0.005)
    port = b"%d" % writer.get_extra_info("peername")[1]
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(port), port))


def open_files() -> int:
    """How many files and sockets this process has open; only where `OPEN_FILES` exists."""
    return sum(1 for _ in OPEN_FILES.iterdir())
