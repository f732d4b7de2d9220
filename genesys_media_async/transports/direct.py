"""The fast transport: HTTP/1.1 straight over asyncio, for the bulk of a run and under anybody's `httpx.AsyncClient`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, cast

import httpx

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
    sanitized,
)
from .base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from .connection import PIECE, Connection, TooLarge
from .connections import Connections, Origin, bound
from .wire import Encoder, httpx_head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=5.0)
MAX_LIFETIME = 300.0
"""Seconds after which a connection is replaced, so that a change of addresses is noticed."""


class DirectTransport(httpx.AsyncBaseTransport):
    """
    Carries requests over HTTP/1.1 connections of its own, on asyncio or uvloop, with next to no cost.

    `exchange` is for whoever has a whole request and wants a whole reply. As an `httpx.AsyncBaseTransport` it goes
    under any `httpx.AsyncClient`, streams both ways and raises httpx's errors. There is no proxy, no HTTP/2, no
    pipelining, and no repetition of anything that was sent; a connection that is known to have died while it rested
    is replaced before anything is sent. It belongs to the event loop it was first used in.

    Over TLS, uvloop drops what it holds while reading is paused when the server closes the connection. So a long reply
    that is streamed, read slowly, and the last of its connection may be cut off; one that says its length is then an
    error. `exchange` never pauses.

    `limits` bound the connections of all origins together; who finds none free waits in line. A connection is not
    used for longer than `max_lifetime` seconds.
    """

    def __init__(
        self,
        *,
        limits: httpx.Limits = DEFAULT_LIMITS,
        ssl_context: ssl.SSLContext | None = None,
        max_lifetime: float = MAX_LIFETIME,
    ) -> None:
        self._connections = Connections(limits, ssl_context, max_lifetime)
        self._encoder = Encoder()
        self.requests = 0
        """Requests that were sent, at least in part."""

    def __repr__(self) -> str:
        opened, idle = self._connections.open, self._connections.idle
        return f"<DirectTransport: {opened} connections, {idle} idle, {opened - idle} in use>"

    @property
    def connections_opened(self) -> int:
        """Connections that were opened so far."""
        return self._connections.opened

    @property
    def reused(self) -> int:
        """How many requests were sent over a connection that had carried another before."""
        return self.requests - self._connections.opened

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        """Send a request and return the complete reply; see `Transport.exchange`."""
        loop, connections = asyncio.get_running_loop(), self._connections
        if loop is not connections.loop or connections.closed:
            connections.enter(loop)
        try:
            origin, closes, outgoing = self._encoder.encode(request)
            now = loop.time()
            deadline = now + timeout
            connection = connections.take(origin, now)
            if connection is None:
                connection = await connections.acquire(origin, until=deadline)
            self.requests += 1
            if closes:
                connection.retire_at = -math.inf
            try:
                news = connection.begin(outgoing, deadline, max_reply_size, head_only=request.method == "HEAD")
                if deadline < connections.next_look:
                    connections.look_by(deadline)
                await news
            except BaseException:
                connection.abort()
                raise
            if connection.failure is not None:
                if isinstance(connection.failure, TooLarge):
                    _check_encoding(connection.headers, connection.status)
                raise connection.failure
        except (httpx.TransportError, httpx.InvalidURL) as error:
            # "from None": what httpx or the system says may quote what was sent.
            raise _translated(error, timeout) from None
        status, headers, chunks = connection.status, connection.headers, connection.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        connections.release(connection, origin)
        if "content-encoding" in headers:
            _check_encoding(headers, status)
        return HttpReply(status, headers, body)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of httpx's and return its response, whose body is streamed unless it is here already."""
        loop = asyncio.get_running_loop()
        self._connections.enter(loop)
        try:
            return await self._respond(request, loop)
        except httpx.RequestError as error:
            error.request = request
            raise

    async def aclose(self) -> None:
        """Close every connection; what is under way fails, and nothing can be sent any more."""
        await self._connections.aclose()

    async def _respond(self, request: httpx.Request, loop: asyncio.AbstractEventLoop) -> httpx.Response:
        connections = self._connections
        timeouts = request.extensions.get("timeout", {})
        read, write = bound(timeouts.get("read")), bound(timeouts.get("write"))
        origin = self._encoder.origin_of(request.url)
        head, length, body, closes = httpx_head(request, origin)
        connection = connections.take(origin, loop.time())
        if connection is None:
            connection = await connections.acquire(
                origin, pool=bound(timeouts.get("pool")), connect=bound(timeouts.get("connect"))
            )
        self.requests += 1
        if closes:
            connection.retire_at = -math.inf
        try:
            connection.begin(
                head if body is None else head + body,
                math.inf,
                math.inf,
                head_only=request.method == "HEAD",
                streamed=True,
            )
            connection.sending = True
            if body is None:
                await self._send_body(connection, request.stream, length, write)
            else:
                await self._drain(connection, write)
            connection.sending = False
            while not connection.answered:
                await connections.news(connection, read)
        except BaseException:
            connection.abort()
            raise
        if connection.failure is not None:
            raise connection.failure
        body_stream: httpx.AsyncByteStream
        if connection.complete:
            body = b"".join(connection.take())
            connections.release(connection, origin)
            body_stream = httpx.ByteStream(body)
        else:
            body_stream = _Body(connections, connection, origin, read, request)
        return httpx.Response(
            connection.status,
            headers=connection.raw_headers,
            stream=body_stream,
            extensions={
                "http_version": f"HTTP/{connection.version}".encode("ascii"),
                "reason_phrase": connection.reason,
            },
        )

    async def _send_body(
        self,
        connection: Connection,
        stream: httpx.SyncByteStream | httpx.AsyncByteStream,
        length: int | None,
        write: float,
    ) -> None:
        """Send a body piece by piece, in chunks if nobody knows its length; stop when the reply is there."""
        pieces = aiter(cast("httpx.AsyncByteStream", stream))
        connection.sent = False
        sent = 0
        try:
            async for piece in pieces:
                sent += len(piece)
                if length is not None and sent > length:
                    break
                # Over TLS one of any length would seem to be taken at once.
                for start in range(0, len(piece), PIECE):
                    if connection.answered:
                        return
                    part = piece[start : start + PIECE]
                    connection.write(part if length is not None else b"%x\r\n%b\r\n" % (len(part), part))
                    await self._drain(connection, write)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        if length is None:
            connection.write(b"0\r\n\r\n")
        elif sent != length:
            raise httpx.LocalProtocolError(f"The request's body has not the {length} bytes that its headers say.")
        connection.sent = not connection.answered

    async def _drain(self, connection: Connection, timeout: float) -> None:
        while not connection.may_write and not connection.answered:
            await self._connections.news(connection, timeout)


