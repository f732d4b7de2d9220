"""The connections of a transport: in use, idle, waited for, and one timer that ends what takes too long."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import httpx

from .connection import MAX_HEAD_SIZE, TRUSTED_IDLE, Connection
from .connector import CLOSE_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .connector import Connector

MIN_CHECK_INTERVAL = 0.02
"""Seconds between two checks of the deadlines, at least; a timeout may be late by as much."""

BUFFER_SIZE = 256 * 1024
"""
Bytes that are read at once: as many as asyncio takes from a socket for TLS. At a connection's end it fills the buffer
once more, and drops whatever has no room in it.
"""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Origin:
    """A scheme, host and port, and the idle connections to it, the one used last at the end."""

    host: str
    port: int
    tls: bool
    authority: bytes
    idle: list[Connection] = field(default_factory=list[Connection], repr=False)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A caller that waits for a connection to become idle, or for permission to open one."""

    origin: Origin
    deadline: float
    ready: asyncio.Future[None]
    connection: Connection | None = None
    granted: bool = False

    def wake(self) -> None:
        """Let the caller look what it has got."""
        if not self.ready.done():
            self.ready.set_result(None)


class _Rests:
    """
    How many connections may be idle, for how many seconds, and for how many of these each is `trusted`.

    Where idle ones have to be counted, each comes back by `release`: whatever its age, it is not young enough for less.
    """

    def __init__(self, limits: httpx.Limits, trusted_idle: float) -> None:
        expiry = none_as_infinity(limits.keepalive_expiry)
        self.most = none_as_infinity(limits.max_keepalive_connections) if expiry > 0 else 0
        self.longest = expiry if self.most else math.inf
        self.trusted = min(trusted_idle, expiry)
        self.more = expiry - trusted_idle if expiry > trusted_idle else 0.0
        self.old = self.trusted if self.most >= none_as_infinity(limits.max_connections) else math.inf
        """A connection that is left less than that is old."""


class DeadlineTimer:
    """
    One timer for the deadlines of many, so that an exchange sets none of its own.

    `check` ends what is overdue at a time of the loop, and returns the earliest deadline that is left. `next_check` is
    when it is called next: whoever sets an earlier deadline calls `check_by`.
    """

    def __init__(self, check: Callable[[float], float]) -> None:
        self._check = check
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.next_check = math.inf

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use another event loop, since the last one is closed."""
        self._loop = loop
        self._handle, self.next_check = None, math.inf

    def check_by(self, when: float) -> None:
        """Schedule a check, unless there is one before, in place of the one that was scheduled."""
        if when >= self.next_check:
            return
        if self._handle is not None:
            self._handle.cancel()
        assert self._loop is not None  # noqa: S101 - something is under way in it
        self._handle = self._loop.call_at(when, self._run)
        self.next_check = when

    def stop(self) -> None:
        """Check no more, until the next `check_by`."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self.next_check = None, math.inf

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 - it called this
        now = self._loop.time()
        self._handle, self.next_check = None, math.inf
        earliest = self._check(now)
        self.check_by(max(earliest, now + MIN_CHECK_INTERVAL))


