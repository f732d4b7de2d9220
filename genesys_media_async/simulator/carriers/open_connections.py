"""The connections of a server that are open, so that the server can close them all within a bounded time."""

from __future__ import annotations

import asyncio
from typing import Protocol

import anyio

CLOSE_TIMEOUT = 0.2
"""Seconds that connections have for sending what is buffered, and again for being aborted."""


class Closable(Protocol):
    """A connection that the server can close."""

    def close(self) -> None:
        """Send what is buffered, then close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class OpenConnections:
    """The set of open connections; a connection that is added while all are being closed is aborted."""

    def __init__(self) -> None:
        self._open: set[Closable] = set()
        self._closing = False
        self._all_closed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<OpenConnections: {len(self._open)}>"

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    def add(self, connection: Closable) -> None:
        """Add a connection, or abort it when all are being closed."""
        self._open.add(connection)
        if self._closing:
            connection.abort()

    def discard(self, connection: Closable) -> None:
        """Remove a connection that is closed."""
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    def abort(self) -> None:
        """Abort every connection that is open now."""
        for connection in tuple(self._open):
            connection.abort()

    def refuse_new(self) -> None:
        """Abort every connection that is added from now on."""
        self._closing = True

    async def aclose(self) -> None:
        """Close every connection, and abort those that are still open after `CLOSE_TIMEOUT`."""
        try:
            for connection in tuple(self._open):
                connection.close()
            await self._wait_until_closed()
        finally:
            for connection in tuple(self._open):
                connection.abort()
        await self._wait_until_closed()

    async def _wait_until_closed(self) -> None:
        self._all_closed.clear()
        if self._open:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._all_closed.wait()
