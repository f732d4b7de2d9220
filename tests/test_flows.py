"""Ids go in, URLs come out: the whole path of an id, against the simulator."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from genesys_media_async import (
    APIConnectionError,
    AuditWriteError,
    CredentialsRejectedError,
    DeadlineExceededError,
    DownloadUrl,
    GenesysMediaError,
    InternalServerError,
    InvalidRequestError,
    MediaRequest,
    MediaResult,
    MediaRetriever,
    MemorySink,
    NotFoundError,
    PermissionDeniedError,
    QuotaLimit,
    RateLimitError,
    RetryPolicy,
    Settings,
    SettingsError,
    TokenRejectedError,
    TokenUnavailableError,
    UrlRejectedError,
    ValidationRule,
    VirtualClock,
    WebhookTarget,
)
from genesys_media_async.api.calls import CallResult
from genesys_media_async.events import (
    AttemptAudited,
    Outcome,
    QuotaLimitChanged,
    QuotaPaused,
    QuotaResumed,
    RetrievalFinished,
    RetryScheduled,
)
from genesys_media_async.retrieval.pool import MAX_RELEASED
from genesys_media_async.simulator import Fault, OAuthClient, Quota, Simulator, SimulatorSettings
from genesys_media_async.transports import MAX_REPLY_SIZE, DirectTransport, HttpReply, HttpxTransport
from tests.support.retrievers import QUICK_RETRIES, collect, other_tasks, settings_for

if TYPE_CHECKING:
    from genesys_media_async.endpoints import EndpointContext
    from genesys_media_async.quota.permit import QuotaState
    from genesys_media_async.retrieval.retriever import TransportChoice
    from genesys_media_async.transports import HttpRequest, Transport


def ids(count: int) -> list[str]:
    return [f"recording-{number:06}" for number in range(count)]


@pytest.mark.anyio
async def test_one_id_becomes_a_url_that_downloads_the_medium():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        before = datetime.now(UTC)
        url = await retriever.retrieve("recording-1", expires_in=120)
        assert url.expires_in == 120
        assert 115 < (url.expires_at - before).total_seconds() < 125
        assert url.file_name
        assert url.content_type
        async with httpx.AsyncClient() as client:
            downloaded = await client.get(url.url)
        assert downloaded.status_code == 200
        assert downloaded.headers["content-type"] == url.content_type
        assert len(downloaded.content) == simulator.settings.media_bytes


@pytest.mark.anyio
async def test_results_come_with_everything_known_about_the_retrieval():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        (result,) = await collect(retriever, ["recording-1"])
    assert result.ok
    assert result.unwrap() is result.url
    assert result.attempts == 1
    assert result.latency > 0
    assert result.correlation_id
    assert result.error is None


@pytest.mark.anyio
async def test_an_access_level_is_asked_for_and_granted():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        rule = ValidationRule(required_access="restricted")
        url = await retriever.retrieve("recording-1", access_level="restricted", rule=rule)
        assert url.access_level == "restricted"
        with pytest.raises(UrlRejectedError) as refused:
            await retriever.retrieve("recording-1", access_level="public", rule=rule)
        assert refused.value.code == "access_level_mismatch"


@pytest.mark.anyio
async def test_retrieve_all_keeps_the_order_and_answers_duplicates():
    asked = ["b", "a", "b", "missing-1", "a", "not/an/id", "b"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(asked)
        assert [result.file_id for result in results] == asked
        assert [result.ok for result in results] == [True, True, True, False, True, False, True]
        assert simulator.counts.by_file_id == {"a": 1, "b": 1, "missing-1": 1}
        assert retriever.statistics().done == len(asked)


class Wanted(str, Enum):  # noqa: UP042 - such an enum's member is formatted as its name
    FIRST = "recording-1"
    SECOND = "recording-2"


@pytest.mark.anyio
async def test_an_id_of_a_class_derived_from_text_is_the_text_it_is():
    class Text(str):
        __slots__ = ()

    asked = [Wanted.FIRST, Text("a"), Wanted.SECOND, Wanted.FIRST, Text("a"), "a"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(asked)
        url = await retriever.retrieve(Wanted.FIRST, access_level=Text("restricted"))
        assert simulator.counts.by_file_id == {"recording-1": 2, "recording-2": 1, "a": 1}
    assert [result.file_id for result in results] == ["recording-1", "a", "recording-2", "recording-1", "a", "a"]
    assert all(result.ok and type(result.file_id) is str for result in results)
    assert url.access_level == "restricted"


def test_an_id_met_again_while_it_is_under_way_is_not_read_over_without_end():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)
    read = 0

    def the_same():
        nonlocal read
        while True:
            read += 1
            yield "a"

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            async with retriever.retrieve_many(the_same(), concurrency=4) as results:
                taken = [await anext(results) for _ in range(5_000)]
                assert all(result.ok and result.file_id == "a" for result in taken)
                assert read <= 5_000 + 2 * MAX_RELEASED
                results.stop()
                left = [result async for result in results]
        assert len(taken) + len(left) == read

    clock.run(run())
    assert simulator.counts.by_file_id == {"a": 1}


def test_ids_that_are_given_again_lose_nobody_their_place():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=1.0), clock=clock)
    twice = [file_id for file_id in ids(40) for _ in range(2)]

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            return await collect(retriever, twice, concurrency=4)

    assert sorted(result.file_id for result in clock.run(run())) == twice
    # As long as without the second ones.
    assert clock.monotonic() == pytest.approx(40 / 4, abs=0.1)


@pytest.mark.anyio
async def test_an_id_that_has_no_text_is_a_failed_result():
    class Unspeakable:
        def __str__(self):
            raise RuntimeError

    given: list[object] = [10**5_000, Unspeakable(), "recording-1"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(given)  # type: ignore[arg-type]
    assert [(result.file_id, result.ok) for result in results] == [
        ("<int>", False),
        ("<Unspeakable>", False),
        ("recording-1", True),
    ]


class Growing:
    """An endpoint that finds one medium more each time it is asked; their URLs live ten seconds."""

    action = "growing"
    id_formats = ("fileId",)
    batch_size = 1

    def __init__(self) -> None:
        self.asked = 0

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests
        self.asked += 1
        for number in range(self.asked):
            url = DownloadUrl("https://media.example.com/a", context.clock.wall() + 10, 10, None, "audio/wav")
            await context.report(request, CallResult(url, None, 1, 0.0, None), media_id=f"medium-{number}")


def test_retrieve_all_leaves_out_no_medium_that_turned_up_later():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    closed = False

    async def again():
        nonlocal closed
        try:
            yield "a"
            await clock.sleep(100)
            yield "a"
        finally:
            closed = True

    async def run():
        async with MediaRetriever(
            settings_for(simulator), transport=simulator.transport(), clock=clock, endpoint=Growing()
        ) as retriever:
            return await retriever.retrieve_all(again(), concurrency=2)

    assert [result.media_id for result in clock.run(run())] == ["medium-0", "medium-0", "medium-1"]
    assert closed


class Telling:
    """An endpoint for two ids at once that asks nobody."""

    action = "telling"
    id_formats = ("fileId",)
    batch_size = 2

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        await context.clock.sleep(1)
        for request in requests:
            await context.report(request, CallResult(None, NotFoundError("It is not there."), 1, 0.0, None))


def test_nobody_waits_for_an_id_whose_run_has_failed():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    asked = ["a", "not an id", "a", "b", "b", "a"]
    told: list[str] = []

    async def run():
        async with MediaRetriever(
            settings_for(simulator),
            transport=simulator.transport(),
            clock=clock,
            endpoint=Telling(),
            audit=[FullDisk(0)],
        ) as retriever:
            async with retriever.retrieve_many(asked, concurrency=3) as results:
                told.extend([result.file_id async for result in results])

    with pytest.raises(AuditWriteError):
        clock.run(run())


def test_a_run_is_entered_once():
    async def run(clock: VirtualClock, simulator: Simulator) -> None:
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            async with retriever.retrieve_many(ids(3)) as results:
                assert len([result async for result in results]) == 3
            with pytest.raises(RuntimeError, match="entered before"):
                await results.__aenter__()
            with pytest.raises(TypeError):
                await retriever.retrieve_many(7).__aenter__()  # type: ignore[arg-type]
            assert retriever.statistics().done == 3

    clock = VirtualClock()
    clock.run(run(clock, Simulator(SimulatorSettings(quota=None), clock=clock)))


class OddReplies:
    """A transport whose replies have a header that is no text."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        reply = await self._transport.exchange(request, timeout=timeout, max_reply_size=max_reply_size)
        if "/oauth/" in request.url:
            return reply
        headers: Any = {**reply.headers, "inin-correlation-id": b"bytes"}
        return HttpReply(reply.status, headers, reply.body)

    async def aclose(self) -> None:
        await self._transport.aclose()


