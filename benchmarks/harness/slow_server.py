"""
A distant platform: nginx's answers, each a fixed time after its request has arrived.

    python -m benchmarks.harness.slow_server --port 8080 --delay 0.05

It holds thousands of connections, and must not be the bottleneck: httptools parses the requests, replies wait in one
queue, ordered by time since all wait equally long, and one timer is set for its head. It runs on uvloop if installed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import time
from collections import deque
from importlib.util import find_spec
from typing import cast

import httptools

from .servers import FILE_ID, REPLY, TOKEN_REPLY

HALF_A_TICK = 0.0005
"""Event loops round a timer up to a millisecond: set this much too early, replies are on time on average."""

_BEFORE, _AFTER = b"/api/v2/media/storage/files/", b"/download-url"
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nININ-Correlation-Id: 0123456789abcdef0123456789abcdef\r\n"
    b"Content-Length: "
)
_REPLY_1, _REPLY_2, _REPLY_3 = REPLY.encode().split(FILE_ID.encode())
_TOKEN = TOKEN_REPLY.encode()
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Outbox:
    """Replies that wait for their time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float) -> None:
        self._loop = loop
        self._delay = delay
        self._waiting: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def send(self, transport: asyncio.Transport, reply: bytes) -> None:
        """Write a reply after the delay."""
        if not self._delay:
            transport.write(reply)
            return
        due = time.monotonic() + self._delay
        self._waiting.append((due, transport, reply))
        if len(self._waiting) == 1:
            self._loop.call_later(self._delay - HALF_A_TICK, self._flush)

    def _flush(self) -> None:
        while self._waiting:
            due, transport, reply = self._waiting[0]
            early = due - time.monotonic()
            if early > HALF_A_TICK:
                self._loop.call_later(early - HALF_A_TICK, self._flush)
                return
            self._waiting.popleft()
            if not transport.is_closing():
                transport.write(reply)


class Connection(asyncio.Protocol):
    """One client's connection, without pipelining."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._url = b""
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Append a part of the target."""
        self._url += url

    def on_message_complete(self) -> None:
        """Answer."""
        url, self._url = self._url, b""
        if url.startswith(_BEFORE) and url.endswith(_AFTER):
            file_id = url[len(_BEFORE) : -len(_AFTER)]
            body = b"%b%b%b%b%b" % (_REPLY_1, file_id, _REPLY_2, file_id, _REPLY_3)
        elif url == b"/oauth/token":
            body = _TOKEN
        else:
            self._transport.write(_NOT_FOUND)
            return
        self._outbox.send(self._transport, b"%b%d\r\n\r\n%b" % (_HEAD, len(body), body))


async def serve(port: int, delay: float) -> None:
    """Serve until the process ends."""
    loop = asyncio.get_running_loop()
    outbox = Outbox(loop, delay)
    server = await loop.create_server(lambda: Connection(outbox), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Serve on the port of the command line."""
    parser = argparse.ArgumentParser(description="A server that answers each request after a fixed delay.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.05, metavar="S")
    options = parser.parse_args()
    factory = importlib.import_module("uvloop").new_event_loop if find_spec("uvloop") else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(options.port, options.delay))


if __name__ == "__main__":
    main()
