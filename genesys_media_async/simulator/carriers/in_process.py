"""
The in-process transport: an httpx transport that passes each request to the simulated cloud without a socket.

It serves tests on virtual time and runs of millions of ids. It waits on the clock and obeys the read timeout, and a
wire fault raises what httpx raises over a real socket.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from ..fault_kinds import Fault
from ..faults.wire_faults import Mark, Send, Step, Wait, is_wire_fault, wire_steps
from ..messages import MAX_BODY_BYTES, Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ...clock import Clock
    from ..cloud import Cloud


class InProcessTransport(httpx.AsyncBaseTransport):
    """
    An httpx transport that answers every request from one cloud, whatever its host.

    It has no connections: none is counted, and closing it does nothing. Every request counts as one over a reused
    connection.
    """

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock

    def __repr__(self) -> str:
        return f"<InProcessTransport to {self._cloud!r}>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the cloud's response, or raise the httpx error of its fault."""
        body = await request.aread()
        reply = self._cloud.handle(_translated(request, body))
        try:
            timed = _TimedWait(self._clock, request)
            if reply.delay > 0:
                await timed.wait(reply.delay)
            if is_wire_fault(reply.fault):
                return await self._faulty_response(reply, timed)
        except BaseException:
            self._cloud.settle(reply, delivered=False)
            raise
        self._cloud.settle(reply, delivered=True)
        return _response(reply, self._cloud.date(), httpx.ByteStream(b"" if reply.body_withheld else reply.body))

    async def _faulty_response(self, reply: Reply, timed: _TimedWait) -> httpx.Response:
        steps = wire_steps(reply, self._cloud.settings)
        for step in steps:
            if isinstance(step, Wait):
                await timed.wait(step.seconds)
            elif step is Mark.HEAD:
                return _response(reply, self._cloud.date(), _FaultyStream(self._cloud, reply, timed, steps))
            elif isinstance(step, Send):
                raise httpx.RemoteProtocolError("illegal status line", request=timed.request)
            elif step is Mark.RESET:
                raise httpx.ReadError("connection reset", request=timed.request)
            else:
                break
        if reply.fault is Fault.KEEP_ALIVE_RACE and "trace" in timed.request.extensions:
            # As httpcore does; that no step of connecting came before means that the connection was reused.
            await timed.request.extensions["trace"]("http11.receive_response_headers.failed", {})
        message = "Server disconnected without sending a response."
        raise httpx.RemoteProtocolError(message, request=timed.request)


class _TimedWait:
    """The waits of one request, each bounded by its read timeout."""

    def __init__(self, clock: Clock, request: httpx.Request) -> None:
        self.request = request
        self._clock = clock
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        self._timeout = timeouts.get("read")

    async def wait(self, seconds: float) -> None:
        """Wait, or raise httpx.ReadTimeout when the read timeout is shorter."""
        if self._timeout is None or seconds <= self._timeout:
            await self._clock.sleep(seconds)
            return
        await self._clock.sleep(self._timeout)
        raise httpx.ReadTimeout("no byte in time", request=self.request)


class _FaultyStream(httpx.AsyncByteStream):
    """The body of a reply that is cut off or slow."""

    def __init__(self, cloud: Cloud, reply: Reply, timed: _TimedWait, steps: Iterator[Step]) -> None:
        self._cloud = cloud
        self._reply: Reply | None = reply
        self._timed = timed
        self._steps = steps
        self._length = len(reply.body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        for step in self._steps:
            if isinstance(step, Wait):
                await self._timed.wait(step.seconds)
            elif isinstance(step, Send):
                received += len(step.data)
                yield step.data
            elif step is Mark.DONE:
                self._settle(delivered=True)
            elif step is Mark.RESET:
                raise httpx.ReadError("connection reset", request=self._timed.request)
            else:
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body "
                    f"(received {received} bytes, expected {self._length})",
                    request=self._timed.request,
                )

    async def aclose(self) -> None:
        """Count the reply as undelivered unless it was read to its end."""
        self._settle(delivered=False)

    def _settle(self, *, delivered: bool) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            self._cloud.settle(reply, delivered=delivered)


def _translated(request: httpx.Request, body: bytes) -> Request:
    target: bytes = request.extensions.get("target", request.url.raw_path)
    headers: dict[str, str] = {}
    for name, value in request.headers.raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    if len(body) > MAX_BODY_BYTES:
        return Request(request.method, target.decode("latin-1"), headers, b"", too_large=True, reused=True)
    return Request(request.method, target.decode("latin-1"), headers, body, reused=True)


def _response(reply: Reply, date: bytes, stream: httpx.AsyncByteStream) -> httpx.Response:
    headers = [(b"Date", date), *reply.headers]
    if reply.chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    elif reply.status != HTTPStatus.NO_CONTENT:
        headers.append((b"Content-Length", b"%d" % len(reply.body)))
    extensions = {"http_version": b"HTTP/1.1"}
    return httpx.Response(reply.status, headers=headers, stream=stream, extensions=extensions)
