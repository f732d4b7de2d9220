"""A server on a real socket whose replies are scripted by a test, and the certificates for it."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import trustme

    Talk = Callable[["Server", asyncio.StreamWriter], Awaitable[None]]

TURNS_TO_END = 500
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Server:
    """Accepts connections, reads each request on them, and runs the script of its test."""

    def __init__(self, talk: Talk, *, early: bool = False) -> None:
        self.talk = talk
        self.early = early
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = b"" if self.early else await read_body(head, reader)
                    self.requests.append(head + body)
                    await self.talk(self, writer)
                    await writer.drain()
        finally:
            self.open -= 1
            self.ended.set()
            writer.close()


async def read_body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    lines = head.lower().split(b"\r\n")
    if b"transfer-encoding: chunked" in lines:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    return await reader.readexactly(next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0))


@asynccontextmanager
async def serving(
    talk: Talk, tls: ssl.SSLContext | None = None, *, early: bool = False, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[Server, str]]:
    server = Server(talk, early=early)
    listening = await asyncio.start_server(server, host, 0, ssl=tls, backlog=1000)
    port = listening.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    try:
        yield server, f"{'https' if tls else 'http'}://{name}:{port}/x"
    finally:
        listening.close()
        for _ in range(TURNS_TO_END):
            await asyncio.sleep(0)
            if not server.open:
                break
        await listening.wait_closed()


def replying(*parts: bytes) -> Talk:
    """Reply to each request with these bytes, the parts one after the other."""

    async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            if len(parts) > 1:
                await asyncio.sleep(0.001)

    return talk


def replying_and_closing(raw: bytes) -> Talk:
    async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    return talk


async def resetting(server: Server, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silent(server: Server, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.3)


async def dripping(server: Server, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


def server_tls(authority: trustme.CA, name: str = "127.0.0.1", **options: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **options).configure_cert(context)  # type: ignore[arg-type]
    return context


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Limit a context to one version of TLS, with its oldest ciphers allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
