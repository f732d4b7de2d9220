"""Runs that are cancelled before any given step, and must leave nothing behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from genesys_media_async.events import AttemptAudited
from tests.support.cancellation import Stop, run_stepping
from tests.support.retrievers import other_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from genesys_media_async import MemorySink, VirtualClock
    from genesys_media_async.simulator import Simulator


def end_of(
    retrieve: Callable[[], Coroutine[object, object, int]],
    stop: Stop,
    clock: VirtualClock,
    simulator: Simulator,
    audit: MemorySink,
    *,
    finds: int,
) -> str:
    """
    Run until `stop` cancels it, or until it has `finds` results; return how it ended.

    Nothing may be left running, and each request needs its record in `audit`.
    """

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
    records = [
        record
        for record in audit.events
        if isinstance(record, AttemptAudited) and record.attempt and not record.action.endswith(".result")
    ]
    assert len(records) == simulator.counts.api_requests
    return ended
