"""
Time as a part that is handed in, so that hours of quota can pass in milliseconds of test.

Deadlines, token lives and quota windows are measured on the monotonic reading, which no administrator can step;
the wall reading is only ever shown to people and to Genesys's date headers.
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
    What the package needs of time.

    A clock and the timers of the event loop it is used on must keep the same time: `VirtualClock.run` sees to
    that for virtual time, and `SystemClock` agrees with every ordinary loop.
    """

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    def wall(self) -> float:
        """Return seconds since 1970-01-01 UTC; may jump when somebody sets the machine's clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; nothing or less is a bare checkpoint."""
        ...


class SystemClock:
    """The machine's own time."""

    # The functions themselves: both are read many times for every id.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """Wait for real."""
        await anyio.sleep(max(0.0, seconds))


class VirtualClock:
    """
    Time that moves only when every task waits for it, and then jumps straight to the next timer.

    `run` executes a coroutine on an event loop whose timers follow this clock, so that `anyio.sleep`, cancel scope
    deadlines and third-party limiters jump along. Threads and other processes live in real time and should not be
    waited for.
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
        """Wait in virtual time; only of use inside `run`."""
        await anyio.sleep(max(0.0, seconds))

    def advance(self, seconds: float) -> None:
        """Let time pass at once, without running anything that was due meanwhile."""
        self._now += max(seconds, SMALLEST_STEP)

    def step_wall(self, seconds: float) -> None:
        """Move the date alone, as an administrator or a leap in the time service would."""
        self._wall_offset += seconds

    def event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a new event loop whose time is this clock's."""
        return _VirtualEventLoop(self)

    def run(self, main: Coroutine[object, object, T]) -> T:
        """Run a coroutine to its end in virtual time and return what it returns."""
        with asyncio.Runner(loop_factory=self.event_loop) as runner:
            return runner.run(main)


class _VirtualEventLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._clock = clock

    def time(self) -> float:
        return self._clock.monotonic()


class _JumpingSelector(selectors.DefaultSelector):
    """Where an ordinary loop would block until its next timer, move the clock there instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0 if timeout is not None else GRACE_BEFORE_DEADLOCK)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("every task waits for something that nobody will ever do")
        # Even a loop that has work left moves a step: a limiter that sets itself a timer nearer than the loop's
        # resolution would otherwise be woken at the same instant for ever.
        self._clock.advance(timeout)
        return ready
