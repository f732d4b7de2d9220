"""A run: begun once, iterated with or without a block, and closed early or late."""

from __future__ import annotations

import pytest

from genesys_media_async import (
    MediaRetriever,
    VirtualClock,
)
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for
from tests.support.virtual_runs import ids


def test_a_run_begins_once():
    async def run(clock: VirtualClock, simulator: Simulator) -> None:
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            async with retriever.retrieve_many(ids(3)) as results:
                assert len([result async for result in results]) == 3
            with pytest.raises(RuntimeError, match="begun before"):
                await results.__aenter__()
            with pytest.raises(TypeError):
                await retriever.retrieve_many(7).__aenter__()  # type: ignore[arg-type]
            assert retriever.statistics().done == 3

    clock = VirtualClock()
    clock.run(run(clock, Simulator(SimulatorSettings(quota=None), clock=clock)))