def test_a_reply_that_cannot_be_read_costs_no_permit_for_good():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def run():
        transport = OddReplies(HttpxTransport(simulator.transport()))
        async with MediaRetriever(settings_for(simulator, quota="2/60"), transport=transport, clock=clock) as retriever:
            for file_id in ids(2):
                with pytest.raises(TypeError):
                    await retriever.retrieve(file_id)
            assert retriever.quota.used == 2
            await clock.sleep(61)
            assert retriever.quota.used == 0

    clock.run(run())


def test_what_ends_without_a_request_leaves_a_record_too():
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
async def test_an_id_that_cannot_be_sent_is_a_failed_result_and_is_not_sent():
    bad = ["", "a" * 129, "a/b", "..", ".hidden", "a?b", "a#b", "a b", "a\x00b", "a\nb", "é", "a%2Fb", "\ud800"]
    audit = MemorySink()
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator), audit=[audit]) as retriever:
        results = await retriever.retrieve_all([*bad, "good-1"])
        assert simulator.counts.api_requests == 1
    assert [result.ok for result in results] == [False] * len(bad) + [True]
    assert all(isinstance(result.error, InvalidRequestError) for result in results[:-1])
    assert Counter(record.outcome for record in audit.events if isinstance(record, AttemptAudited)) == {
        Outcome.PAYLOAD_INVALID: len(bad),
        Outcome.SUCCESS: 1,
    }


