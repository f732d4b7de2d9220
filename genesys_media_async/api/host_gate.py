"""
The gate before every attempt: while a host is down one call probes, and everybody else waits for the outcome.

Nothing is sent and no permit is taken by those that wait; and the runs take no more ids meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..counters import Outages
from ..errors import OutageError, TokenUnavailableError
from ..events import OutageBegan, OutageEnded
from .outage import Concern, HostHealth, concern_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from ..clock import Clock
    from ..errors import GenesysMediaError
    from ..events import Event
    from ..settings.settings import Settings


TIME_TO_TAKE = 0.1
"""Seconds after which, if an id that was let in has not become a call, the next one is let in."""


class HostGate:
    """
    Holds up the calls, and the intake of the runs, while a host is down.

    `wait` makes one of the callers the probe, as often as the curve of `HostHealth` allows, in the order in which they
    came; a probe that fails comes last, and any reply to one ends the outage. After `outage_timeout` seconds everybody
    who waits gets an `OutageError`, as does `on_give_up`, and the next call begins anew; with 0, nobody ever waits.

    For the runs it is the intake of their pools: while it is not `is_open`, they ask `admitted` before each id.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
        emit: Callable[[Event], None],
        on_give_up: Callable[[OutageError], object] = lambda _: None,
    ) -> None:
        self._timeout = settings.outage_timeout
        self._hosts = {True: _host(settings.token_url), False: _host(settings.api_url)}
        self._clock = clock
        self._emit = emit
        self._on_give_up = on_give_up
        self.health = HostHealth(rng)
        self.is_open = True
        self._cause: GenesysMediaError | None = None
        self._host = ""
        self._is_probing = False
        self._callers: deque[asyncio.Future[bool]] = deque()
        self._takers: deque[asyncio.Future[bool]] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._count = 0
        self._seconds = 0.0

    def __repr__(self) -> str:
        state = f"closed, {len(self._callers)} calls waiting" if self.health.is_down else "open"
        return f"<HostGate: {state}>"

    def outages(self) -> Outages:
        """Return a snapshot of the outages so far."""
        if not self.health.is_down:
            return Outages(self._count, self._seconds)
        return Outages(self._count, self._seconds + self._clock.monotonic() - self.health.began_at, self._host)

    async def wait(self) -> bool:
        """
        Wait until no host is down, or until this caller may probe; return True if it is the probe.

        The probe must come back by `failed`, `answered` or `release`. Raises `OutageError` once the outage has lasted
        too long.
        """
        return await self._queue(self._callers) if self.health.is_down else False

    async def admitted(self) -> bool:
        """
        Wait until a probe is due and no call is there to be it; False if it is worth looking again before that.

        Raises `OutageError` as `wait` does.
        """
        return await self._queue(self._takers)

    def failed(self, error: GenesysMediaError, subject: str, *, is_probe: bool) -> bool:
        """
        Account for an attempt about `subject` that failed; return True if its call has to wait for the host.

        Such a failure is about the host, and says nothing about the call.
        """
        if not self._timeout:
            return False
        concern, now, health = concern_of(error), self._clock.monotonic(), self.health
        if concern is Concern.NOTHING:
            if error.status_code is not None and health.failures:
                self.answered(is_probe=is_probe)
            elif is_probe:
                self.release()
            return False
        if health.failed(concern, subject, now, retry_after=error.retry_after):
            self._begin(error)
        elif is_probe and health.is_down:
            health.probe_failed(now, retry_after=error.retry_after)
            self._cause = error
            self._is_probing = False
            self._set_timers()
        return health.is_down

    def answered(self, *, is_probe: bool) -> None:
        """Account for a reply: if it is the probe's, the outage is over, and everybody goes on."""
        was_down, began_at = self.health.is_down, self.health.began_at
        if was_down and not is_probe:
            # The request is older than the outage.
            return
        self.health.answered()
        if was_down:
            self._end(self._clock.monotonic() - began_at, None)

    def release(self) -> None:
        """Give the part of the probe back without an outcome: the next caller is it at once."""
        self._is_probing = False
        self._set_timers()

    def wake(self) -> None:
        """Let those that wait in `admitted` look again whether they are still wanted."""
        _wake(self._takers)

    async def _queue(self, queue: deque[asyncio.Future[bool]]) -> bool:
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._set_timers()
        try:
            return await turn
        except asyncio.CancelledError:
            # The part of the probe may have been given in the same turn of the loop.
            if turn.done() and not turn.cancelled() and turn.exception() is None and turn.result():
                self.release()
            raise

    def _begin(self, error: GenesysMediaError) -> None:
        self._count += 1
        self.is_open = False
        self._host = self._hosts[isinstance(error, TokenUnavailableError)]
        self._cause = error
        self._is_probing = False
        self._emit(OutageBegan(at=self._clock.wall(), host=self._host, code=error.code, reason=error.message))
        self._set_timers()

    def _end(self, seconds: float, error: OutageError | None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        self._seconds += seconds
        self.is_open = True
        self._is_probing = False
        self._emit(OutageEnded(self._clock.wall(), host=self._host, seconds=seconds, given_up=error is not None))
        for queue in (self._callers, self._takers):
            _wake(queue, error)

    def _set_timers(self) -> None:
        """Set the timers for the next probe and for giving up."""
        for timer in self._timers:
            timer.cancel()
        self._timers = []
        if not self.health.is_down:
            return
        loop, now = asyncio.get_running_loop(), self._clock.monotonic()
        gives_up_in = max(0.0, self.health.began_at + self._timeout - now)
        self._timers.append(loop.call_later(gives_up_in, self._give_up))
        if not self._is_probing:
            self._timers.append(loop.call_later(max(0.0, self.health.probe_at - now), self._probe))

    def _probe(self) -> None:
        """Make the first who waits the probe; with no call waiting, let one more id in, whose call will be it."""
        for queue in (self._callers, self._takers):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(True)
                    self._is_probing = queue is self._callers
                    if not self._is_probing:
                        # It may find that there are no more ids.
                        self._timers.append(asyncio.get_running_loop().call_later(TIME_TO_TAKE, self._probe))
                    return

    def _give_up(self) -> None:
        seconds = self._clock.monotonic() - self.health.began_at
        self.health.answered()
        words = f" The last attempt: {self._cause.message}" if self._cause is not None else ""
        error = OutageError(f"{self._host} has not been reachable for {seconds:.0f} s.{words}")
        self._on_give_up(error)
        self._end(seconds, error)


def _wake(queue: deque[asyncio.Future[bool]], error: OutageError | None = None) -> None:
    while queue:
        turn = queue.popleft()
        if turn.done():
            continue
        if error is None:
            turn.set_result(False)
        else:
            turn.set_exception(OutageError(error.message))


def _host(url: str) -> str:
    return urlsplit(url).netloc
