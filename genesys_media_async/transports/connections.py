"""The connections of a transport: in use, at rest, waited for, and one timer that ends what takes too long."""

from __future__ import annotations

import asyncio
import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from .connection import Connection
from .racing import race
from .tls import tls_context

if TYPE_CHECKING:
    import ssl

TICK = 0.02
"""Seconds between two looks at the deadlines, at least; so late may a time-out be."""

READ_SIZE = 256 * 1024
"""
Bytes that are read at once: as many as asyncio takes from a socket for TLS. At a connection's end it fills the buffer
once more, and drops whatever has no room in it.
"""
CLOSE_TIMEOUT = 2.0


@dataclass(slots=True, eq=False, weakref_slot=True)
class Origin:
    """Where requests go, and the connections that rest there, the one used last at the end."""

    host: str
    port: int
    tls: bool
    authority: bytes
    idle: list[Connection] = field(default_factory=list[Connection], repr=False)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A caller who waits for a connection to come free, or for leave to open one."""

    origin: Origin
    deadline: float
    ready: asyncio.Future[None]
    connection: Connection | None = None
    granted: bool = False


class Connections:
    """
    Opens connections, lends each to one caller at a time, and closes them.

    The one that was used last is lent first. Whoever finds none free waits in line; while anybody waits, none rests
    and none more may be opened. A connection is closed when it rested for too long, when it is too old, and when
    what it was lent for did not end well.
    """

    def __init__(self, limits: httpx.Limits, ssl_context: ssl.SSLContext | None, max_lifetime: float) -> None:
        self._most = bound(limits.max_connections)
        self._most_idle = bound(limits.max_keepalive_connections)
        self._longest_idle = bound(limits.keepalive_expiry)
        self._longest_life = max_lifetime
        self._ssl_context = ssl_context
        self._buffer = memoryview(bytearray(READ_SIZE))
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed = False
        self._usable: dict[Connection, Origin] = {}
        self._not_yet_lost: set[Connection] = set()
        self._nobody_left: asyncio.Event | None = None
        self._connecting = 0
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._serving = False
        self._timer: asyncio.TimerHandle | None = None
        self.next_look = math.inf
        self.idle = 0
        self.opened = 0

    @property
    def open(self) -> int:
        """How many there are, with those that are being opened."""
        return len(self._usable) + self._connecting

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make sure that connections may be used in an event loop."""
        if loop is self.loop and not self.closed:
            return
        if self.closed:
            raise RuntimeError("A DirectTransport that was closed carries nothing; make another.")
        if self.loop is not None and not self.loop.is_closed():
            raise RuntimeError("A DirectTransport belongs to one event loop; make one for each.")
        self._forget_all()
        self.loop = loop

    def take(self, origin: Origin, now: float) -> Connection | None:
        """Return the connection to an origin that was used last, if any can be used."""
        idle = origin.idle
        while idle:
            connection = idle.pop()
            self.idle -= 1
            if connection.is_fresh(now):
                return connection
            connection.close()
        return None

    async def acquire(
        self, origin: Origin, *, until: float = math.inf, pool: float = math.inf, connect: float = math.inf
    ) -> Connection:
        """Wait in line for a connection, or open one; what died on the way here is replaced."""
        loop = asyncio.get_running_loop()
        while not self._reserve():
            connection = await self._wait(_Waiter(origin, min(until, loop.time() + pool), loop.create_future()))
            if connection is None:
                break
            if connection.is_open:
                return connection
        return await self._connect(origin, min(until, loop.time() + connect))

    async def _wait(self, waiter: _Waiter) -> Connection | None:
        """Return a connection, or None for the leave to open one."""
        self._waiting[waiter] = None
        if waiter.deadline < self.next_look:
            self.look_by(waiter.deadline)
        try:
            await waiter.ready
        except BaseException:
            if waiter in self._waiting:
                del self._waiting[waiter]
            elif waiter.connection is not None:
                self.release(waiter.connection, waiter.origin)
            elif waiter.granted:
                self._settle(waiter.ready.get_loop())
                self._serve()
            raise
        if not waiter.granted:
            if self.closed:
                raise httpx.ConnectError("The transport was closed")
            raise httpx.PoolTimeout("No connection came free in time")
        return waiter.connection

    async def _connect(self, origin: Origin, until: float) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self._buffer, now=loop.time, on_gone=self._gone, on_lost=self._lost)
        scope = asyncio.timeout_at(None if until == math.inf else until)
        try:
            options = self._tls_options(origin) if origin.tls else {}
            async with scope:
                if isinstance(loop, asyncio.BaseEventLoop) and not _is_address(origin.host):
                    options["sock"] = await race(loop, origin.host, origin.port)
                else:
                    # uvloop tries one address of a name after the other.
                    options |= {"host": origin.host, "port": origin.port}
                await loop.create_connection(lambda: connection, **options)
            if self.closed:
                connection.abort()
            if not connection.is_open:
                raise httpx.ConnectError("The connection was closed as soon as it was made")
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError) and scope.expired():
                raise httpx.ConnectTimeout("No connection was made in time") from error
            raise httpx.ConnectError(str(error) or type(error).__name__) from error
        else:
            connection.retire_at = loop.time() + self._longest_life
            self._usable[connection] = origin
            self._not_yet_lost.add(connection)
            self.opened += 1
            return connection
        finally:
            self._settle(loop)
            if connection not in self._usable:
                self._serve()

    def _tls_options(self, origin: Origin) -> dict[str, Any]:
        if self._ssl_context is None:
            self._ssl_context = tls_context()
        self._ssl_context.set_alpn_protocols(["http/1.1"])
        return {"ssl": self._ssl_context, "server_hostname": origin.host, "ssl_shutdown_timeout": CLOSE_TIMEOUT}

    def _reserve(self) -> bool:
        """Count one more connection that is about to be opened, if there may be one, at the cost of an idle one."""
        if len(self._usable) + self._connecting >= self._most:
            resting = [origin.idle[0] for origin in set(self._usable.values()) if origin.idle]
            if not resting:
                return False
            min(resting, key=lambda connection: connection.idle_since).close()
        self._connecting += 1
        return True

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count what was about to be opened no longer; what outlived its loop was forgotten with it."""
        if loop is self.loop:
            self._connecting -= 1

    async def news(self, connection: Connection, timeout: float) -> None:
        """Wait until something happens to a connection, or the time is over."""
        connection.deadline = deadline = connection.now() + timeout
        if deadline < self.next_look:
            self.look_by(deadline)
        await connection.news()
        connection.deadline = math.inf

    def release(self, connection: Connection, origin: Origin) -> None:
        """Take back a connection whose exchange is over, for the next one in line or to rest."""
        now = connection.now()
        if not connection.is_reusable() or now >= connection.retire_at:
            connection.close()
            return
        if self.idle >= self._most_idle and not self._waiting:
            connection.close()
            return
        connection.idle_since = now
        connection.deadline = until = min(now + self._longest_idle, connection.retire_at)
        origin.idle.append(connection)
        self.idle += 1
        if self._waiting:
            self._serve()
        if until < self.next_look:
            self.look_by(until)

    def _serve(self) -> None:
        """Give those who wait longest what has come free; closing what is stale comes back here, and finds it busy."""
        if self._serving or self.loop is None:
            return
        self._serving = True
        try:
            while self._waiting:
                waiter = next(iter(self._waiting))
                if not waiter.ready.done():
                    waiter.connection = self.take(waiter.origin, self.loop.time())
                    waiter.granted = waiter.connection is not None or self._reserve()
                    if not waiter.granted:
                        return
                    waiter.ready.set_result(None)
                del self._waiting[waiter]
        finally:
            self._serving = False

    def _gone(self, connection: Connection) -> None:
        """Forget a connection that can carry nothing more."""
        origin = self._usable.pop(connection, None)
        if origin is None:
            return
        if connection in origin.idle:
            origin.idle.remove(connection)
            self.idle -= 1
        if self._waiting:
            self._serve()
        if not self._usable and not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer, self.next_look = None, math.inf

    def _lost(self, connection: Connection) -> None:
        self._not_yet_lost.discard(connection)
        if not self._not_yet_lost and self._nobody_left is not None:
            self._nobody_left.set()

    def look_by(self, when: float) -> None:
        """See to it that the deadlines are looked at by then; for who has one before `next_look`."""
        if self._timer is not None:
            self._timer.cancel()
        assert self.loop is not None  # noqa: S101 - something is under way in it
        self._timer = self.loop.call_at(when, self._look)
        self.next_look = when

    def _look(self) -> None:
        """End what is overdue, and look again when the next may be."""
        assert self.loop is not None  # noqa: S101 - it called this
        now = self.loop.time()
        self._timer, self.next_look = None, math.inf
        for connection in tuple(self._usable):
            if connection.deadline <= now:
                connection.expire()
        for waiter in tuple(self._waiting):
            if waiter.deadline <= now:
                del self._waiting[waiter]
                if not waiter.ready.done():
                    waiter.ready.set_result(None)
        deadlines = [each.deadline for each in self._usable] + [each.deadline for each in self._waiting]
        earliest = min(deadlines, default=math.inf)
        if earliest < self.next_look:
            self.look_by(max(earliest, now + TICK))

    async def aclose(self) -> None:
        """Close every connection; what is under way fails, and nothing can be sent any more."""
        self.closed = True
        if self.loop is not asyncio.get_running_loop():
            self._forget_all()
            return
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if not waiter.ready.done():
                waiter.ready.set_result(None)
        for connection in tuple(self._not_yet_lost):
            if connection.complete:
                connection.close()
            else:
                connection.fail(httpx.CloseError("The transport was closed"))
        if self._not_yet_lost:
            self._nobody_left = self._nobody_left or asyncio.Event()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._nobody_left.wait()
            for connection in tuple(self._not_yet_lost):
                connection.abort()

    def _forget_all(self) -> None:
        """Forget what belonged to an event loop that is closed, and is closed with it."""
        for connection, origin in self._usable.items():
            connection.forsake()
            origin.idle.clear()
        self._usable.clear()
        self._not_yet_lost.clear()
        self._waiting.clear()
        self._connecting = self.idle = 0
        self._timer, self.next_look = None, math.inf


def bound(value: float | None) -> float:
    """Return a limit of httpx's as a number: none is infinity."""
    return math.inf if value is None else value


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
