"""A sink with a script, and a dispatcher at work in virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio

from genesys_media_async.clock import VirtualClock
from genesys_media_async.sinks import Sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from genesys_media_async.events import Event
    from genesys_media_async.sinks.dispatch import Dispatcher


class ScriptedSink(Sink):
    """A sink that takes its time, may fail, and checks the promises of `Sink`."""

    def __init__(self, *, takes: float = 0.0, fails: Exception | None = None, close_takes: float = 0.0) -> None:
        self.takes = takes
        self.fails = fails
        self.close_takes = close_takes
        self.close_fails: Exception | None = None
        self.events: list[Event] = []
        self.batches: list[int] = []
        self.writing = False
        self.closed = 0

    def __repr__(self) -> str:
        return "<ScriptedSink>"

    async def write(self, events: Sequence[Event]) -> None:
        assert not self.writing, "calls overlap"
        assert not self.closed, "written to after it was closed"
        assert events, "nothing to write"
        self.writing = True
        try:
            await anyio.sleep(self.takes)
            if self.fails is not None:
                raise self.fails
            self.events.extend(events)
            self.batches.append(len(events))
        finally:
            self.writing = False

    async def aclose(self) -> None:
        self.closed += 1
        await anyio.sleep(self.close_takes)
        if self.close_fails is not None:
            raise self.close_fails


def run(main: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    """Run a test in virtual time."""
    clock = VirtualClock()
    clock.run(main(clock))


@asynccontextmanager
async def writing(dispatcher: Dispatcher) -> AsyncIterator[Dispatcher]:
    """Start the dispatcher; the test closes it."""
    async with anyio.create_task_group() as task_group:
        dispatcher.start(task_group)
        yield dispatcher
        task_group.cancel_scope.cancel()
