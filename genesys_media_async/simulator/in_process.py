"""
The cloud without sockets: an httpx transport that hands each request straight to the rules.

For tests on virtual time and for runs of millions of ids. Waiting goes through the clock, a read time-out is honoured,
and a fault of the wire raises what httpx raises over a real socket.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx

from .messages import BODY_LIMIT, Reply, Request
from .travel import Mark, Send, Step, Wait, steps, travels_oddly

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..clock import Clock
    from .cloud import Cloud


class InProcessTransport(httpx.AsyncBaseTransport):
    """
    Answers every request from one cloud, whatever host it was for.

    There are no connections, so nothing is counted as one and closing does nothing.
    """

    def __init__(self, cloud: Cloud, clock: Clock) -> None:
        self._cloud = cloud
        self._clock = clock

    def __repr__(self) -> str:
        return f"<InProcessTransport to {self._cloud!r}>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the cloud's response, or raise what its fault looks like to a client."""
        body = await request.aread()
        reply = self._cloud.handle(_translated(request, body))
        try:
            passage = _Passage(self._clock, request)
            if reply.delay > 0:
                await passage.wait(reply.delay)
            if travels_oddly(reply.fault):
                return await self._odd_response(reply, passage)
        except BaseException:
            self._cloud.settle(reply, delivered=False)
            raise
        self._cloud.settle(reply, delivered=True)
        return _response(reply, self._cloud.date(), httpx.ByteStream(b"" if reply.body_withheld else reply.body))

    async def _odd_response(self, reply: Reply, passage: _Passage) -> httpx.Response:
        way = steps(reply, self._cloud.settings)
        for step in way:
            if isinstance(step, Wait):
                await passage.wait(step.seconds)
            elif step is Mark.HEAD:
                return _response(reply, self._cloud.date(), _OddStream(self._cloud, reply, passage, way))
            elif isinstance(step, Send):
                raise httpx.RemoteProtocolError("illegal status line", request=passage.request)
            elif step is Mark.RESET:
                raise httpx.ReadError("connection reset", request=passage.request)
            else:
                break
        message = "Server disconnected without sending a response."
        raise httpx.RemoteProtocolError(message, request=passage.request)


class _Passage:
    """Waiting on behalf of one request, no longer than its read time-out allows."""

    def __init__(self, clock: Clock, request: httpx.Request) -> None:
        self.request = request
        self._clock = clock
        timeout: dict[str, float | None] = request.extensions.get("timeout", {})
        self._longest = timeout.get("read")

    async def wait(self, seconds: float) -> None:
        """Let time pass, or raise httpx.ReadTimeout when the time-out would be over first."""
        if self._longest is None or seconds <= self._longest:
            await self._clock.sleep(seconds)
            return
        await self._clock.sleep(self._longest)
        raise httpx.ReadTimeout("no byte in time", request=self.request)


class _OddStream(httpx.AsyncByteStream):
    """The body of a reply that is cut off or comes slowly."""

    def __init__(self, cloud: Cloud, reply: Reply, passage: _Passage, way: Iterator[Step]) -> None:
        self._cloud = cloud
        self._reply: Reply | None = reply
        self._passage = passage
        self._way = way
        self._length = len(reply.body)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        for step in self._way:
            if isinstance(step, Wait):
                await self._passage.wait(step.seconds)
            elif isinstance(step, Send):
                received += len(step.data)
                yield step.data
            elif step is Mark.DONE:
                self._settle(delivered=True)
            elif step is Mark.RESET:
                raise httpx.ReadError("connection reset", request=self._passage.request)
            else:
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body "
                    f"(received {received} bytes, expected {self._length})",
                    request=self._passage.request,
                )

    async def aclose(self) -> None:
        """Count the reply as undelivered when it was not read to its end."""
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
    if len(body) > BODY_LIMIT:
        return Request(request.method, target.decode("latin-1"), headers, b"", too_large=True)
    return Request(request.method, target.decode("latin-1"), headers, body)


def _response(reply: Reply, date: bytes, stream: httpx.AsyncByteStream) -> httpx.Response:
    headers = [(b"Date", date), *reply.headers]
    if reply.chunked:
        headers.append((b"Transfer-Encoding", b"chunked"))
    elif reply.status != HTTPStatus.NO_CONTENT:
        headers.append((b"Content-Length", b"%d" % len(reply.body)))
    extensions = {"http_version": b"HTTP/1.1"}
    return httpx.Response(reply.status, headers=headers, stream=stream, extensions=extensions)
