"""Cancellation of a task before any given step of its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genesys_media_async import VirtualClock


class Stepping(Coroutine):
    """A coroutine that tells before each of its steps."""

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
    """Cancels a task before the n-th step that any task of the loop takes."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self.victim: asyncio.Task | None = None

    def step(self) -> None:
        if self.victim is None or self.victim.done():
            return
        self.steps += 1
        if self.steps == self.at:
            self.victim.cancel()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        def stepping(loop, coroutine, **options):
            return asyncio.Task(Stepping(coroutine, self.step), loop=loop, **options)

        loop.set_task_factory(stepping)


def run_stepping(stop: Stop, clock: VirtualClock, main: Callable[[], Coroutine]):
    loop_errors: list = []
    with asyncio.Runner(loop_factory=clock.event_loop) as runner:
        loop = runner.get_loop()
        loop.set_exception_handler(lambda _, context: loop_errors.append(context))
        stop.watch(loop)
        outcome = runner.run(main())
    assert loop_errors == []
    return outcome
