"""`retrieve_all` and the input that it reads for its caller."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def test_an_input_is_closed_when_its_retrieval_is_cancelled():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, fault_seconds=1_000.0), clock=clock)
    simulator.script(*[Fault.HANG] * 10)
    closed: list[str] = []

    async def ids() -> AsyncIterator[str]:
        try:
            for number in range(100):
                yield f"id-{number}"
        finally:
            await clock.sleep(0.1)
            closed.append("by its reader")

    async def main() -> None:
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            retrieval = asyncio.create_task(retriever.retrieve_all(ids(), concurrency=2))
            await clock.sleep(5)
            retrieval.cancel()
            with pytest.raises(asyncio.CancelledError):
                await retrieval
            assert closed == ["by its reader"]

    clock.run(main())
