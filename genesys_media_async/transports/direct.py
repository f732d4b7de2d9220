"""The fast transport: HTTP/1.1 straight over asyncio, for the bulk of a run and under any `httpx.AsyncClient`."""

from __future__ import annotations

import asyncio
import math
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, cast

import httpx

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
    StaleConnectionError,
    sanitized,
)
from .base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from .connection import MAX_HEAD_SIZE, MAX_WRITE_SIZE, TRUSTED_IDLE, Connection, Reply, ReplyTooLarge, StaleConnection
from .connection_pool import ConnectionPool, Origin, none_as_infinity
from .connector import ATTEMPT_DELAY, Connector
from .content import decoded
from .request_encoder import MAX_REMEMBERED, EncodedHead, RequestEncoder, encode_httpx_request, is_plain_path
from .streamed_reply import READ_AHEAD, StreamedReply
from .tls import certificate_error

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=5.0)
_FIRST_ERROR = 300
MAX_LIFETIME = 300.0
"""Seconds after which a connection is replaced, so that a change of addresses is noticed."""


class DirectTransport(httpx.AsyncBaseTransport):
    """
    Carries requests over HTTP/1.1 connections of its own, on asyncio or uvloop, with next to no cost.

    `exchange` sends a whole request and returns a whole reply. As an `httpx.AsyncBaseTransport`, it works under any
    `httpx.AsyncClient`, streams both ways and raises httpx's errors. There is no proxy, no HTTP/2, no pipelining, and
    no repetition of anything that was sent; a connection that is known to have died while it was idle is replaced
    before anything is sent. It belongs to the event loop it was first used in, and raises `RuntimeError` in another.

    Over TLS, uvloop drops what it holds while reading is paused when the server closes the connection. So a long reply
    that is streamed, read slowly, and the last of its connection may be cut off; one with a Content-Length is then an
    error. `exchange` never pauses.

    `limits` bound the connections of all origins together; callers queue when none is free. A connection is not used
    for longer than `max_lifetime` seconds. One that was idle for more than `trusted_idle` seconds is used again only
    if its socket shows that the peer has not left. `attempt_delay` is the number of seconds that one address of a
    name has before the next is tried, too. `max_head_size` bounds the bytes of a reply that are not its body, and
    `read_ahead` those of a streamed body that wait to be read. `max_remembered` encoded heads are kept.
    """

    def __init__(
        self,
        *,
        limits: httpx.Limits = DEFAULT_LIMITS,
        ssl_context: ssl.SSLContext | None = None,
        max_lifetime: float = MAX_LIFETIME,
        trusted_idle: float = TRUSTED_IDLE,
        attempt_delay: float = ATTEMPT_DELAY,
        max_head_size: int = MAX_HEAD_SIZE,
        read_ahead: int = READ_AHEAD,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._pool = ConnectionPool(
            limits,
            Connector(ssl_context, attempt_delay=attempt_delay),
            max_lifetime=max_lifetime,
            trusted_idle=trusted_idle,
            max_head_size=max_head_size,
        )
        self._encoder = RequestEncoder(max_remembered=max_remembered)
        self._max_head_size = max_head_size
        self._read_ahead = read_ahead
        self.requests = 0
        """Requests that were sent, at least in part."""

    def __repr__(self) -> str:
        opened, idle = self._pool.open, len(self._pool.idle)
        return f"<DirectTransport: {opened} connections, {idle} idle, {opened - idle} in use>"

    @property
    def connections_opened(self) -> int:
        """Connections that were opened so far."""
        return self._pool.opened

    @property
    def reused(self) -> int:
        """How many requests were sent over a connection that had carried another before."""
        return self.requests - self._pool.opened

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        """
        Send a request and return the complete reply; see `Transport.exchange`.

        The plain case has to be fast: what the pool's `acquire` and `release` would do for it is done here.
        """
        pool, loop = self._pool, _running_loop()
        if loop is not pool.entered:
            pool.enter(loop)
        try:
            head, path, body = self._encoder[request.head], request.path, request.body
            if not is_plain_path(path):
                path = head.checked_path(path)
            idle, size, now = head.origin.idle, len(body), loop.time()
            deadline = now + timeout
            if (
                idle
                and now < (connection := idle[-1]).trusted_until
                and not connection.transport.is_closing()
                and not request.fresh
            ):
                del idle[-1]
            else:
                connection = await pool.acquire(head.origin, until=deadline, fresh=request.fresh)
            self.requests += 1
            if size > head.longest:
                self._expect_unusual(connection, head, size)
            try:
                if deadline < pool.deadlines.next_check:
                    pool.deadlines.check_by(deadline)
                # No name is given to the bytes: they hold the token, and a traceback shows what this frame holds.
                await connection.begin(
                    head.with_body % (path.encode(), size, body) if size else head.without_body % path.encode(),
                    deadline,
                    max_reply_size,
                )
            except BaseException:
                connection.abort()
                raise
            reply, now = connection.reply, loop.time()
            if (
                reply.keep_alive
                and now < connection.ages_at
                and not pool.waiting
                and not connection.transport.get_write_buffer_size()
                and "content-encoding" not in reply.headers
            ):
                connection.trusted_until = now + pool.trusted_rest
                idle.append(connection)
                return HttpReply(reply.status, reply.headers, b"".join(reply.chunks))
            return self._end_unusual(connection, head.origin, max_reply_size)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            # "from None": what httpx or the system says may quote what was sent.
            raise _translated(error, timeout, request.url) from None

    def _expect_unusual(self, connection: Connection, head: EncodedHead, size: int) -> None:
        only_head = Reply(self._max_head_size, head_only=True) if head.is_head_only else None
        connection.expect_unusual(size, only_head, is_last=head.closes)

    def _end_unusual(self, connection: Connection, origin: Origin, max_reply_size: int) -> HttpReply:
        """Take back a connection, and return its reply; raise its failure."""
        failure, reply = connection.failure, connection.reply
        status, headers, body = reply.status, reply.headers, b"".join(reply.chunks)
        if failure is None:
            self._pool.release(connection, origin)
            return HttpReply(
                status, headers, decoded(body, headers.get("content-encoding", ""), status, max_reply_size)
            )
        # An error reply whose body is too long may be a page with pictures in it.
        if isinstance(failure, ReplyTooLarge) and status >= _FIRST_ERROR:
            return HttpReply(status, headers, body[:max_reply_size])
        raise failure

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of httpx's and return its response; its body is streamed unless it is here already."""
        self._pool.enter(_running_loop())
        try:
            return await self._respond(request)
        except httpx.RequestError as error:
            error.request = request
            raise

    async def aclose(self) -> None:
        """Close every connection; what is under way fails, and nothing can be sent any more."""
        await self._pool.aclose(_running_loop())

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        pool, timeouts = self._pool, request.extensions.get("timeout", {})
        read, write = none_as_infinity(timeouts.get("read")), none_as_infinity(timeouts.get("write"))
        origin = self._encoder.origin_of(request.url)
        outgoing = encode_httpx_request(request, origin)
        connection = await self._connection_to(origin, timeouts)
        reply = StreamedReply(
            head_only=request.method == "HEAD", max_head_size=self._max_head_size, read_ahead=self._read_ahead
        )
        self.requests += 1
        data = outgoing.head + (outgoing.body or b"")
        connection.expect_unusual(len(data), reply, is_last=outgoing.closes)
        try:
            connection.begin(data, math.inf, math.inf)
            connection.sending = True
            if outgoing.body is None:
                await self._send_body(connection, request.stream, outgoing.length, write)
            else:
                await self._wait_until_writable(connection, write)
            connection.sending = False
            while not connection.answered:
                await pool.wait(connection, read)
        except BaseException:
            connection.abort()
            raise
        if connection.failure is not None:
            raise connection.failure
        body: httpx.AsyncByteStream = _Body(pool, connection, reply, origin, read, request)
        if reply.complete:
            body = httpx.ByteStream(b"".join(reply.take()))
            connection.resume_reading()
            pool.release(connection, origin)
        return _response(reply, body)

    async def _connection_to(self, origin: Origin, timeouts: Mapping[str, float | None]) -> Connection:
        """Return an idle connection, or one that was waited for or opened within a request's timeouts."""
        pool, connect = none_as_infinity(timeouts.get("pool")), none_as_infinity(timeouts.get("connect"))
        return await self._pool.acquire(origin, pool=pool, connect=connect)

    async def _send_body(
        self,
        connection: Connection,
        stream: httpx.SyncByteStream | httpx.AsyncByteStream,
        length: int | None,
        timeout: float,
    ) -> None:
        """Send a body piece by piece, in chunks if its length is unknown; stop when the reply is there."""
        pieces = aiter(cast("httpx.AsyncByteStream", stream))
        connection.sent = False
        sent = 0
        try:
            async for piece in pieces:
                sent += len(piece)
                if length is not None and sent > length:
                    break
                if not await self._send_piece(connection, piece, timeout, chunked=length is None):
                    return
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        if length is None:
            connection.write(b"0\r\n\r\n")
        elif sent != length:
            raise httpx.LocalProtocolError(f"The request's body has not the {length} bytes that its headers state.")
        connection.sent = not connection.answered

    async def _send_piece(self, connection: Connection, piece: bytes, timeout: float, *, chunked: bool) -> bool:
        """Send a piece of a body as the peer takes it; return False if the reply is there before that is done."""
        # Over TLS a piece of any length would seem to be taken at once.
        for start in range(0, len(piece), MAX_WRITE_SIZE):
            if connection.answered:
                return False
            part = piece[start : start + MAX_WRITE_SIZE]
            connection.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            await self._wait_until_writable(connection, timeout)
        return True

    async def _wait_until_writable(self, connection: Connection, timeout: float) -> None:
        while not connection.may_write and not connection.answered:
            await self._pool.wait(connection, timeout)


class _Body(httpx.AsyncByteStream):
    """What is left of a reply's body when its head is handed out."""

    def __init__(
        self,
        pool: ConnectionPool,
        connection: Connection,
        reply: StreamedReply,
        origin: Origin,
        timeout: float,
        request: httpx.Request,
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._reply = reply
        self._origin = origin
        self._timeout = timeout
        self._request = request
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection, reply = self._connection, self._reply
        try:
            while not self._over:
                if reply.chunks:
                    for chunk in self._take():
                        yield chunk
                elif reply.complete or connection.failure is not None:
                    break
                else:
                    await self._pool.wait(connection, self._timeout)
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
        """Give the connection back if the reply is complete, and close it if not."""
        if not self._over:
            self._over = True
            # What nobody wants any more must not keep the connection from reading.
            self._take()
            self._pool.release(self._connection, self._origin)

    def _take(self) -> list[bytes]:
        chunks = self._reply.take()
        self._connection.resume_reading()
        return chunks


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "genesys_media_async runs on asyncio (or uvloop) only, and no event loop of asyncio is running here."
        ) from None


def _response(reply: StreamedReply, body: httpx.AsyncByteStream) -> httpx.Response:
    extensions = {"http_version": f"HTTP/{reply.version}".encode("ascii"), "reason_phrase": reply.reason}
    return httpx.Response(reply.status, headers=reply.raw_headers, stream=body, extensions=extensions)


def _translated(error: Exception, timeout: float, url: str) -> GenesysMediaError:
    """Return httpx's error as one of ours; one type is for what was not sent, others for what may be carried out."""
    match error:
        case ReplyTooLarge():
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
            return certificate_error(error, url) or ConnectError(f"No connection: {sanitized(str(error))}.")
        case httpx.TimeoutException():
            return APITimeoutError(f"No complete reply within {timeout:g} s.")
        case StaleConnection():
            return StaleConnectionError(f"{error}.")
        case _:
            return APIConnectionError(
                f"No complete reply came after the request was sent; Genesys may have carried it out: {error}."
            )