@pytest.mark.anyio
async def test_what_is_not_even_text_is_a_failed_result_too():
    given: list[object] = [5, None, ["a"], b"bytes", "5"]
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        results = await retriever.retrieve_all(given)  # type: ignore[arg-type]
    assert [result.ok for result in results] == [False, False, False, False, True]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("file_id", "error", "code", "advice"),
    [
        ("missing-1", NotFoundError, "not.found", "Check the id"),
        ("forbidden-1", PermissionDeniedError, "missing.permissions", "Give the OAuth client a role"),
        ("document-1", UrlRejectedError, "content_type_refused", "relax the rule"),
    ],
)
async def test_a_permanent_refusal_is_asked_once_and_says_what_to_do(
    file_id: str, error: type[GenesysMediaError], code: str, advice: str
):
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        (result,) = await collect(retriever, [file_id])
        assert simulator.counts.api_requests == 1
    assert type(result.error) is error
    assert result.error.code == code
    assert not result.error.retryable
    assert advice in str(result.error)
    assert result.correlation_id
    assert result.correlation_id in str(result.error)


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
    Fault.COMPRESSED_BODY,
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
async def test_what_passes_is_asked_again_and_then_succeeds(fault: Fault):
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


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [Fault.HANG, Fault.SLOW_DRIP], ids=lambda fault: fault.value)
async def test_a_reply_that_takes_too_long_is_cut_off_and_asked_again(fault: Fault):
    async with Simulator(SimulatorSettings(fault_seconds=30.0, drip_gap=0.02)) as simulator:
        simulator.script(fault, None)
        settings = settings_for(simulator, retry=QUICK_RETRIES, timeout=0.25)
        async with MediaRetriever(settings) as retriever:
            (result,) = await collect(retriever, ["recording-1"])
    assert result.ok
    assert result.attempts == 2


@pytest.mark.anyio
async def test_a_plain_http_url_is_refused_though_the_simulator_itself_is_plain_http():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        simulator.script(Fault.HTTP_URL)
        (result,) = await collect(retriever, ["recording-1"])
    assert isinstance(result.error, UrlRejectedError)
    assert result.error.code == "url_not_https"