class ConnectionPool:
    """
    Opens connections, lends each to one caller at a time, and closes them.

    The one that was used last is lent first. Callers queue when none is idle and none more may be opened. A
    connection is closed when it was idle for `keepalive_expiry` seconds, after `max_lifetime` seconds, and when an
    exchange over it did not end well. The options are those of `DirectTransport`.

    Exchanges may begin in the event loop that was `entered`. `DirectTransport` does the plain case of `acquire` and
    `release` itself, with the idle list of the origin, `waiting` (the queue), and `trusted_rest` (for how many seconds
    an idle connection counts as alive without a look at it).
    """

    def __init__(
        self,
        limits: httpx.Limits,
        connector: Connector,
        *,
        max_lifetime: float,
        trusted_idle: float = TRUSTED_IDLE,
        max_head_size: int = MAX_HEAD_SIZE,
    ) -> None:
        self._max_connections = none_as_infinity(limits.max_connections)
        self._rests = _Rests(limits, trusted_idle)
        self.trusted_rest = self._rests.trusted
        self._connector = connector
        self._max_lifetime = max_lifetime
        self._max_head_size = max_head_size
        self._buffer = memoryview(bytearray(BUFFER_SIZE))
        self._loop: asyncio.AbstractEventLoop | None = None
        self.entered: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._usable: dict[Connection, Origin] = {}
        self._not_yet_lost: set[Connection] = set()
        self._all_lost: asyncio.Event | None = None
        self._connecting = 0
        self.waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._serving = False
        self.deadlines = DeadlineTimer(self._end_overdue)
        self.opened = 0

    @property
    def open(self) -> int:
        """How many connections there are, with those that are being opened."""
        return len(self._usable) + self._connecting

    @property
    def idle(self) -> set[Connection]:
        """The connections that are idle."""
        return {connection for origin in set(self._usable.values()) for connection in origin.idle}

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make sure that connections may be used in an event loop."""
        if loop is self.entered:
            return
        if self._closed:
            raise RuntimeError("This DirectTransport is closed; make another.")
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("A DirectTransport belongs to one event loop; make one for each.")
        self._forget_all()
        self._loop = self.entered = loop
        self.deadlines.enter(loop)

    def take(self, origin: Origin, now: float) -> Connection | None:
        """Return the connection to an origin that was used last, if any can be used."""
        idle = origin.idle
        while idle:
            connection = idle.pop()
            if connection.is_fresh(now, self._rests.more):
                return connection
            connection.close()
        return None

    async def acquire(
        self,
        origin: Origin,
        *,
        until: float = math.inf,
        pool: float = math.inf,
        connect: float = math.inf,
        fresh: bool = False,
    ) -> Connection:
        """Return a connection that is idle, waited for or opened; a used one is replaced if it has to be `fresh`."""
        loop = asyncio.get_running_loop()
        if not fresh and (idle := self.take(origin, loop.time())) is not None:
            return idle
        while not self._reserve():
            connection = await self._queue(_Waiter(origin, min(until, loop.time() + pool), loop.create_future()))
            if connection is None:
                break
            if connection.is_open:
                if not fresh:
                    return connection
                # Reserved before it is closed, so that nobody else opens one in its place.
                self._connecting += 1
                connection.close()
                break
        return await self._open(origin, min(until, loop.time() + connect))

    async def _queue(self, waiter: _Waiter) -> Connection | None:
        """Return a connection, or None as the permission to open one."""
        self.waiting[waiter] = None
        self.deadlines.check_by(waiter.deadline)
        try:
            await waiter.ready
        except BaseException:
            if waiter in self.waiting:
                del self.waiting[waiter]
            elif waiter.connection is not None:
                self.release(waiter.connection, waiter.origin)
            elif waiter.granted:
                self._settle(waiter.ready.get_loop())
                self._serve()
            raise
        if not waiter.granted:
            if self._closed:
                raise httpx.ConnectError("The transport was closed")
            raise httpx.PoolTimeout("No connection came free in time")
        return waiter.connection

    async def _open(self, origin: Origin, until: float) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(
            self._buffer, loop, on_gone=self._gone, on_lost=self._lost, max_head_size=self._max_head_size
        )
        try:
            await self._connector.connect(connection, origin.host, origin.port, tls=origin.tls, until=until)
            if self._closed:
                connection.abort()
            if not connection.is_open:
                raise httpx.ConnectError("The connection was closed as soon as it was made")
            now = loop.time()
            connection.retire_at = now + self._max_lifetime
            self._usable[connection] = origin
            self.deadlines.check_by(min(now + self._rests.longest, connection.retire_at))
            self._not_yet_lost.add(connection)
            self.opened += 1
            return connection
        finally:
            self._settle(loop)
            if connection not in self._usable:
                self._serve()

    def _reserve(self) -> bool:
        """Count one more connection as being opened, if there may be one; if need be, an idle one is closed for it."""
        if len(self._usable) + self._connecting >= self._max_connections:
            oldest = [origin.idle[0] for origin in set(self._usable.values()) if origin.idle]
            if not oldest:
                return False
            min(oldest, key=lambda connection: connection.trusted_until).close()
        self._connecting += 1
        return True

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop counting one connection as being opened, unless it was forgotten with its event loop."""
        if loop is self._loop:
            self._connecting -= 1

    async def wait(self, connection: Connection, timeout: float) -> None:
        """Wait until a connection changes, or the timeout has closed it."""
        connection.deadline = deadline = connection.now() + timeout
        self.deadlines.check_by(deadline)
        await connection.wait()
        connection.deadline = math.inf

    def release(self, connection: Connection, origin: Origin) -> None:
        """Take back a connection whose exchange is over: for the next in the queue, to be idle, or to be closed."""
        is_full = len(self._usable) > self._rests.most and len(self.idle) >= self._rests.most
        if (is_full and not self.waiting) or not connection.make_idle(self.trusted_rest):
            connection.close()
            return
        connection.ages_at = connection.retire_at - self._rests.old
        origin.idle.append(connection)
        if self.waiting:
            self._serve()

    def _serve(self) -> None:
        """
        Give the callers that wait longest what has become idle, or the permission to open a connection.

        A stale connection that is closed here leads back to this method, which then does nothing.
        """
        if self._serving or self._loop is None:
            return
        self._serving = True
        try:
            while self.waiting:
                waiter = next(iter(self.waiting))
                if not waiter.ready.done():
                    waiter.connection = self.take(waiter.origin, self._loop.time())
                    waiter.granted = waiter.connection is not None or self._reserve()
                    if not waiter.granted:
                        return
                    waiter.ready.set_result(None)
                del self.waiting[waiter]
        finally:
            self._serving = False

    def _gone(self, connection: Connection) -> None:
        """Forget a connection that can carry nothing more."""
        origin = self._usable.pop(connection, None)
        if origin is None:
            return
        if connection in origin.idle:
            origin.idle.remove(connection)
        if self.waiting:
            self._serve()
        if not self._usable and not self.waiting:
            self.deadlines.stop()

    def _lost(self, connection: Connection) -> None:
        self._not_yet_lost.discard(connection)
        if not self._not_yet_lost and self._all_lost is not None:
            self._all_lost.set()

    def _end_overdue(self, now: float) -> float:
        """End all that is overdue, and return the next time to look: before it ends no rest that begins from now on."""
        idle, checks = self.idle, [now + self._rests.longest]
        for connection in tuple(self._usable):
            ends_at = connection.rests_until(self._rests.more) if connection in idle else connection.deadline
            if ends_at <= now:
                connection.expire()
            checks += [at for at in (ends_at, connection.retire_at) if at > now]
        for waiter in tuple(self.waiting):
            if waiter.deadline <= now:
                del self.waiting[waiter]
                waiter.wake()
        checks += [waiter.deadline for waiter in self.waiting]
        return min(checks) if self._usable or self.waiting else math.inf

    async def aclose(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close every connection; what is under way fails, and nothing can be sent any more."""
        self._closed, self.entered = True, None
        if loop is not self._loop:
            self._forget_all()
            return
        while self.waiting:
            waiter, _ = self.waiting.popitem(last=False)
            waiter.wake()
        for connection in tuple(self._not_yet_lost):
            if connection.reply.complete:
                connection.close()
            else:
                connection.fail(httpx.CloseError("The transport was closed"))
        if self._not_yet_lost:
            self._all_lost = self._all_lost or asyncio.Event()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._all_lost.wait()
            for connection in tuple(self._not_yet_lost):
                connection.abort()

    def _forget_all(self) -> None:
        """Forget what belonged to an event loop that is closed, and is closed with it."""
        for connection, origin in self._usable.items():
            connection.abandon()
            origin.idle.clear()
        self._usable.clear()
        self._not_yet_lost.clear()
        self.waiting.clear()
        self._connecting = 0


def none_as_infinity(limit: float | None) -> float:
    """Return a limit of httpx's as a number."""
    return math.inf if limit is None else limit
