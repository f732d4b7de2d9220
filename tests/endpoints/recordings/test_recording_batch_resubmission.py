"""Submissions whose reply is lost: each is repeated like any other call, and known as an orphan."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from genesys_media_async import MediaRetriever, MemorySink, RetryPolicy
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.events import AttemptAudited, BatchSubmissionOrphaned
from genesys_media_async.simulator import (
    BatchSettings,
    Fault,
    JobFault,
    OrganizationSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.batch_runs import ONE_EACH, World, events_of, recordings
from tests.support.commands import until
from tests.support.retrievers import settings_for

SUBMIT = "postRecordingBatchrequests"
THOUSAND = OrganizationSettings(conversations=1_000, recordings=(1, 1), media=("audio",), two_part_share=0.0)

TRANSIENT = [
    Fault.CLIENT_TIMEOUT_408,
    Fault.SERVER_ERROR_500,
    Fault.SERVER_ERROR_502_HTML,
    Fault.SERVER_ERROR_503,
    Fault.SERVER_ERROR_504,
    Fault.WRONG_CONTENT_TYPE,
    Fault.MALFORMED_JSON,
    Fault.RESET_BEFORE_REPLY,
    Fault.CLOSE_BEFORE_REPLY,
    Fault.RESET_DURING_REPLY,
    Fault.TRUNCATED_BODY,
    Fault.HANG,
    Fault.GARBAGE,
    Fault.KEEP_ALIVE_RACE,
]


def three_in_ten(fault: Fault | JobFault) -> tuple:
    rng = random.Random(3)
    return tuple(fault if rng.random() < 0.3 else None for _ in range(40))


def orphans_in(world: World) -> int:
    """Return the number of orphans, which the trail, the events and the statistics agree about."""
    audited = [each for each in world.records("recording_batch.submit") if each.code == "batch_submission_unknown"]
    events = events_of(world.events.events, BatchSubmissionOrphaned)
    assert Counter((each.file_id, each.status) for each in audited) == Counter(
        (each.file_id, each.status) for each in events
    )
    assert len(events) == world.statistics.orphaned_submissions
    return len(events)


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_passing_fault_of_three_submissions_in_ten_costs_one_request_each_and_no_result(fault: Fault) -> None:
    world = World(
        recordings(1_000),
        script=three_in_ten(fault),
        operation=SUBMIT,
        organization=THOUSAND,
        batch=BatchSettings(partial_results=False),
    )
    counts = world.simulator.counts
    assert list(world.codes.values()) == [None] * 1_000
    assert counts.faults[fault] >= 3
    assert counts.by_operation[SUBMIT] == 10 + counts.faults[fault]
    assert orphans_in(world) == counts.faults[fault]
    assert world.statistics.jobs == 0


@pytest.mark.parametrize(
    "fault", [JobFault.REPLY_LOST, JobFault.REPLY_CUT, JobFault.REPLY_HANGS, JobFault.REPLY_503], ids=str
)
def test_a_job_whose_id_never_arrived_is_made_again_and_known_as_an_orphan(fault: JobFault) -> None:
    world = World(recordings(300), faults=three_in_ten(fault), endpoint=RecordingBatch(30))
    lost = sum(job.fault is fault for job in world.simulator.batch_jobs)
    assert list(world.codes.values()) == [None] * 300
    assert lost >= 3
    assert world.simulator.counts.by_operation[SUBMIT] == len(world.simulator.batch_jobs) == 10 + lost
    assert orphans_in(world) == lost


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR_503_RETRY_AFTER, Fault.TOO_MANY_REQUESTS, Fault.TOKEN_EXPIRED])
def test_a_submission_that_was_certainly_refused_leaves_no_orphan(fault: Fault) -> None:
    world = World(recordings(5), script=(fault,), operation=SUBMIT)
    assert set(world.codes.values()) == {None}
    assert orphans_in(world) == 0


def test_the_ids_of_a_submission_whose_attempts_run_out_can_be_retried() -> None:
    world = World(recordings(5), script=(Fault.SERVER_ERROR_500,) * 9, operation=SUBMIT)
    assert set(world.codes.values()) == {"batch_submission_unknown"}
    assert all(result.error.retryable for result in world.results if not result.ok)
    assert world.simulator.counts.by_operation[SUBMIT] == orphans_in(world) == 5


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_submission_is_not_repeated_for_whoever_fears_a_second_job(fault: Fault) -> None:
    world = World(recordings(5), script=(fault,), operation=SUBMIT, endpoint=RecordingBatch(resubmit=False))
    assert set(world.codes.values()) == {"batch_submission_unknown"}
    assert not any(result.error.retryable for result in world.results if not result.ok)
    assert world.simulator.counts.by_operation[SUBMIT] == orphans_in(world) == 1


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR_503_RETRY_AFTER, Fault.TOO_MANY_REQUESTS, Fault.TOKEN_EXPIRED])
def test_a_submission_that_was_certainly_refused_is_repeated_even_then(fault: Fault) -> None:
    world = World(recordings(5), script=(fault,), operation=SUBMIT, endpoint=RecordingBatch(resubmit=False))
    assert set(world.codes.values()) == {None}


@pytest.mark.anyio
async def test_a_submission_that_is_cancelled_in_flight_is_an_orphan() -> None:
    audit, events = MemorySink(), MemorySink()
    async with Simulator(SimulatorSettings(latency=60.0, organization=ONE_EACH)) as simulator:
        retriever = MediaRetriever(settings_for(simulator), endpoint=RecordingBatch(), audit=[audit], sinks=[events])
        async with retriever, retriever.retrieve_many(recordings(5)(simulator)) as run:
            await until(lambda: simulator.counts.by_operation[SUBMIT] == 1)
    (record,) = [each for each in audit.events if isinstance(each, AttemptAudited) and "submit" in each.action]
    (orphan,) = events_of(events.events, BatchSubmissionOrphaned)
    assert record.code == orphan.code == "cut_off"
    assert record.file_id == orphan.file_id
    assert run.statistics().orphaned_submissions == 1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("transport", "retry"),
    [
        # No budget and no attempt beyond the first: every retry is free, and the next one cannot fail so again.
        ("direct", RetryPolicy(max_attempts=1, budget=0)),
        # httpx may choose a reused connection again.
        ("httpx", RetryPolicy(base_delay=0.01)),
    ],
)
async def test_when_the_server_ends_every_reused_connection_nothing_fails(transport: Any, retry: RetryPolicy) -> None:
    simulated = SimulatorSettings(
        quota=None,
        organization=ONE_EACH,
        batch=BatchSettings(seconds_per_recording=0.0),
        faults={Fault.KEEP_ALIVE_RACE: 1.0},
    )
    async with Simulator(simulated) as simulator:
        endpoint = RecordingBatch(2, jobs=4)
        retriever = MediaRetriever(settings_for(simulator, retry=retry), endpoint=endpoint, transport=transport)
        async with retriever, retriever.retrieve_many(recordings(16)(simulator)) as run:
            results = [result async for result in run]
        counts, statistics = simulator.counts, run.statistics()
    assert [result.ok for result in results] == [True] * 16
    assert counts.faults[Fault.KEEP_ALIVE_RACE] == statistics.retries > 4
    assert counts.by_operation[SUBMIT] == 8 + statistics.orphaned_submissions