def run_virtual(
    simulated: SimulatorSettings, count: int, *, script: tuple[Fault | None, ...] = (), **overrides: object
) -> tuple[VirtualClock, Simulator, list, MemorySink, MemorySink]:
    """Retrieve `count` ids on a virtual clock, without sockets."""
    clock = VirtualClock()
    simulator = Simulator(simulated, clock=clock)
    simulator.script(*script)
    audit, events = MemorySink(), MemorySink()

    async def run():
        retriever = MediaRetriever(
            settings_for(simulator, **overrides),
            transport=simulator.transport(),
            audit=[audit],
            sinks=[events],
            clock=clock,
            rng=random.Random(7),
        )
        async with retriever:
            return await collect(retriever, ids(count))

    return clock, simulator, clock.run(run()), audit, events


def test_a_retry_waits_no_shorter_than_genesys_asks():
    clock, _, (result,), _, events = run_virtual(
        SimulatorSettings(quota=None), 1, script=(Fault.SERVER_ERROR_503_RETRY_AFTER, None)
    )
    assert result.ok
    (scheduled,) = [event for event in events.events if isinstance(event, RetryScheduled)]
    assert scheduled.delay >= 1.0
    assert clock.monotonic() >= 1.0


def test_an_outage_ends_in_failures_that_say_so_and_does_not_multiply_the_load():
    policy = RetryPolicy(budget=50)
    _, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=None, faults={Fault.SERVER_ERROR_503: 1.0}), 2_000, retry=policy
    )
    assert len(results) == 2_000
    assert all(isinstance(result.error, InternalServerError) and result.error.retryable for result in results)
    assert 2_000 < simulator.counts.api_requests <= 2_050


def test_a_429_pauses_everybody_and_costs_no_transient_try():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=None),
        100,
        script=(*(Fault.TOO_MANY_REQUESTS,) * 3, None, *(Fault.TOO_MANY_REQUESTS_NO_HEADER,) * 3),
        retry=RetryPolicy(max_attempts=1),
        concurrency=8,
    )
    assert all(result.ok for result in results)
    assert simulator.counts.api_requests == 106
    assert clock.monotonic() >= 2.0


def test_without_the_named_quota_the_server_refuses_and_still_nothing_is_lost():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(100, 60.0), latency=0.05), 450, concurrency=20
    )
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 > 0
    assert simulator.counts.api_ok == 450
    assert 240 <= clock.monotonic() <= 300


@pytest.mark.parametrize("kind", ["fixed", "aligned", "sliding"])
def test_within_the_named_quota_there_is_no_429_whatever_the_window(kind: str):
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0, kind=kind), latency=(0.1, 0.5)),  # type: ignore[arg-type]
        1_500,
        quota=QuotaLimit(),
        concurrency=50,
    )
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 == 0
    # The last window's permits are spent within a tenth of it, and not at once.
    assert 240 <= clock.monotonic() < 240 + 6 + 2


def test_a_lower_limit_that_the_headers_tell_is_learnt_without_a_single_429():
    clock, simulator, results, _, events = run_virtual(
        SimulatorSettings(quota=Quota(120, 60.0), quota_headers=True, latency=(0.1, 0.5)),
        600,
        quota=QuotaLimit(),
        concurrency=50,
    )
    assert sorted(result.file_id for result in results) == ids(600)
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 == 0
    assert [event.allowed for event in events.events if isinstance(event, QuotaLimitChanged)] == [120]
    assert 240 <= clock.monotonic() < 240 + 6 + 2


