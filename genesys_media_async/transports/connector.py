"""Opens connections: finds the addresses of a name, tries them by Happy Eyeballs (RFC 8305), and adds TLS."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
from typing import TYPE_CHECKING, Any

import httpx
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType] - it says only "tuple"

from .tls import tls_context, tls_failure

if TYPE_CHECKING:
    import ssl

ATTEMPT_DELAY = 0.25
"""Seconds that an address has before the next one is tried beside it."""

CLOSE_TIMEOUT = 2.0
"""Seconds that a peer has for its part of the end of a connection."""


class Connector:
    """Connects protocols to hosts; without an `ssl_context`, TLS is that of `tls_context`."""

    def __init__(self, ssl_context: ssl.SSLContext | None, *, attempt_delay: float = ATTEMPT_DELAY) -> None:
        self._ssl_context = ssl_context
        self._attempt_delay = attempt_delay

    async def connect(self, protocol: asyncio.BaseProtocol, host: str, port: int, *, tls: bool, until: float) -> None:
        """Connect a protocol; raises `httpx.ConnectTimeout` at the loop's time `until`, or `httpx.ConnectError`."""
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout_at(None if until == math.inf else until)
        try:
            options = self._tls_options(host) if tls else {}
            async with scope:
                if _is_address(host):
                    options |= {"host": host, "port": port}
                else:
                    options["sock"] = await connected_socket(loop, host, port, self._attempt_delay)
                await loop.create_connection(lambda: protocol, **options)
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError) and scope.expired():
                raise httpx.ConnectTimeout("No connection was made in time") from error
            words = tls_failure(error) if tls else None
            raise httpx.ConnectError(words or str(error) or type(error).__name__) from error

    def _tls_options(self, host: str) -> dict[str, Any]:
        if self._ssl_context is None:
            self._ssl_context = tls_context()
        self._ssl_context.set_alpn_protocols(["http/1.1"])
        return {"ssl": self._ssl_context, "server_hostname": host, "ssl_shutdown_timeout": CLOSE_TIMEOUT}


async def connected_socket(loop: asyncio.AbstractEventLoop, host: str, port: int, delay: float) -> socket.socket:
    """Return a socket that is connected to one of the addresses of a name; raises `OSError` if none answers."""
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not addresses:
        raise OSError(f"The name has no address: {host}")
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that waits is run by a task
    cancellations = task.cancelling()
    try:
        connected = await start_connection(addresses, happy_eyeballs_delay=delay, loop=loop)
    except RuntimeError as error:
        # uvloop raises it for some failures of a socket.
        raise OSError(str(error)) from error
    if task.cancelling() > cancellations:
        # aiohappyeyeballs drops a cancellation that comes while it ends the attempts that lost.
        connected.close()
        raise asyncio.CancelledError
    return connected


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
