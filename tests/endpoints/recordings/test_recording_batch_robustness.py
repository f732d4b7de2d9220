"""Batches of recordings under cancellation, and with replies of any shape."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesys_media_async import (
    MediaRetriever,
    MemorySink,
    RetryPolicy,
    VirtualClock,
)
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.simulator import (
    BatchSettings,
    Fault,
    OrganizationSettings,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.batch_runs import (
    conversations,
    scripted,
)
from tests.support.cancellation import Stop
from tests.support.cancelled_runs import end_of
from tests.support.retrievers import collect, settings_for
from tests.support.scripted_context import json_reply

if TYPE_CHECKING:
    from genesys_media_async.transports import HttpReply


def eventful_batches(clock: VirtualClock) -> Simulator:
    simulated = SimulatorSettings(
        quota=None,
        latency=0.05,
        organization=OrganizationSettings(conversations=6, recordings=(1, 2)),
        url_styles={"batch": "cloudfront-policy"},
        batch=BatchSettings(seconds_per_recording=1.0),
        recording=RecordingSettings(),
    )
    simulator = Simulator(simulated, clock=clock)
    simulator.script(None, Fault.SERVER_ERROR_503, operation="getRecordingBatchrequest")
    return simulator


def run_and_cancel(at: int) -> tuple[int, str]:
    clock = VirtualClock()
    simulator = eventful_batches(clock)
    audit = MemorySink()
    stop = Stop(at)

    async def retrieve() -> int:
        retriever = MediaRetriever(
            settings_for(simulator, retry=RetryPolicy(base_delay=0.1, max_delay=0.2)),
            endpoint=RecordingBatch(2, jobs=2),
            transport=simulator.transport(),
            audit=[audit],
            clock=clock,
            rng=random.Random(1),
        )
        async with retriever:
            return len({result.file_id for result in await collect(retriever, conversations(6)(simulator))})

    ended = end_of(retrieve, stop, clock, simulator, audit, finds=6)
    return stop.steps, ended


def test_a_run_cancelled_at_any_step_leaves_nothing_behind() -> None:
    steps, ended = run_and_cancel(at=0)
    assert ended == "finished"
    assert steps > 100
    assert "cancelled" in {run_and_cancel(at)[1] for at in range(1, steps + 1)}


# A job of any shape.
WORDS = st.sampled_from(["c-1", "c-2", "r-1", "r-2", "C-1", "", "https://m.example/a", "http://x", "é\n"])
ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just([]) | st.just({})
)
RESULTS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["conversationId", "recordingId", "resultUrl", "contentType", "errorMsg"], WORDS | ANYTHING),
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["InProgress", "Completed"]) | ANYTHING,
        "expectedResultCount": st.integers() | ANYTHING,
        "resultCount": st.integers() | ANYTHING,
        "results": st.lists(RESULTS | ANYTHING, max_size=5) | ANYTHING,
    },
)
REPLIES = st.builds(json_reply, STATUSES | ANYTHING, st.sampled_from([200, 200, 200, 202, 204, 307, 403, 404, 500]))


@given(
    polls=st.lists(REPLIES, min_size=1, max_size=6), ids=st.sets(st.sampled_from(["c-1", "c-2", "c-1/r-1"]), min_size=1)
)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_any_reply_leads_to_a_result_for_each_request_and_nothing_raises(polls: list[HttpReply], ids: set[str]) -> None:
    context = scripted(*polls)
    results = context.run(RecordingBatch(timeout=300.0), *ids)
    assert {result.file_id for result in results} == ids
    assert all((result.url is None) is (result.error is not None) for result in results)
    assert len({(result.file_id, result.media_id, result.ok) for result in results}) == len(results)
