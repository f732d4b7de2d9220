"""
The cloud on a real socket: an HTTP/1.1 server on asyncio, plain or TLS.

A request that needs no delay is answered from within the callback that received it, without a task; what waits, waits
on a timer of the loop. Pipelined requests are answered one after the other, in order.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

import anyio
import httptools

from .messages import BODY_LIMIT, Reply, Request
from .travel import Mark, Send, Step, Wait, steps, travels_oddly

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from .cloud import Cloud

HEAD_LIMIT = 64 * 1024
DRAIN_LIMIT = 8 * BODY_LIMIT
"""How much of a body over the limit is read and thrown away, so that its sender gets to see the 413."""

PIPELINE_LIMIT = 64
CLOSE_SECONDS = 0.2
HANDSHAKE_SECONDS = 10.0
TURNS_TO_ACCEPT = 3
"""Turns of the loop that a connection accepted just now needs until it is known here."""

CHUNK = 16 * 1024

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\nDate: ".encode() for status in HTTPStatus}
_LINGER_ZERO = struct.pack("ii", 1, 0)


class _Closable(Protocol):
    """What the server can be rid of."""

    def close(self) -> None:
        """Send what is buffered, then close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Server:
    """Listens, and owns every connection until it is closed."""

    def __init__(self, cloud: Cloud, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._cloud = cloud
        self._ssl_context = ssl_context
        self._listener: asyncio.Server | None = None
        self._open: set[_Closable] = set()
        self._closing = False
        self._all_closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Server with {len(self._open)} connections>"

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; 0 asks for any free one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._protocol, host, port, backlog=4096)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def aclose(self) -> None:
        """Stop listening and close every connection, those still busy after a moment by force."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        self._closing = True
        listener.close()
        for _ in range(TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        try:
            for connection in tuple(self._open):
                connection.close()
            await self._wait_until_closed()
        finally:
            for connection in tuple(self._open):
                connection.abort()
        await self._wait_until_closed()
        await listener.wait_closed()

    def opened(self, connection: _Closable) -> None:
        """Take charge of a connection, which is turned away at once when the server is closing."""
        self._open.add(connection)
        if self._closing:
            connection.abort()

    def closed(self, connection: _Closable) -> None:
        """Let go of one that is closed."""
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    async def _wait_until_closed(self) -> None:
        self._all_closed.clear()
        if self._open:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._all_closed.wait()

    def _protocol(self) -> asyncio.Protocol:
        connection = Connection(self._cloud, self)
        return connection if self._ssl_context is None else TlsDoor(connection, self, self._ssl_context)


class TlsDoor(asyncio.Protocol):
    """
    Shakes hands, then lets the connection in.

    Done here rather than by the listener, because a listener does not show the connections that are still shaking
    hands, and so nobody could close them.
    """

    def __init__(self, connection: Connection, server: Server, ssl_context: ssl.SSLContext) -> None:
        self._connection = connection
        self._server = server
        self._ssl_context = ssl_context
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; nothing may be read before it listens."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._server.opened(self)
        self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._transport))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget a peer that left before the handshake had begun."""
        if self._handshake is not None:
            self._handshake.cancel()
        self._server.closed(self)

    def close(self) -> None:
        """Give up the handshake."""
        self.abort()

    def abort(self) -> None:
        """Give up the handshake."""
        if self._handshake is not None:
            self._handshake.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport,
                self._connection,
                self._ssl_context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError:
            transport.abort()
        else:
            if secured is not None:
                self._connection.connection_made(secured)
        finally:
            self._server.closed(self)