def test_what_is_known_of_the_quota_can_be_seen_at_any_moment():
    clock = VirtualClock()
    simulator = Simulator(
        SimulatorSettings(quota=Quota(120, 60.0), quota_headers=True, latency=(0.1, 0.5)), clock=clock
    )
    states: list[tuple[float, QuotaState]] = []

    async def run():
        settings = settings_for(simulator, quota=QuotaLimit(limit=120, seconds=60), concurrency=20)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            states.append((clock.monotonic(), retriever.quota))
            async with retriever.retrieve_many(ids(300)) as results:
                async for _ in results:
                    states.append((clock.monotonic(), retriever.quota))
                    if len(states) == 151:
                        simulator.script(Fault.TOO_MANY_REQUESTS)

    clock.run(run())
    first = states[0][1]
    assert (first.used, first.allowed, first.used_by_others) == (0, 120, 0)
    assert (first.resets_in, first.paused_for, first.waiting) == (None, None, 0)
    known = [(at, state) for at, state in states if state.resets_in is not None]
    assert len(known) > 100
    assert all(0 < state.resets_in <= 62 for _, state in known if state.resets_in is not None)
    before_the_pause = [state for _, state in states[:151]]
    # In the first window our own permits are the server's count; later ones stay charged for a while beyond theirs.
    assert max(state.used for at, state in states if at < 59) == 120
    assert all(state.used_by_others == 0 and state.paused_for is None for state in before_the_pause)
    # Of twenty workers, those wait that have neither a permit nor a result to hand over.
    assert 0 < max(state.waiting for state in before_the_pause) <= 20
    assert [state.paused_for for _, state in states if state.paused_for is not None]
    assert all(state.allowed is not None and state.allowed <= 120 for _, state in states)


def test_a_429_is_told_of_as_a_pause_that_begins_and_one_that_ends():
    _, simulator, results, _, events = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0), quota_headers=True),
        50,
        script=(None, None, Fault.TOO_MANY_REQUESTS),
        quota=QuotaLimit(),
        concurrency=4,
    )
    assert all(result.ok for result in results)
    assert simulator.counts.api_requests == 51
    paused, resumed = [event for event in events.events if isinstance(event, QuotaPaused | QuotaResumed)]
    assert isinstance(paused, QuotaPaused)
    assert isinstance(resumed, QuotaResumed)
    assert paused.seconds >= 2.0
    # A virtual second is a sum of floats.
    assert resumed.seconds >= paused.seconds - 1e-6
    assert resumed.at - paused.at == pytest.approx(resumed.seconds, abs=0.01)


@pytest.mark.parametrize("quota_headers", [True, False])
def test_a_stray_429_early_in_a_run_costs_hardly_more_than_its_pause(quota_headers: bool):
    clock, _, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0), quota_headers=quota_headers),
        200,
        script=(None, None, Fault.TOO_MANY_REQUESTS),
        quota=QuotaLimit(),
        concurrency=4,
    )
    assert all(result.ok for result in results)
    assert clock.monotonic() < 10


def test_an_even_pace_spreads_the_quota_over_the_window():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(300, 60.0), latency=0.1), 600, quota=QuotaLimit(pace="even"), concurrency=20
    )
    assert all(result.ok for result in results)
    assert simulator.counts.refused_429 == 0
    assert 119 <= clock.monotonic() <= 125


def test_a_pause_that_outlasts_the_deadline_fails_at_once_instead_of_sleeping_for_nothing():
    clock, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=Quota(10, 3_600.0)), 50, quota=None, deadline=60.0, concurrency=4
    )
    assert sum(result.ok for result in results) == 10
    failed = [result.error for result in results if not result.ok]
    assert all(isinstance(error, RateLimitError) and error.retryable for error in failed)
    assert all(error is not None and (error.retry_after or 0) > 3_000 for error in failed)
    assert simulator.counts.api_requests < 20
    assert clock.monotonic() < 5


def test_an_id_has_a_deadline_over_all_its_attempts():
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
    # Each of these stops or fails everybody for a while, so that a few go a long way.
    Fault.TOO_MANY_REQUESTS: 0.001,
    Fault.TOO_MANY_REQUESTS_NO_HEADER: 0.001,
    Fault.TOKEN_EXPIRED: 0.001,
}


@pytest.mark.parametrize(("concurrency", "count"), [(1, 1_000), (16, 20_000), (200, 8_000)])
def test_twenty_thousand_ids_under_every_fault_at_once_have_one_result_each(concurrency: int, count: int):
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
    # An http URL is refused for good and an id answered 401 twice is given up; everything else passes in twelve tries.
    failed = Counter(result.error.code for result in results if result.error is not None)
    assert set(failed) <= {"url_not_https", "bad.credentials", "credentials.expired"}
    assert failed["url_not_https"] == counts.faults[Fault.HTTP_URL]
    finished = [event for event in events.events if isinstance(event, RetrievalFinished)]
    assert len(finished) == count
    assert sum(isinstance(record, AttemptAudited) for record in audit.events) == counts.api_requests


