"""Runs that are cancelled before any given step, and must leave nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.cancellation import Stop, run_stepping
from tests.support.retrievers import other_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from genesys_media_async import VirtualClock
    from genesys_media_async.simulator import Simulator


def end_of(
    retrieve: Callable[[], Coroutine[object, object, int]],
    stop: Stop,
    clock: VirtualClock,
    simulator: Simulator,
    *,
    finds: int,
) -> str:
    """Run until `stop` cancels it, or until it has `finds` results; return how it ended."""

    async def main() -> str:
        stop.victim = asyncio.create_task(retrieve())
        try:
            found = await stop.victim
        except asyncio.CancelledError:
            ended = "cancelled"
        else:
            assert found == finds
            ended = "finished"
        assert other_tasks() == set()
        return ended

    ended: str = run_stepping(stop, clock, main)
    assert simulator.counts.in_flight == 0
    return ended
