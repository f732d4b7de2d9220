"""The socket server: the simulated cloud over HTTP/1.1 on asyncio, plain or with TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from .connection import Connection
from .open_connections import OpenConnections

if TYPE_CHECKING:
    import ssl

    from ..cloud import Cloud

HANDSHAKE_TIMEOUT = 10.0
TURNS_TO_ACCEPT = 3
"""Turns of the event loop until an accepted connection is among the open ones."""


class SocketServer:
    """Listens on a port and owns every connection until it is closed."""

    def __init__(self, cloud: Cloud, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._cloud = cloud
        self._ssl_context = ssl_context
        self._listener: asyncio.Server | None = None
        self._connections = OpenConnections()
        self._address = ("", 0)
        self._refusals: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<SocketServer with {len(self._connections)} connections>"

    @property
    def is_listening(self) -> bool:
        """True between `start` and `aclose`."""
        return self._listener is not None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; 0 chooses any free one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._protocol, host, port, backlog=4096)
        bound: int = self._listener.sockets[0].getsockname()[1]
        self._address = (host, bound)
        return bound

    def refuse(self, *, after: float, seconds: float) -> None:
        """Stop listening in `after` seconds, reset what is open, and listen again `seconds` later."""
        refusal = asyncio.get_running_loop().create_task(self._refuse(after, seconds))
        self._refusals.add(refusal)
        refusal.add_done_callback(self._refusals.discard)

    async def _refuse(self, after: float, seconds: float) -> None:
        await asyncio.sleep(after)
        if self._listener is not None:
            self._listener.close()
            self._connections.abort()
            await asyncio.sleep(seconds)
            await self.start(*self._address)

    async def aclose(self) -> None:
        """Stop listening and close every connection; one that is still busy after a moment is aborted."""
        for refusal in tuple(self._refusals):
            refusal.cancel()
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        self._connections.refuse_new()
        listener.close()
        try:
            for _ in range(TURNS_TO_ACCEPT):
                await asyncio.sleep(0)
        finally:
            await self._connections.aclose()
        await listener.wait_closed()

    def _protocol(self) -> asyncio.Protocol:
        connection = Connection(self._cloud, self._connections)
        if self._ssl_context is None:
            return connection
        return TlsHandshake(connection, self._connections, self._ssl_context)


class TlsHandshake(asyncio.Protocol):
    """
    The TLS handshake of one connection, which begins when the handshake has succeeded.

    The listener's own TLS would hide the connections that are still in their handshake, so nobody could close them.
    """

    def __init__(self, connection: Connection, connections: OpenConnections, ssl_context: ssl.SSLContext) -> None:
        self._connection = connection
        self._connections = connections
        self._ssl_context = ssl_context
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake; nothing may be read before it is ready to read."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._connections.add(self)
        self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._transport))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget a client that left before the handshake had begun."""
        if self._handshake is not None:
            self._handshake.cancel()
        self._connections.discard(self)

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
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError:
            transport.abort()
        else:
            if secured is not None:
                self._connection.connection_made(secured)
        finally:
            self._connections.discard(self)
