"""A server in the client's own event loop: what both do is the same in every run, turn by turn."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HEAD = """HTTP/1.1 200 OK
Server: nginx/1.22.1
Date: Tue, 01 Dec 2026 00:00:00 GMT
Content-Type: application/json
Content-Length: {}
Connection: keep-alive
ININ-Correlation-Id: 5c7d1a52-7e0f-4f29-9bb6-0f7a1d3d2c11

"""
REPLY = HEAD.replace("\n", "\r\n") + "{}"
TOKEN = '{"access_token":"a-token-of-the-benchmark","expires_in":86400,"token_type":"bearer"}'
URL = '{{"url":"https://media.example.com/{0}?Signature={1}","expiresIn":3600,"fileName":"{0}","contentType":"audio/wav"}}'
SIGNATURE = "a" * 300


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request, which is small enough to come in one piece."""
        head, _, body = data.partition(b"\r\n\r\n")
        answer = TOKEN
        if b"/oauth/token" not in head:
            answer = URL.format(body.split(b'"')[3].decode(), SIGNATURE)
        self._transport.write(REPLY.format(len(answer), answer).encode())


@asynccontextmanager
async def lockstep_server() -> AsyncIterator[str]:
    """Serve tokens and download URLs at the URL that is yielded."""
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