@pytest.mark.anyio
async def test_over_real_sockets_too_nothing_is_lost_under_the_faults_of_the_wire():
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
async def test_a_dead_token_is_replaced_once_for_everybody():
    async with Simulator() as simulator:
        async with MediaRetriever(settings_for(simulator, concurrency=20)) as retriever:
            async with retriever.retrieve_many(ids(200)) as results:
                ok = 0
                async for result in results:
                    ok += result.ok
                    if ok == 50:
                        simulator.revoke_tokens()
        assert ok == 200
        assert simulator.counts.tokens_issued == 2


@pytest.mark.anyio
async def test_wrong_credentials_end_the_run_before_anything_is_read():
    read: list[str] = []

    def reading():
        read.append("something")
        yield "recording-1"

    async with Simulator() as simulator:
        async with MediaRetriever(settings_for(simulator, client_secret="wrong")) as retriever:
            with pytest.raises(CredentialsRejectedError, match="authentication failed"):
                await collect(retriever, reading())
            with pytest.raises(CredentialsRejectedError):
                await retriever.retrieve("recording-1")
        assert simulator.counts.token_requests == 1
        assert simulator.counts.api_requests == 0
    assert read == []


def test_a_login_host_that_is_down_is_tried_for_a_while_and_then_said():
    clock = VirtualClock()
    simulator = Simulator(clock=clock)
    simulator.script_token(*(Fault.SERVER_ERROR_503,) * 50)

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            await collect(retriever, ["recording-1"])

    with pytest.raises(TokenUnavailableError, match="503"):
        clock.run(run())
    assert simulator.counts.token_requests == 4
    assert clock.monotonic() < 15


def test_a_login_host_that_is_down_in_the_middle_of_a_run_costs_time_but_no_id():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, token_lifetime=60.0, latency=1.0), clock=clock)
    simulator.script_token(None, *(Fault.SERVER_ERROR_503,) * 5, None)

    async def run():
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            return await collect(retriever, ids(200), concurrency=2)

    results = clock.run(run())
    assert all(result.ok for result in results)
    assert simulator.counts.tokens_issued >= 2


@pytest.mark.anyio
async def test_a_fixed_access_token_is_used_and_its_end_is_said():
    async with Simulator(SimulatorSettings(clients=(OAuthClient("other", "secret"),))) as simulator:
        settings = settings_for(simulator, client_id=None, client_secret=None, access_token="not-a-good-one")
        async with MediaRetriever(settings) as retriever:
            first, second = await retriever.retrieve_all(["recording-1", "recording-2"], concurrency=1)
        assert simulator.counts.token_requests == 0
        assert simulator.counts.api_requests == 1
    assert isinstance(first.error, CredentialsRejectedError)
    assert isinstance(second.error, CredentialsRejectedError)
    assert "Set a new one" in str(first.error)


def test_tokens_that_the_api_never_accepts_do_not_end_in_a_storm_of_token_requests():
    _, simulator, results, _, _ = run_virtual(
        SimulatorSettings(quota=None, faults={Fault.UNAUTHORIZED: 1.0}), 500, concurrency=1
    )
    assert len(results) == 500
    assert all(isinstance(result.error, TokenRejectedError | CredentialsRejectedError) for result in results)
    assert simulator.counts.token_requests <= 4


@pytest.mark.anyio
async def test_the_audit_trail_names_every_attempt_and_no_url():
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
        "internal.server.error",
    )
    assert (second.attempt, second.outcome, second.status, second.code) == (2, Outcome.SUCCESS, 200, None)
    assert second.action == "media_storage.download_url"
    assert second.file_id == "recording-1"
    assert second.latency > 0
    assert second.user_agent.startswith("genesys-media-async/")
    assert second.correlation_id
    assert "http" not in str(second.as_dict())


