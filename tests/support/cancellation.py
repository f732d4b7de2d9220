"""Cancellation of a task before any given step of its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import anyio

    from genesys_media_async import VirtualClock


class Stepping(Coroutine):
    """A coroutine that calls a function before each of its steps."""

    def __init__(self, coroutine: Coroutine, before_step: Callable[[], None]) -> None:
        self._coroutine = coroutine
        self._before_step = before_step

    def send(self, value):
        self._before_step()
        return self._coroutine.send(value)

    def throw(self, *error):
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self):
        return self._coroutine.__await__()

    def __getattr__(self, name: str):
        return getattr(self._coroutine, name)


class Stop:
    """
    Cancels a victim before the n-th step that any task of the loop takes.

    The victim is a task, or the scope in which it works if `by_scope`. With `again_after`, it is cancelled a second
    time, so many steps later. Only steps during the life of a victim count.
    """

    def __init__(self, at: int, *, by_scope: bool = False, again_after: int | None = None) -> None:
        self.at = at
        self.steps = 0
        self.victim: asyncio.Task[Any] | None = None
        self.scope: anyio.CancelScope | None = None
        self.stopped_at: float | None = None
        """When the victim was cancelled first, on the clock of the loop."""
        self._by_scope = by_scope
        self._again_at = at + again_after if at and again_after else None

    def step(self) -> None:
        if self.victim is None or self.victim.done():
            return
        self.steps += 1
        if self.steps not in {self.at, self._again_at}:
            return
        if self.stopped_at is None:
            self.stopped_at = self.victim.get_loop().time()
        if not self._by_scope:
            self.victim.cancel()
        elif self.scope is not None:
            self.scope.cancel()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        def stepping(loop, coroutine, **options):
            return asyncio.Task(Stepping(coroutine, self.step), loop=loop, **options)

        loop.set_task_factory(stepping)


def run_stepping(stop: Stop, clock: VirtualClock, main: Callable[[], Coroutine]):
    """Run in virtual time under a `Stop`; no error may reach the handler of the loop."""
    loop_errors: list = []
    with asyncio.Runner(loop_factory=clock.event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: loop_errors.append(context))
        stop.watch(loop)
        outcome = runner.run(main())
    assert loop_errors == []
    return outcome


def is_in_its_own_context(error: BaseException) -> bool:
    """True if following `__context__` or `__cause__` from an exception leads in a circle, in which others get lost."""

    def circular(each: BaseException | None, path: frozenset[int]) -> bool:
        if each is None:
            return False
        if id(each) in path:
            return True
        path |= {id(each)}
        return circular(each.__context__, path) or circular(each.__cause__, path)

    return circular(error, frozenset())
