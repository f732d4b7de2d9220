"""
One HTTP/1.1 connection of the socket server: replies are sent in the order of their requests.

A request without a delay is answered within the callback that received it, without a task; a delay is a timer of the
event loop.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from ..faults.wire_faults import Mark, Send, Step, Wait, is_wire_fault, wire_steps
from ..messages import Reply, Request
from ..outages import OutageKind
from .request_reader import RequestReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..cloud import Cloud
    from .open_connections import OpenConnections

MAX_PIPELINED = 64
"""Requests that may wait on one connection; beyond it no more are read until some are answered."""

CHUNK_BYTES = 16 * 1024

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\nDate: ".encode() for status in HTTPStatus}
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """The connection of one client: reads its requests and answers them in order."""

    def __init__(self, cloud: Cloud, connections: OpenConnections) -> None:
        self._cloud = cloud
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(self)
        self._early: list[bytes] = []
        self._waiting: deque[tuple[Request | Reply, bool]] = deque()
        self._sending: Reply | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False
        self._paused_reading = False
        self._paused_writing = False

    def __repr__(self) -> str:
        return f"<Connection: {len(self._waiting)} requests waiting>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; over TLS the first bytes, or even the end, may have come before."""
        if self._lost:
            return
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._cloud.counts.connections_open += 1
        self._cloud.counts.connections_total += 1
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Drop what is still to be sent."""
        self._lost = True
        self._reader.finished = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sending is not None:
            self._settle(delivered=False)
        if self._transport is not None:
            self._cloud.counts.connections_open -= 1
            self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes and answer every complete request."""
        if self._transport is None:
            self._early.append(data)
        elif not self._reader.finished:
            self._reader.feed(data)
            self._answer()

    def pause_writing(self) -> None:
        """Send no further reply while the client does not read."""
        self._paused_writing = True

    def resume_writing(self) -> None:
        """Send replies again."""
        self._paused_writing = False
        # In a later turn of the loop: a transport that is closed inside this callback would end its connection twice.
        self._loop.call_soon(self._answer)

    def close(self) -> None:
        """Send what is buffered, then close; a delayed reply is not sent."""
        self._reader.finished = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def on_request(self, request: Request, *, keep_alive: bool) -> None:
        """Queue a request that has arrived."""
        self._enqueue(request, keep_alive=keep_alive)

    def on_refusal(self, status: HTTPStatus) -> None:
        """Queue the reply to bytes that are no acceptable request, after the replies before it."""
        self._enqueue(self._cloud.refuse(status), keep_alive=False)

    def on_continue_expected(self) -> None:
        """Send `100 Continue`, unless a reply is due first."""
        # Inside another reply it would be read as a part of that reply.
        if self._sending is None and not self._waiting and self._transport is not None:
            self._reader.continue_expected = False
            self._transport.write(_CONTINUE)

    def _enqueue(self, message: Request | Reply, *, keep_alive: bool) -> None:
        self._waiting.append((message, keep_alive))
        if len(self._waiting) >= MAX_PIPELINED and self._transport is not None and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def _answer(self) -> None:
        """Answer what waits, up to the first reply that is delayed."""
        while self._waiting and self._sending is None and not self._paused_writing and not self._lost:
            message, keep_alive = self._waiting.popleft()
            outage = self._cloud.outages.meet(message.target) if isinstance(message, Request) else None
            if outage is not None and outage is not OutageKind.UNAVAILABLE:
                self._leave(outage)
                break
            if isinstance(message, Reply):
                reply = message
            else:
                reply = self._cloud.handle(message) if outage is None else self._cloud.unavailable()
            self._sending = reply
            if reply.delay > 0:
                self._after(reply.delay, partial(self._begin, reply, keep_alive=keep_alive))
            else:
                self._begin(reply, keep_alive=keep_alive)
        self._resume_reading()
        if self._reader.continue_expected:
            self.on_continue_expected()

    def _leave(self, outage: OutageKind) -> None:
        """Give no reply any more; in a black hole the connection stays."""
        self._reader.finished = True
        self._waiting.clear()
        if self._transport is None or outage is OutageKind.BLACK_HOLE:
            return
        if outage is OutageKind.HALF_OPEN:
            self._transport.close()
        else:
            reset(self._transport)

    def _resume_reading(self) -> None:
        if self._paused_reading and len(self._waiting) < MAX_PIPELINED and not self._lost:
            self._paused_reading = False
            if self._transport is not None:
                self._transport.resume_reading()

    def _begin(self, reply: Reply, *, keep_alive: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if is_wire_fault(reply.fault):
            self._follow(wire_steps(reply, self._cloud.settings), reply, keep_alive=keep_alive)
            return
        transport.write(encode_head(reply, self._cloud.date(), keep_alive=keep_alive) + encode_body(reply))
        self._finish(keep_alive=keep_alive)

    def _follow(self, steps: Iterator[Step], reply: Reply, *, keep_alive: bool) -> None:
        """Do the steps up to the next wait, whose timer continues here."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        for step in steps:
            if isinstance(step, Wait):
                self._after(step.seconds, partial(self._follow, steps, reply, keep_alive=keep_alive))
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
    """Return the status line and the headers as bytes; a 204 has no length because it has no body."""
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
    """Return the body as bytes, chunked if the reply is."""
    if reply.body_withheld:
        return b""
    if not reply.chunked:
        return reply.body
    pieces = [reply.body[start : start + CHUNK_BYTES] for start in range(0, len(reply.body), CHUNK_BYTES)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def reset(transport: asyncio.Transport) -> None:
    """End a connection with a TCP reset instead of an orderly close."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