class _Body(httpx.AsyncByteStream):
    """What is left of a reply's body when its head is handed out."""

    def __init__(
        self, owner: Connections, connection: Connection, origin: Origin, timeout: float, request: httpx.Request
    ) -> None:
        self._owner = owner
        self._connection = connection
        self._origin = origin
        self._timeout = timeout
        self._request = request
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        try:
            while not self._over:
                if connection.chunks:
                    for chunk in connection.take():
                        yield chunk
                elif connection.complete or connection.failure is not None:
                    break
                else:
                    await self._owner.news(connection, self._timeout)
        except BaseException:
            # A generator that was merely dropped is ended later, when the connection may be another caller's.
            if not self._over:
                connection.abort()
            raise
        if self._over:
            raise httpx.StreamClosed
        if connection.failure is not None:
            connection.failure.request = self._request
            raise connection.failure
        await self.aclose()

    async def aclose(self) -> None:
        """Give the connection back if the reply has come to its end, and close it if not."""
        if not self._over:
            self._over = True
            # What nobody wants any more must not keep the connection from reading.
            self._connection.take()
            self._owner.release(self._connection, self._origin)


def _check_encoding(headers: Mapping[str, str], status: int) -> None:
    encoding = headers.get("content-encoding")
    if encoding is not None and encoding.strip().lower() not in {"", "identity"}:
        raise InvalidResponseError(
            f"The reply is compressed ({sanitized(encoding, 40)}) although that was ruled out.",
            code="reply_compressed",
            status_code=status,
        )


def _translated(error: Exception, timeout: float) -> GenesysMediaError:
    """Return httpx's error as one of ours; what could not even be sent is told from what may have been carried out."""
    match error:
        case TooLarge():
            return InvalidResponseError(f"{error}.", code="reply_too_large", status_code=error.status)
        case httpx.InvalidURL():
            # httpx quotes what may be a password.
            return ConnectError("Nothing was sent: the URL is not valid.", retryable=False, advice="Correct the URL.")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return ConnectError(
                f"Nothing was sent: {sanitized(str(error))}.", retryable=False, advice="Correct the request."
            )
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ConnectError(f"{error} ({timeout:g} s).")
        case httpx.ConnectError():
            return ConnectError(f"No connection: {sanitized(str(error))}.")
        case httpx.TimeoutException():
            return APITimeoutError(f"No complete reply within {timeout:g} s.")
        case _:
            return APIConnectionError(
                f"No complete reply came after the request was sent; Genesys may have carried it out: {error}."
            )