class FullDisk:
    """An audit sink that takes a few records and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    async def write(self, events) -> None:
        self.room -= len(events)
        if self.room < 0:
            raise OSError(28, "No space left on device")

    async def aclose(self) -> None:
        pass


@pytest.mark.anyio
async def test_without_evidence_nothing_more_is_retrieved_and_what_is_done_is_handed_over():
    async with Simulator() as simulator:
        done = []
        async with MediaRetriever(settings_for(simulator), audit=[FullDisk(20)]) as retriever:
            with pytest.raises(AuditWriteError, match="No space left"):
                async with retriever.retrieve_many(ids(1_000), concurrency=4) as results:
                    async for result in results:
                        done.append(result)
        assert len(done) == 20
        assert simulator.counts.api_requests <= 24


@pytest.mark.anyio
async def test_a_webhook_tells_of_every_url_and_carries_it_only_when_asked_to():
    async with Simulator() as simulator:
        for include_url in (False, True):
            simulator.deliveries.clear()
            target = WebhookTarget(url=simulator.webhook_url, include_url=include_url)
            async with MediaRetriever(settings_for(simulator, webhook=target)) as retriever:
                results = await collect(retriever, [*ids(20), "missing-1"])
            assert len(simulator.deliveries) == 20
            told = {delivery.body["fileId"]: delivery.body.get("url") for delivery in simulator.deliveries}
            urls = {result.file_id: result.url for result in results if result.url is not None}
            assert told == (urls if include_url else dict.fromkeys(urls))
        assert simulator.counts.webhook_rejected == 0


def test_a_consumer_slower_than_the_urls_live_gets_fresh_ones():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def run():
        retriever = MediaRetriever(settings_for(simulator, expires_in=60), transport=simulator.transport(), clock=clock)
        async with retriever, retriever.retrieve_many(ids(40), concurrency=4) as results:
            async for result in results:
                assert result.url is not None
                assert result.url.remaining(clock.wall()) >= 6
                await clock.sleep(20)
            return results.statistics()

    statistics = clock.run(run())
    assert statistics.done == statistics.succeeded == 40
    assert simulator.counts.api_requests > 40


def test_a_consumer_that_gives_up_waiting_for_a_fresh_url_loses_no_result():
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


def test_evidence_lost_over_a_fresh_url_is_raised_after_what_is_done_is_handed_over():
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


def test_evidence_lost_of_what_was_not_even_sent_ends_the_run():
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


@pytest.mark.anyio
async def test_a_401_about_the_thing_asked_for_says_nothing_of_the_token():
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/oauth/token"):
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3_600})
        return httpx.Response(401, json={"code": "unauthorized", "message": "TokenRejectedError to access document."})

    settings = Settings(client_id="a", client_secret="b", base_url="https://api.example.com", quota=None)
    async with MediaRetriever(settings, transport=httpx.MockTransport(answer)) as retriever:
        results = await retriever.retrieve_all(ids(5))
    assert {type(result.error) for result in results} == {PermissionDeniedError}
    assert sum(path.endswith("/oauth/token") for path in asked) == 1
    assert len(asked) == 6


def test_the_quota_is_kept_on_uvloop_too():
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")

    async def main() -> None:
        async with Simulator(SimulatorSettings(quota=Quota(limit=20, seconds=0.3))) as simulator:
            settings = settings_for(simulator, quota=QuotaLimit(limit=20, seconds=0.3))
            async with MediaRetriever(settings) as retriever:
                results = await retriever.retrieve_all(ids(60))
            assert all(result.ok for result in results)
            assert simulator.counts.refused_429 == 0

    uvloop.run(main())


@pytest.mark.anyio
async def test_statistics_are_there_at_any_moment():
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


NOWHERE = httpx.MockTransport(lambda _: httpx.Response(404))


class Courier:
    async def exchange(self, request: HttpRequest, *, timeout: float, max_reply_size: int = 0) -> HttpReply:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("transport", "proxy", "name"),
    [
        ("direct", None, "direct"),
        ("httpx", None, "httpx"),
        ("auto", "http://proxy.example.com:3128", "httpx"),
        (DirectTransport(), None, "direct"),
        (httpx.AsyncClient(transport=NOWHERE), None, "httpx"),
        (NOWHERE, None, "MockTransport"),
        (Courier(), None, "Courier"),
    ],
)
async def test_statistics_name_what_carries_the_requests(transport: TransportChoice, proxy: str | None, name: str):
    settings = Settings(client_id="a", client_secret="b", base_url="https://api.example.com", proxy=proxy)
    async with MediaRetriever(settings, transport=transport) as retriever:
        assert retriever.statistics().transport == name


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
    assert metrics.error_codes == {"not.found": 1, "content_type_refused": 1, "invalid_file_id": 1}
    assert metrics.validity_rate == pytest.approx(30 / 31)
    assert metrics.mean_lifetime == pytest.approx(3_600)
    assert metrics.latency_p50 is not None
    assert metrics.latency_p99 is not None
    assert 0 < metrics.latency_p50 <= metrics.latency_p99
    assert metrics.attempts == 32
    assert metrics.token_refreshes == 1


@pytest.mark.anyio
async def test_options_that_cannot_work_are_refused_before_anything_runs():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        for options in ({"expires_in": 0}, {"expires_in": -1}, {"expires_in": 86_401}, {"concurrency": 0}):
            with pytest.raises(SettingsError):
                retriever.retrieve_many(["a"], **options)  # type: ignore[arg-type]
        with pytest.raises(SettingsError):
            await retriever.retrieve("a", expires_in="abc")  # type: ignore[arg-type]
        for deadline in (float("nan"), "5", None):
            with pytest.raises(SettingsError, match="deadline is"):
                await retriever.retrieve_all(["a"], deadline=deadline)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="rule is None"):
            retriever.retrieve_many(["a"], rule=None)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="no option 'dedline'"):
            retriever.retrieve_many(["a"], dedline=5)  # type: ignore[call-arg]
        with pytest.raises(SettingsError, match="one text"):
            await retriever.retrieve_all("abc")
        assert simulator.counts.token_requests == 0


@pytest.mark.anyio
async def test_a_retriever_that_is_not_open_says_how_to_open_it():
    async with Simulator() as simulator:
        retriever = MediaRetriever(settings_for(simulator))
        with pytest.raises(RuntimeError, match="async with MediaRetriever"):
            await retriever.retrieve("recording-1")
        async with retriever:
            with pytest.raises(RuntimeError, match="open already"):
                await retriever.__aenter__()
            await retriever.retrieve("recording-1")
        with pytest.raises(RuntimeError, match="not open"):
            retriever.retrieve_many(["recording-1"])


@pytest.mark.anyio
async def test_a_users_own_client_carries_the_requests_and_stays_open():
    seen: list[httpx.Request] = []

    async def hook(request: httpx.Request) -> None:
        seen.append(request)

    async with Simulator() as simulator:
        client = httpx.AsyncClient(
            headers={"x-gateway-key": "k"}, auth=("somebody", "else"), event_hooks={"request": [hook]}
        )
        async with client:
            async with MediaRetriever(settings_for(simulator), transport=client) as retriever:
                await retriever.retrieve("recording-1")
            assert not client.is_closed
    token_request, api_request = seen
    assert token_request.headers["authorization"].startswith("Basic ")
    assert api_request.headers["authorization"].startswith("Bearer ")
    assert api_request.headers["x-gateway-key"] == "k"
    assert api_request.headers["accept-encoding"] == "identity"


@pytest.mark.anyio
async def test_an_unreachable_host_is_said_by_name_and_reason():
    async with Simulator() as simulator:
        settings = settings_for(simulator, login_url="http://127.0.0.1:9", start_timeout=0.1)
    async with MediaRetriever(settings) as retriever:
        with pytest.raises(TokenUnavailableError, match=r"127\.0\.0\.1:9.*[Cc]onnect"):
            await retriever.retrieve("recording-1")


@pytest.mark.anyio
async def test_a_host_that_does_not_speak_tls_is_a_failure_to_connect():
    async with Simulator() as simulator:
        not_tls = simulator.base_url.replace("http://", "https://")
        settings = settings_for(simulator, base_url=not_tls, retry=RetryPolicy(max_attempts=1))
        async with MediaRetriever(settings) as retriever:
            (result,) = await collect(retriever, ["recording-1"])
    assert isinstance(result.error, APIConnectionError)
    assert result.error.code == "connect_error"
