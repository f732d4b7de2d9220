"""Many ids: one result each, with a URL that has not expired, and figures at any time."""

from __future__ import annotations

from itertools import pairwise

import anyio
import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.events import Outcome
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import collect, settings_for
from tests.support.virtual_runs import ids


@pytest.mark.anyio
async def test_retrieve_all_keeps_the_order_and_answers_duplicates():
    asked = ["b", "a", "b", "missing-1", "a", "not/an/id", "b"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(asked)
        assert [result.file_id for result in results] == asked
        assert [result.ok for result in results] == [True, True, True, False, True, False, True]
        assert simulator.counts.by_file_id == {"a": 1, "b": 1, "missing-1": 1}
        assert retriever.statistics().done == len(asked)


def test_a_consumer_that_is_slower_than_the_lifetime_of_urls_gets_fresh_ones():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def run():
        retriever = MediaRetriever(settings_for(simulator, expires_in=60), transport=simulator.transport(), clock=clock)
        async with retriever, retriever.retrieve_many(ids(40), concurrency=4) as results:
            async for result in results:
                assert result.ok
                assert result.ends_at - clock.wall() >= 6
                await clock.sleep(20)
            return results.statistics()

    statistics = clock.run(run())
    assert statistics.done == statistics.succeeded == 40
    assert simulator.counts.api_requests > 40


def test_a_consumer_that_stops_waiting_for_a_fresh_url_loses_no_result():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)

    async def run():
        retriever = MediaRetriever(settings_for(simulator, expires_in=60), transport=simulator.transport(), clock=clock)
        async with retriever, retriever.retrieve_many(ids(6), concurrency=4) as results:
            got = [await anext(results)]
            await clock.sleep(100)
            for _ in range(3):
                with anyio.move_on_after(0.5):
                    got.append(await anext(results))
            assert len(got) == 1
            return got + [result async for result in results]

    results = clock.run(run())
    assert sorted(result.file_id for result in results) == ids(6)
    assert all(result.ok for result in results)


@pytest.mark.anyio
async def test_statistics_can_be_read_at_any_time():
    async with Simulator(SimulatorSettings(quota=None, latency=0.01)) as simulator:
        async with MediaRetriever(settings_for(simulator, quota=None)) as retriever:
            async with retriever.retrieve_many([*ids(100), "missing-1"], concurrency=5) as results:
                seen = [results.statistics()]
                async for _ in results:
                    seen.append(results.statistics())
            last = results.statistics()
            assert retriever.statistics().done == 101
    assert all(one.done <= other.done for one, other in pairwise(seen))
    assert max(one.in_flight for one in seen) == 5
    assert (last.done, last.succeeded, last.failed, last.in_flight, last.requests) == (101, 100, 1, 0, 101)
    assert last.rate > 0


@pytest.mark.anyio
async def test_metrics_aggregate_by_outcome_validity_and_latency():
    async with Simulator() as simulator:
        async with MediaRetriever(settings_for(simulator)) as retriever:
            await collect(retriever, [*ids(30), "missing-1", "document-1", "bad/id"])
        metrics = retriever.metrics()
    assert metrics.outcomes == {
        Outcome.SUCCESS: 30,
        Outcome.GENERATION_FAILED: 1,
        Outcome.VALIDATION_FAILED: 1,
        Outcome.PAYLOAD_INVALID: 1,
    }
    assert metrics.error_codes == {"not_found": 1, "content_type_refused": 1, "invalid_file_id": 1}
    assert metrics.validity_rate == pytest.approx(30 / 31)
    assert metrics.mean_lifetime == pytest.approx(3_600)
    assert metrics.latency_p50 is not None
    assert metrics.latency_p99 is not None
    assert 0 < metrics.latency_p50 <= metrics.latency_p99
    assert metrics.attempts == 32
    assert metrics.token_refreshes == 1
