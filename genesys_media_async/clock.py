"""
Clocks, which are handed in, so that hours of quota pass in milliseconds of test.

Deadlines, token lifetimes and quota windows use the monotonic reading, which nobody can set. The wall reading is only
for people, and for the dates in Genesys's headers.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

SMALLEST_STEP = 1e-9
GRACE_BEFORE_DEADLOCK = 5.0


class Clock(Protocol):
    """
    A source of time.

    A clock and the timers of its event loop must agree: `SystemClock` agrees with every ordinary loop, and a
    `VirtualClock` with the loop of its `run`.
    """

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start; never decreases."""
        ...

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC; may jump when the machine's clock is set."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep; zero or less is a bare checkpoint."""
        ...


class SystemClock:
    """The time of the machine."""

    # The functions themselves: both are read many times for every id.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        await anyio.sleep(max(0.0, seconds))


class VirtualClock:
    """
    A clock that moves only when every task waits, and then jumps to the next timer.

    `run` executes a coroutine on an event loop whose timers follow this clock; so do `anyio.sleep`, the deadlines of
    cancel scopes, and third-party limiters. Do not wait for threads and other processes: they live in real time.
    """

    def __init__(self, *, wall: float = 1_700_000_000.0) -> None:
        self._now = 0.0
        self._wall_offset = wall

    def __repr__(self) -> str:
        return f"<VirtualClock at {self._now:.3f} s>"

    def monotonic(self) -> float:
        """Return virtual seconds since the clock was made."""
        return self._now

    def wall(self) -> float:
        """Return the virtual date as seconds since 1970."""
        return self._wall_offset + self._now

    async def sleep(self, seconds: float) -> None:
        """Sleep in virtual time, inside `run`."""
        await anyio.sleep(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Move the clock at once, without running timers that become due."""
        self._now += max(seconds, SMALLEST_STEP)

    def step_wall(self, seconds: float) -> None:
        """Move the wall reading alone, as an administrator does who sets the clock."""
        self._wall_offset += seconds

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a new event loop whose time is this clock's."""
        return _VirtualEventLoop(self)

    def run(self, main: Coroutine[object, object, T]) -> T:
        """Run a coroutine in virtual time and return its result."""
        with asyncio.Runner(loop_factory=self.event_loop) as runner:
            return runner.run(main)


class _VirtualEventLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._clock = clock

    def time(self) -> float:
        return self._clock.monotonic()


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that moves the clock to the next timer instead of blocking until then."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else GRACE_BEFORE_DEADLOCK)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits for something that nobody will ever do")
        # The clock moves a step even while work is left: otherwise a limiter with a timer closer than the loop's
        # resolution would be woken at the same instant for ever.
        self._clock.advance(timeout)
        return ready
