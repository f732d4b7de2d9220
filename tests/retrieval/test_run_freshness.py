"""Which results a run hands out as they are, which it requests again, and how many it remembers."""

from __future__ import annotations

import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.retrieval import outcomes, single_flight
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for
from tests.support.virtual_runs import ids


@pytest.mark.parametrize(("waits", "requests"), [(89, 2), (91, 3), (150, 3)])
def test_a_url_with_less_than_a_tenth_of_its_lifetime_left_is_requested_again(waits: int, requests: int):
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def main() -> None:
        retriever = MediaRetriever(
            settings_for(simulator, expires_in=100), transport=simulator.transport(), clock=clock
        )
        async with retriever, retriever.retrieve_many(ids(2), concurrency=2) as run:
            await anext(run)
            await clock.sleep(waits)
            late = await anext(run)
            assert late.ok
            assert late.ends_at - clock.wall() > 10

    clock.run(main())
    assert simulator.counts.api_requests == requests


def test_a_repeat_long_after_its_id_is_requested_again_since_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    for module in (outcomes, single_flight):
        monkeypatch.setattr(module, "HALF", 4)
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    given = ["soon", "soon", "late", *ids(20), "late"]

    async def main() -> None:
        retriever = MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock)
        async with retriever, retriever.retrieve_many(given, concurrency=1) as run:
            assert len([result async for result in run]) == len(given)

    clock.run(main())
    assert (simulator.counts.by_file_id["soon"], simulator.counts.by_file_id["late"]) == (1, 2)
