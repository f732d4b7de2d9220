"""Under faults of the service and of the wire, ids are retried and none is lost."""

from __future__ import annotations

from collections import Counter

import pytest

from genesys_media_async import (
    APIConnectionError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    MediaRetriever,
    MemorySink,
    RetryPolicy,
    TokenUnavailableError,
)
from genesys_media_async.events import AttemptAudited, Outcome, RetrievalFinished, RetryScheduled
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.retrievers import QUICK_RETRIES, collect, other_tasks, settings_for
from tests.support.virtual_runs import ids, run_virtual

TRANSIENT = [
    Fault.SERVER_ERROR_500,
    Fault.SERVER_ERROR_502_HTML,
    Fault.SERVER_ERROR_503,
    Fault.SERVER_ERROR_504,
    Fault.CLIENT_TIMEOUT_408,
    Fault.RESET_BEFORE_REPLY,
    Fault.CLOSE_BEFORE_REPLY,
    Fault.RESET_DURING_REPLY,
    Fault.TRUNCATED_BODY,
    Fault.TRUNCATED_JSON,
    Fault.OVERSIZED_BODY,
    Fault.MALFORMED_JSON,
    Fault.WRONG_CONTENT_TYPE,
    Fault.EMPTY_URL,
    Fault.MISSING_FIELDS,
    Fault.WRONG_TYPES,
    Fault.GARBAGE,
    Fault.TOKEN_EXPIRED,
    Fault.UNAUTHORIZED,
]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: fault.value)
async def test_a_transient_fault_is_retried_and_then_succeeds(fault: Fault):
    audit = MemorySink()
    async with Simulator() as simulator:
        simulator.script(fault, None)
        async with MediaRetriever(settings_for(simulator, retry=QUICK_RETRIES), audit=[audit]) as retriever:
            (result,) = await collect(retriever, ["recording-1"])
    assert result.ok
    assert result.attempts == 2
    outcomes = [record.outcome for record in audit.events if isinstance(record, AttemptAudited)]
    unauthorized = fault in {Fault.TOKEN_EXPIRED, Fault.UNAUTHORIZED}
    assert outcomes == [Outcome.AUTH_FAILURE if unauthorized else Outcome.GENERATION_FAILED, Outcome.SUCCESS]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW_DRIP], ids=lambda fault: fault.value)
def test_a_reply_that_takes_too_long_is_cut_off_and_retried(fault: Fault):
    _, _, (result,), _, _ = run_virtual(
        SimulatorSettings(fault_seconds=30.0, drip_gap=0.02),
        1,
        script=(fault, None),
        retry=QUICK_RETRIES,
        timeout=0.25,
    )
    assert result.ok
    assert result.attempts == 2


def test_a_retry_waits_at_least_as_long_as_the_reply_requires():
    clock, _, (result,), _, events = run_virtual(
        SimulatorSettings(quota=None), 1, script=(Fault.SERVER_ERROR_503_RETRY_AFTER, None)
    )
    assert result.ok
    (scheduled,) = [event for event in events.events if isinstance(event, RetryScheduled)]
    assert scheduled.delay >= 1.0
    assert clock.monotonic() >= 1.0


def test_ids_that_fail_one_by_one_do_not_multiply_the_load():
    policy = RetryPolicy(budget=50)
    _, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=None, faults={Fault.SERVER_ERROR_503: 1.0}), 2_000, retry=policy, outage_timeout=0.0
    )
    assert len(results) == 2_000
    assert all(isinstance(result.error, InternalServerError) and result.error.retryable for result in results)
    assert 2_000 < simulator.counts.api_requests <= 2_050


def test_one_deadline_covers_all_attempts_of_an_id():
    clock, _, (result,), _, _ = run_virtual(
        SimulatorSettings(quota=None, faults={Fault.HANG: 1.0}, fault_seconds=1_000.0),
        1,
        deadline=45.0,
        timeout=30.0,
    )
    assert isinstance(result.error, DeadlineExceededError)
    assert result.error.retryable
    assert clock.monotonic() == pytest.approx(45.0, abs=1.0)


