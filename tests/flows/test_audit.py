"""Each attempt has an audit record, and a run without evidence ends."""

from __future__ import annotations

import pytest

from genesys_media_async import AuditWriteError, MediaResult, MediaRetriever, MemorySink, VirtualClock
from genesys_media_async.events import AttemptAudited, Outcome
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.full_disk import FullDisk
from tests.support.retrievers import QUICK_RETRIES, collect, settings_for
from tests.support.virtual_runs import ids


def test_an_id_that_ends_without_a_request_has_a_record():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)
    audit = MemorySink()

    async def run():
        async with MediaRetriever(
            settings_for(simulator, quota="1/60"), transport=simulator.transport(), clock=clock, audit=[audit]
        ) as retriever:
            return await collect(retriever, ids(2), deadline=5, concurrency=2)

    results = clock.run(run())
    assert [result.error.code for result in results if result.error is not None] == ["deadline_exceeded"]
    assert [(record.file_id, record.code, record.attempt) for record in audit.events] == [  # type: ignore[attr-defined]
        ("recording-000000", None, 1),
        ("recording-000001", "deadline_exceeded", 0),
    ]


@pytest.mark.anyio
async def test_the_audit_trail_has_each_attempt_and_no_url():
    audit = MemorySink()
    async with Simulator() as simulator:
        simulator.script(Fault.SERVER_ERROR_500, None)
        async with MediaRetriever(settings_for(simulator, retry=QUICK_RETRIES), audit=[audit]) as retriever:
            await retriever.retrieve("recording-1")
    first, second = audit.events
    assert isinstance(first, AttemptAudited)
    assert isinstance(second, AttemptAudited)
    assert (first.attempt, first.outcome, first.status, first.code) == (
        1,
        Outcome.GENERATION_FAILED,
        500,
        "internal_server_error",
    )
    assert (second.attempt, second.outcome, second.status, second.code) == (2, Outcome.SUCCESS, 200, None)
    assert second.action == "media_storage.download_url"
    assert second.file_id == "recording-1"
    assert second.latency > 0
    assert second.user_agent.startswith("genesys-media-async/")
    assert second.correlation_id
    assert "http" not in str(second.as_dict())


@pytest.mark.anyio
async def test_a_failed_audit_sink_ends_the_run_after_the_finished_results():
    async with Simulator() as simulator:
        done = []
        async with MediaRetriever(settings_for(simulator), audit=[FullDisk(20)]) as retriever:
            with pytest.raises(AuditWriteError, match="No space left"):
                async with retriever.retrieve_many(ids(1_000), concurrency=4) as results:
                    async for result in results:
                        done.append(result)
        # Records that come together are lost together, and each worker may have sent its next request.
        assert 16 <= len(done) <= 20
        assert simulator.counts.api_requests <= len(done) + 3 * 4


def test_a_lost_record_of_a_fresh_url_is_raised_after_the_finished_results():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    got: list[MediaResult] = []

    async def run():
        retriever = MediaRetriever(
            settings_for(simulator, expires_in=60),
            transport=simulator.transport(),
            clock=clock,
            audit=[FullDisk(4)],
        )
        async with retriever, retriever.retrieve_many(ids(4), concurrency=4) as results:
            await clock.sleep(100)
            async for result in results:
                got.append(result)

    with pytest.raises(AuditWriteError):
        clock.run(run())
    assert sorted(result.file_id for result in got) == ids(4)
    assert all(isinstance(result.error, AuditWriteError) for result in got)


def test_a_lost_record_of_an_id_that_was_not_sent_ends_the_run():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)

    async def run():
        async with MediaRetriever(
            settings_for(simulator, quota="1/60"), transport=simulator.transport(), clock=clock, audit=[FullDisk(1)]
        ) as retriever:
            await collect(retriever, ids(5), deadline=5, concurrency=2)

    with pytest.raises(AuditWriteError):
        clock.run(run())
    assert simulator.counts.api_requests == 1