class Connection(asyncio.Protocol):
    """One client's connection: parses its requests and answers them in order."""

    def __init__(self, cloud: Cloud, server: Server) -> None:
        self._cloud = cloud
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._early: list[bytes] = []
        self._waiting: deque[tuple[Request | Reply, bool]] = deque()
        self._sending: Reply | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deaf = False
        self._lost = False
        self._paused_reading = False
        self._paused_writing = False
        self._continue_due = False
        self._in_head = False
        self._began_in_this_read = False
        self._start_message()

    def __repr__(self) -> str:
        return f"<Connection: {len(self._waiting)} requests waiting>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; over TLS the first bytes, or even the end, may have come before."""
        if self._lost:
            return
        self._transport = cast("asyncio.Transport", transport)
        self._server.opened(self)
        self._cloud.counts.connections_open += 1
        self._cloud.counts.connections_total += 1
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Give up whatever was still to be sent."""
        self._lost = True
        self._deaf = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is not None:
            self._settle(delivered=False)
        if self._transport is not None:
            self._cloud.counts.connections_open -= 1
            self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        """Parse, and answer what is complete."""
        if self._transport is None:
            self._early.append(data)
            return
        if self._deaf:
            return
        self._began_in_this_read = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self._in_head and not self._began_in_this_read:
            self._head_reads += len(data)
        if self._in_head:
            self._check_head()
        self._answer()

    def pause_writing(self) -> None:
        """Stop answering while the client does not read."""
        self._paused_writing = True

    def resume_writing(self) -> None:
        """Go on answering."""
        self._paused_writing = False
        # Not from within: a transport that is closed while it tells this would end its connection twice.
        self._loop.call_soon(self._answer)

    def close(self) -> None:
        """Send what is buffered, then close; a reply that still waits for its time is not sent."""
        self._deaf = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._start_message()
        self._in_head = True
        self._began_in_this_read = True

    def on_url(self, url: bytes) -> None:
        """Take the target, which may come in pieces."""
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that is repeated is joined with commas."""
        self._head_bytes += len(name) + len(value)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Judge the size of the head, and tell a client that waits for it to send its body."""
        self._in_head = False
        self._check_head()
        expectation = self._headers.get("expect")
        if expectation is None or self._deaf or expectation.lower() != "100-continue":
            return
        length = self._headers.get("content-length", "")
        if length.isdigit() and int(length) > BODY_LIMIT:
            self._too_large = True
            self._enqueue(self._request(), keep_alive=False)
            return
        self._continue_due = True
        self._send_continue()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, or throw it away beyond the limit."""
        self._continue_due = False
        self._body_bytes += len(body)
        if self._body_bytes <= BODY_LIMIT:
            self._chunks.append(body)
            return
        self._too_large = True
        self._chunks.clear()
        if self._body_bytes > DRAIN_LIMIT and not self._deaf:
            self._enqueue(self._request(), keep_alive=False)

    def on_message_complete(self) -> None:
        """Queue a complete request."""
        self._continue_due = False
        if self._parser.should_upgrade():
            # The parser has passed over the body, so the request cannot be answered as if it had not asked.
            self._refuse(HTTPStatus.NOT_IMPLEMENTED)
        if not self._deaf:
            self._enqueue(self._request(), keep_alive=self._parser.should_keep_alive())

    def _start_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        # Two measures of the head, each short of it: what the parser has reported, and the reads that were all head.
        self._head_bytes = 0
        self._head_reads = 0
        self._too_large = False

    def _request(self) -> Request:
        chunks = self._chunks
        return Request(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            chunks[0] if len(chunks) == 1 else b"".join(chunks),
            self._too_large,
        )

    def _check_head(self) -> None:
        if max(self._head_bytes, self._head_reads) > HEAD_LIMIT:
            self._in_head = False
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what cannot be understood as a request, after those before it; then no more."""
        if not self._deaf:
            self._enqueue(self._cloud.refuse(status), keep_alive=False)

    def _enqueue(self, message: Request | Reply, *, keep_alive: bool) -> None:
        self._waiting.append((message, keep_alive))
        if not keep_alive:
            self._deaf = True
        if len(self._waiting) >= PIPELINE_LIMIT and self._transport is not None and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def _send_continue(self) -> None:
        # In the middle of another reply it would be read as part of that.
        if self._continue_due and self._sending is None and not self._waiting and self._transport is not None:
            self._continue_due = False
            self._transport.write(_CONTINUE)

    def _answer(self) -> None:
        """Answer all that waits, until a reply has to be waited for."""
        while self._waiting and self._sending is None and not self._paused_writing and not self._lost:
            message, keep_alive = self._waiting.popleft()
            reply = self._cloud.handle(message) if isinstance(message, Request) else message
            self._sending = reply
            if reply.delay > 0:
                self._after(reply.delay, partial(self._begin, reply, keep_alive=keep_alive))
            else:
                self._begin(reply, keep_alive=keep_alive)
        self._read_on()
        if self._continue_due:
            self._send_continue()

    def _read_on(self) -> None:
        if self._paused_reading and len(self._waiting) < PIPELINE_LIMIT and not self._lost:
            self._paused_reading = False
            if self._transport is not None:
                self._transport.resume_reading()

    def _begin(self, reply: Reply, *, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if travels_oddly(reply.fault):
            self._follow(steps(reply, self._cloud.settings), reply, keep_alive=keep_alive)
            return
        transport.write(encode_head(reply, self._cloud.date(), keep_alive=keep_alive) + encode_body(reply))
        self._finish(keep_alive=keep_alive)

    def _follow(self, way: Iterator[Step], reply: Reply, *, keep_alive: bool) -> None:
        """Do the steps up to the next wait, which is a timer that comes back here."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        for step in way:
            if isinstance(step, Wait):
                self._after(step.seconds, partial(self._follow, way, reply, keep_alive=keep_alive))
                return
            if isinstance(step, Send):
                transport.write(step.data)
            elif step is Mark.HEAD:
                transport.write(encode_head(reply, self._cloud.date(), keep_alive=keep_alive))
            elif step is Mark.DONE:
                self._finish(keep_alive=keep_alive)
            elif step is Mark.RESET:
                reset(transport)
            else:
                self.close()

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        def due() -> None:
            self._timer = None
            act()
            self._answer()

        self._timer = self._loop.call_later(seconds, due)

    def _finish(self, *, keep_alive: bool) -> None:
        self._settle(delivered=True)
        if not keep_alive:
            self.close()

    def _settle(self, *, delivered: bool) -> None:
        reply, self._sending = self._sending, None
        if reply is not None:
            self._cloud.settle(reply, delivered=delivered)


def encode_head(reply: Reply, date: bytes, *, keep_alive: bool) -> bytes:
    """Return status line and headers as bytes; a reply without a body by nature has no length either."""
    pieces = [_STATUS_LINES[reply.status], date, b"\r\n"]
    for name, value in reply.headers:
        pieces += (name, b": ", value, b"\r\n")
    if reply.chunked:
        pieces.append(b"Transfer-Encoding: chunked\r\n")
    elif reply.status != HTTPStatus.NO_CONTENT:
        pieces.append(b"Content-Length: %d\r\n" % len(reply.body))
    pieces.append(b"\r\n" if keep_alive else b"Connection: close\r\n\r\n")
    return b"".join(pieces)


def encode_body(reply: Reply) -> bytes:
    """Return the body as it goes over the wire."""
    if reply.body_withheld:
        return b""
    if not reply.chunked:
        return reply.body
    pieces = [reply.body[start : start + CHUNK] for start in range(0, len(reply.body), CHUNK)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a TCP reset instead of an orderly end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