EVERY_FAULT = dict.fromkeys(Fault, 0.012) | {
    # Each of these pauses or fails all ids for a while, so a few are enough.
    Fault.TOO_MANY_REQUESTS: 0.001,
    Fault.TOO_MANY_REQUESTS_NO_HEADER: 0.001,
    Fault.TOKEN_EXPIRED: 0.001,
}


# On a busy machine, so many ids take longer than other tests may.
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("concurrency", "count"), [(1, 1_000), (16, 6_000), (200, 4_000)])
def test_each_id_has_one_result_under_all_faults_at_once(concurrency: int, count: int):
    _, simulator, results, audit, events = run_virtual(
        SimulatorSettings(quota=None, latency=(0.05, 0.5), faults=EVERY_FAULT, fault_seconds=40.0, drip_gap=0.5),
        count,
        concurrency=concurrency,
        retry=RetryPolicy(max_attempts=12),
    )
    assert sorted(result.file_id for result in results) == ids(count)
    assert all(isinstance(result.error, GenesysMediaError) for result in results if not result.ok)
    counts = simulator.counts
    assert set(counts.faults) == set(EVERY_FAULT)
    assert sum(result.attempts for result in results) == counts.api_requests
    assert counts.in_flight == 0
    assert counts.peak_in_flight <= concurrency
    # An http URL is refused for good, and an id fails at its second 401; all else succeeds within twelve attempts.
    failed = Counter(result.error.code for result in results if result.error is not None)
    assert set(failed) <= {"url_not_https", "bad_credentials", "credentials_expired"}
    assert failed["url_not_https"] == counts.faults[Fault.HTTP_URL]
    finished = [event for event in events.events if isinstance(event, RetrievalFinished)]
    assert len(finished) == count
    assert sum(isinstance(record, AttemptAudited) for record in audit.events) == counts.api_requests


@pytest.mark.anyio
async def test_no_id_is_lost_under_wire_faults_over_real_sockets():
    wire = {
        Fault.RESET_BEFORE_REPLY: 0.03,
        Fault.CLOSE_BEFORE_REPLY: 0.03,
        Fault.RESET_DURING_REPLY: 0.03,
        Fault.TRUNCATED_BODY: 0.03,
        Fault.GARBAGE: 0.03,
        Fault.SERVER_ERROR_503: 0.03,
        Fault.TOKEN_EXPIRED: 0.002,
    }
    before = other_tasks()
    async with Simulator(SimulatorSettings(quota=None, faults=wire)) as simulator:
        settings = settings_for(simulator, retry=QUICK_RETRIES, concurrency=8)
        async with MediaRetriever(settings) as retriever:
            results = await collect(retriever, ids(1_500))
            statistics = retriever.statistics()
        assert sorted(result.file_id for result in results) == ids(1_500)
        assert sum(result.attempts for result in results) == simulator.counts.api_requests == statistics.requests
        assert sum(result.ok for result in results) == simulator.counts.api_ok == statistics.succeeded
        assert statistics.succeeded > 1_480
        assert simulator.counts.peak_in_flight <= 8
    assert simulator.counts.connections_open == 0
    assert other_tasks() == before


@pytest.mark.anyio
async def test_the_error_for_an_unreachable_host_has_its_name_and_the_reason():
    async with Simulator() as simulator:
        settings = settings_for(simulator, login_url="http://127.0.0.1:9", start_timeout=0.1)
    async with MediaRetriever(settings) as retriever:
        with pytest.raises(TokenUnavailableError, match=r"127\.0\.0\.1:9.*[Cc]onnect"):
            await retriever.retrieve("recording-1")


@pytest.mark.anyio
async def test_a_host_without_tls_is_a_connection_error():
    async with Simulator() as simulator:
        not_tls = simulator.base_url.replace("http://", "https://")
        settings = settings_for(simulator, base_url=not_tls, outage_timeout=0.0, retry=RetryPolicy(max_attempts=1))
        async with MediaRetriever(settings) as retriever:
            (result,) = await collect(retriever, ["recording-1"])
    assert isinstance(result.error, APIConnectionError)
    assert result.error.code == "connect_error"
