"""Discovery: the conversations of an interval, each once, by the query and by a job."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import (
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidResponseError,
    MediaRetriever,
    MemorySink,
    NotFoundError,
    PermissionDeniedError,
    QuotaLimit,
    Settings,
    SettingsError,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.discovery.discovery import JOB_TIMEOUT, MAX_QUERIED
from genesys_media_async.discovery.filters import wanted
from genesys_media_async.endpoints import Transcript
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import (
    AnalyticsSettings,
    Fault,
    OAuthClient,
    OrganizationSettings,
    Quota,
    Simulator,
    SimulatorSettings,
)
from tests.support.retrievers import QUICK_RETRIES, other_tasks, settings_for
from tests.test_cancellation import Stop, run_stepping

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

NOW = datetime.fromtimestamp(1_700_000_000, UTC)
DAY = timedelta(days=1)

QUERY = "postAnalyticsConversationsDetailsQuery"
SUBMIT = "postAnalyticsConversationsDetailsJobs"
RESULTS = "getAnalyticsConversationsDetailsJobResults"
AVAILABILITY = "getAnalyticsConversationsDetailsJobsAvailability"


def virtual(
    scenario: Callable[[MediaRetriever, Simulator, VirtualClock], Coroutine[Any, Any, Any]],
    *,
    quota: QuotaLimit | None = None,
    **simulated: Any,
) -> Any:
    """Run a scenario in virtual time, against a simulated organisation of 40 days with 3,000 conversations."""
    clock = VirtualClock()
    organization = OrganizationSettings(conversations=3_000, days=40.0, recordings=(0, 2), queues=3)
    values: dict[str, Any] = {"quota": None, "organization": organization} | simulated
    simulator = Simulator(SimulatorSettings(**values), clock=clock)

    async def main() -> Any:
        configured = settings_for(simulator, quota=quota, retry=QUICK_RETRIES)
        async with MediaRetriever(configured, transport=simulator.transport(), clock=clock) as retriever:
            outcome = await scenario(retriever, simulator, clock)
        assert other_tasks() == set()
        return outcome

    return clock.run(main())


def active(simulator: Simulator, begin: datetime, end: datetime, **traits: object) -> set[str]:
    """The conversations with a recording that were active in an interval, as the simulator knows them."""
    return {
        each.id
        for each in simulator.organization.conversations()
        if each.recording_count
        and each.started_at < end.timestamp()
        and each.ended_at >= begin.timestamp()
        and all(getattr(each, name) == value for name, value in traits.items())
    }


class TestConversations:
    @pytest.mark.parametrize(
        ("by", "days", "operations"),
        [
            ("auto", 1, {QUERY: 1}),
            ("auto", 20, {QUERY: 15}),
            ("query", 31, {QUERY: 24}),
            ("auto", 45, {AVAILABILITY: 1, SUBMIT: 1, RESULTS: 6}),
            ("query", 45, {QUERY: 31}),
            ("job", 1, {AVAILABILITY: 1, SUBMIT: 1, RESULTS: 1}),
        ],
    )
    def test_are_each_found_once_by_the_way_that_takes_few_requests(
        self, by: Any, days: int, operations: dict[str, int]
    ):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            begin = NOW - days * DAY
            found = [each async for each in retriever.discover((begin, NOW), by=by)]
            assert len(found) == len(set(found))
            # The query leaves out what began on the day before the interval.
            assert active(simulator, begin, NOW) - set(found) <= active(simulator, begin, begin + timedelta(hours=1))
            assert set(found) <= active(simulator, begin, NOW)
            assert len(found) > 40 * days
            asked = Counter(simulator.counts.by_operation)
            assert {name: asked[name] for name in (QUERY, SUBMIT, RESULTS, AVAILABILITY) if asked[name]} == operations

        virtual(scenario)

    def test_that_are_many_are_found_by_a_job_whatever_the_interval(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            found = [each async for each in retriever.discover((NOW - 5 * DAY, NOW))]
            assert len(found) == len(set(found)) > MAX_QUERIED
            asked = simulator.counts.by_operation
            assert (asked[QUERY], asked[SUBMIT]) == (1, 1)

        virtual(scenario, organization=OrganizationSettings(conversations=4_000, days=5.0, recordings=(1, 1)))

    def test_that_are_too_recent_for_a_job_are_asked_of_the_query(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            begin = NOW - 35 * DAY
            found = [each async for each in retriever.discover((begin, NOW))]
            assert set(found) == active(simulator, begin, NOW)
            assert len(found) == len(set(found))
            assert simulator.counts.by_operation[QUERY] > 0

        virtual(scenario, analytics=AnalyticsSettings(job_data_delay=36 * 3_600.0))

    def test_that_no_job_knows_yet_are_all_asked_of_the_query(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            found = [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert found
            assert (simulator.counts.by_operation[AVAILABILITY], SUBMIT in simulator.counts.by_operation) == (1, False)

        virtual(scenario, analytics=AnalyticsSettings(job_data_delay=36 * 3_600.0))

    @pytest.mark.parametrize("empty_page", ["absent", "empty"])
    @pytest.mark.parametrize("by", ["query", "job"])
    def test_that_there_are_none_of_are_none(self, empty_page: Any, by: Any):
        async def scenario(retriever: MediaRetriever, *_: Any) -> list[str]:
            return [each async for each in retriever.discover((NOW - 400 * DAY, NOW - 399 * DAY), by=by)]

        assert virtual(scenario, analytics=AnalyticsSettings(empty_page=empty_page)) == []

    @pytest.mark.parametrize("by", ["query", "job"])
    def test_can_be_filtered(self, by: Any):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            begin, organization = NOW - 10 * DAY, simulator.organization
            interval = (begin, NOW)
            one, two = organization.queue_ids()[:2]
            everything = {each async for each in retriever.discover(interval, by=by)}

            async def found(**options: Any) -> set[str]:
                return {each async for each in retriever.discover(interval, by=by, **options)}

            in_two = (
                active(simulator, begin, NOW, queue_id=one) | active(simulator, begin, NOW, queue_id=two)
            ) & everything
            assert await found(queues=[one, two]) == in_two
            inbound = active(simulator, begin, NOW, direction="inbound") & everything
            assert await found(direction="inbound", queues=[one]) == inbound & active(
                simulator, begin, NOW, queue_id=one
            )
            assert await found(divisions=[organization.division_id]) == everything
            assert await found(divisions=["another"]) == set()
            chats = await found(media=["chat"])
            assert chats >= active(simulator, begin, NOW, media="chat") & everything
            assert {organization.conversation(each).media for each in chats} == {"chat"}  # type: ignore[union-attr]
            voice = await found(media=["voice"])
            assert voice == everything & {each for each in everything if is_voice(simulator, each)}

        virtual(scenario)

    def test_can_be_filtered_by_predicates_of_genesyss_own(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> set[str]:
            (one,) = [each.id for each in simulator.organization.conversations() if each.recording_count][-1:]
            predicate = {"type": "dimension", "dimension": "conversationId", "operator": "matches", "value": one}
            filters = [{"type": "and", "predicates": [predicate]}]
            found = {each async for each in retriever.discover((NOW - 40 * DAY, NOW), conversation_filters=filters)}
            assert found == {one}
            none = [{"type": "and", "predicates": [{"dimension": "queueId", "operator": "notExists"}]}]
            return {each async for each in retriever.discover((NOW - 40 * DAY, NOW), segment_filters=none)}

        assert virtual(scenario) == set()

    def test_that_say_they_were_not_recorded_are_left_out(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            found = {each async for each in retriever.discover((NOW - 5 * DAY, NOW))}
            recorded = {each: simulator.organization.conversation(each).recording_count for each in found}  # type: ignore[union-attr]
            assert recorded
            assert all(recorded.values())

        virtual(scenario)


def is_voice(simulator: Simulator, conversation_id: str) -> bool:
    conversation = simulator.organization.conversation(conversation_id)
    return conversation is not None and conversation.media in {"audio", "screen"}


@given(
    st.datetimes(datetime(2023, 10, 1), datetime(2023, 11, 13)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=45)),
    st.sampled_from(["auto", "query", "job"]),
    st.sampled_from([0.0, 36 * 3_600.0]),
)
@settings(max_examples=25, deadline=None)
def test_any_interval_has_each_of_its_conversations_once(begin: datetime, length: timedelta, by: Any, delay: float):
    begin = begin.replace(tzinfo=UTC)

    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        found = [each async for each in retriever.discover((begin, begin + length), by=by)]
        assert len(found) == len(set(found))
        missing = active(simulator, begin, min(begin + length, NOW)) - set(found)
        assert set(found) <= active(simulator, begin, begin + length)
        # What began on an earlier day than the interval is not in the query's reach.
        midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        started = {each.id: each.started_at for each in simulator.organization.conversations()}
        assert all(started[each] < midnight for each in missing)

    few = OrganizationSettings(conversations=600, days=44.0, recordings=(0, 1))
    virtual(scenario, organization=few, analytics=AnalyticsSettings(job_data_delay=delay, max_job_page_size=100))


@pytest.mark.anyio
async def test_what_is_found_can_be_retrieved_as_it_is_found():
    simulated = SimulatorSettings(
        quota=None, organization=OrganizationSettings(conversations=300, days=1.0), analytics=AnalyticsSettings()
    )
    async with Simulator(simulated) as simulator:
        communications = {each.id: each.communication_id for each in simulator.organization.conversations()}
        configured = settings_for(simulator, rule=ValidationRule(content_types=("*/*",)))
        async with MediaRetriever(configured, endpoint=Transcript()) as retriever:
            now = datetime.now(UTC)
            found = retriever.discover((now - 2 * DAY, now))
            ids = (f"{each}/{communications[each]}" async for each in found)
            async with retriever.retrieve_many(ids, concurrency=2) as results:
                # Nothing is read ahead: the second page is not there before the first one is worked off.
                first = await anext(results)
                assert simulator.counts.by_operation[QUERY] == 1
                rest = [result async for result in results]
    assert first.ok
    assert all(result.ok for result in rest)
    assert len(rest) == 299


def test_the_quota_and_the_audit_trail_know_of_every_request():
    audit = MemorySink()
    clock = VirtualClock()
    organization = OrganizationSettings(conversations=3_000, days=25.0, recordings=(1, 1))
    simulator = Simulator(SimulatorSettings(quota=Quota(10, 60.0), organization=organization), clock=clock)

    async def main() -> int:
        configured = settings_for(simulator, quota=QuotaLimit(limit=10, seconds=60.0))
        retriever = MediaRetriever(configured, transport=simulator.transport(), clock=clock, audit=[audit])
        async with retriever:
            found = [each async for each in retriever.discover((NOW - 25 * DAY, NOW), by="query")]
            assert retriever.statistics().requests == simulator.counts.api_requests
        return len(found)

    found = clock.run(main())
    assert found >= 2_900
    assert simulator.counts.refused_429 == 0
    records = [each for each in audit.events if isinstance(each, AttemptAudited)]
    assert len(records) == simulator.counts.api_requests == math.ceil(found / 100)
    assert {record.action for record in records} == {"discovery"}


def test_what_goes_wrong_on_the_way_is_asked_again():
    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        simulator.script(Fault.SERVER_ERROR_503, Fault.TOKEN_EXPIRED, Fault.RESET_DURING_REPLY, Fault.MALFORMED_JSON)
        found = [each async for each in retriever.discover((NOW - 3 * DAY, NOW))]
        assert len(found) == len(set(found)) > 100

    virtual(scenario)


class TestWhatEndsIt:
    @pytest.mark.parametrize(
        ("end", "code", "retryable"),
        [
            ("FAILED", "discovery_job_failed", True),
            ("CANCELLED", "discovery_job_failed", True),
            ("EXPIRED", "discovery_job_failed", True),
        ],
    )
    def test_is_a_job_that_fails(self, end: Any, code: str, retryable: bool):
        async def scenario(retriever: MediaRetriever, *_: Any) -> None:
            with pytest.raises(InternalServerError) as raised:
                [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert (raised.value.code, raised.value.retryable) == (code, retryable)
            assert end in str(raised.value)

        virtual(scenario, analytics=AnalyticsSettings(job_end=end))

    def test_is_a_job_that_never_completes(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, clock: VirtualClock) -> None:
            with pytest.raises(DeadlineExceededError) as raised:
                [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert raised.value.code == "discovery_job_never_completed"
            assert clock.monotonic() == pytest.approx(JOB_TIMEOUT, abs=20)
            assert simulator.counts.api_requests < 150

        virtual(scenario, analytics=AnalyticsSettings(job_seconds=math.inf))

    def test_is_a_job_that_is_lost(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, clock: VirtualClock) -> None:
            async def restart() -> None:
                await clock.sleep(5.0)
                simulator._cloud._analytics.forget()

            restarting = asyncio.create_task(restart())
            with pytest.raises(NotFoundError) as raised:
                [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert raised.value.retryable
            assert "run it again" in str(raised.value)
            await restarting

        virtual(scenario, analytics=AnalyticsSettings(job_seconds=60.0))

    def test_is_a_missing_permission_that_is_named(self):
        async def scenario(retriever: MediaRetriever, *_: Any) -> None:
            with pytest.raises(PermissionDeniedError, match="analytics:conversationDetail:view"):
                [each async for each in retriever.discover((NOW - DAY, NOW))]

        virtual(scenario, clients=(OAuthClient("demo-client", "demo-secret", permissions=frozenset()),))

    def test_is_a_missing_token(self):
        clock = VirtualClock()
        simulator = Simulator(clock=clock)

        async def main() -> None:
            configured = settings_for(simulator, client_secret="wrong")
            async with MediaRetriever(configured, transport=simulator.transport(), clock=clock) as retriever:
                with pytest.raises(CredentialsRejectedError):
                    [each async for each in retriever.discover((NOW - DAY, NOW))]
            assert simulator.counts.api_requests == 0

        clock.run(main())


class Scripted:
    """A Genesys whose analytics answer by the end of the path, with bodies that are written down."""

    def __init__(self, **bodies: object) -> None:
        self.bodies = bodies
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "token", "token_type": "bearer", "expires_in": 3_600})
        self.asked.append(json.loads(request.content or b"{}"))
        body = self.bodies[request.url.path.rpartition("/")[2]]
        return httpx.Response(200, json=body(request) if callable(body) else body)

    def discover(self, **options: Any) -> list[str]:
        clock = VirtualClock()

        async def main() -> list[str]:
            configured = Settings(client_id="a", client_secret="b", quota=None, retry=QUICK_RETRIES)
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                async with MediaRetriever(configured, transport=client, clock=clock) as retriever:
                    return [each async for each in retriever.discover((NOW - DAY, NOW), **options)]

        return clock.run(main())


class TestReplies:
    @pytest.mark.parametrize(
        "body",
        [
            [],
            {"conversations": 7},
            {"conversations": [{}]},
            {"conversations": [{"conversationId": "a\nb"}]},
            {"conversations": [{"conversationId": "../a"}]},
            {"conversations": [{"conversationId": "a", "conversationEnd": "soon"}]},
            {"totalHits": "many"},
        ],
    )
    def test_of_another_shape_are_errors(self, body: object):
        with pytest.raises(InvalidResponseError) as raised:
            Scripted(query=body).discover(by="query")
        assert raised.value.code == "reply_shape"

    def test_may_have_conversations_that_are_outside_the_interval_or_go_on(self):
        conversations = [
            {"conversationId": "before", "conversationEnd": (NOW - 2 * DAY).isoformat()},
            {"conversationId": "after", "conversationStart": (NOW + DAY).isoformat()},
            {"conversationId": "going-on", "conversationStart": (NOW - 9 * DAY).isoformat()},
            {"conversationId": "bare", "unheard-of": {}},
        ]
        scripted = Scripted(query={"conversations": conversations, "totalHits": 4})
        assert scripted.discover(by="query") == ["going-on", "bare"]

    def test_may_be_of_half_a_megabyte(self):
        conversations = [
            {"conversationId": f"c-{number}", "participants": [{"notes": "x" * 5_000}]} for number in range(100)
        ]
        scripted = Scripted(query={"conversations": conversations, "totalHits": 100})
        assert len(scripted.discover(by="query")) == 100

    def test_whose_cursor_leads_in_a_circle_end_it(self):
        scripted = Scripted(
            availability={"dataAvailabilityDate": NOW.isoformat()},
            jobs={"jobId": "job-1"},
            **{"job-1": {"state": "FULFILLED"}},
            results={"conversations": [{"conversationId": "a"}], "cursor": "again"},
        )
        with pytest.raises(InvalidResponseError) as raised:
            scripted.discover(by="job")
        assert (raised.value.code, raised.value.retryable) == ("cursor_repeats", False)

    def test_with_a_state_that_nobody_knows_are_waited_for(self):
        states = iter(["QUEUED", "Meditating", "FULFILLED"])
        cursors: list[str | None] = []

        def results(request: httpx.Request) -> object:
            cursors.append(request.url.params.get("cursor"))
            return {
                "conversations": [{"conversationId": f"c-{len(cursors)}"}],
                "cursor": "a&b=/" if len(cursors) < 2 else None,
            }

        scripted = Scripted(
            availability={},
            jobs={"jobId": "job-1"},
            **{"job-1": lambda _: {"state": next(states)}},
            results=results,
        )
        assert scripted.discover(by="job") == ["c-1", "c-2"]
        assert cursors == [None, "a&b=/"]


class TestAnInterval:
    @pytest.mark.parametrize(
        ("interval", "said"),
        [
            ((NOW, NOW - DAY), "in the future"),
            ((NOW - DAY, NOW - DAY), "after its beginning"),
            ((NOW - DAY, NOW - 2 * DAY), "after its beginning"),
            ((NOW + DAY, NOW + 2 * DAY), "in the future"),
            ((datetime(2023, 11, 1), NOW), "with zones"),
            ((NOW - DAY, datetime(2023, 11, 14)), "with zones"),
            (("2023-11-01T00:00Z", NOW), "two datetimes"),
            ((NOW,), "two datetimes"),
            ("2023-11-01/2023-11-02", "two datetimes"),
            (None, "two datetimes"),
        ],
    )
    def test_that_cannot_be_is_refused_before_anything_is_sent(self, interval: Any, said: str):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            with pytest.raises(SettingsError, match=said):
                retriever.discover(interval)
            assert simulator.counts.api_requests == 0

        virtual(scenario)

    def test_may_be_in_any_zone(self):
        tokyo = timezone(timedelta(hours=9))
        it = wanted((datetime(2023, 11, 1, 9, tzinfo=tokyo), datetime(2023, 11, 2, 9, tzinfo=tokyo)), {}, now=NOW)
        body = json.loads(it.body(it.begin, it.end))
        assert body["interval"] == "2023-11-01T00:00:00.000Z/2023-11-02T00:00:00.000Z"

    def test_may_end_in_the_future_which_is_not_asked_for(self):
        assert wanted((NOW - DAY, NOW + 3_650 * DAY), {}, now=NOW).end == NOW + DAY


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"queues": "queue-1"}, "queues"),
        ({"queues": ["", "x"]}, "queues"),
        ({"queues": 7}, "queues"),
        ({"media": [None]}, "media"),
        ({"divisions": "x"}, "divisions"),
        ({"direction": "sideways"}, "direction"),
        ({"by": "magic"}, "by"),
        ({"segment_filters": [{"type": object()}]}, "filters"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_its_name(options: Any, said: str):
    with pytest.raises(SettingsError, match=said):
        wanted((NOW - DAY, NOW), options, now=NOW)


def test_it_can_be_left_at_any_moment():
    async def scenario(retriever: MediaRetriever, simulator: Simulator, clock: VirtualClock) -> None:
        async for _each in retriever.discover((NOW - 20 * DAY, NOW), by="query"):
            break
        ids = retriever.discover((NOW - 20 * DAY, NOW), by="job")
        await anext(ids)
        await ids.aclose()
        unread = retriever.discover((NOW - DAY, NOW))
        del unread
        # An abandoned generator is closed by the event loop, in a task of its own.
        await clock.sleep(1.0)
        assert simulator.counts.in_flight == 0

    virtual(scenario)


def test_cancelled_at_any_step_it_leaves_nothing_running():
    def run_and_cancel(at: int) -> int:
        clock = VirtualClock()
        organization = OrganizationSettings(conversations=300, days=2.0)
        simulator = Simulator(SimulatorSettings(quota=None, latency=0.05, organization=organization), clock=clock)
        stop = Stop(at)

        async def discover() -> int:
            configured = settings_for(simulator)
            async with MediaRetriever(configured, transport=simulator.transport(), clock=clock) as retriever:
                return len([each async for each in retriever.discover((NOW - 3 * DAY, NOW), by="job")])

        async def main() -> None:
            stop.victim = asyncio.create_task(discover())
            try:
                assert await stop.victim == 300
            except asyncio.CancelledError:
                assert stop.steps >= at
            assert other_tasks() == set()

        run_stepping(stop, clock, main)
        assert simulator.counts.in_flight == 0
        return stop.steps

    steps = run_and_cancel(10**9)
    for at in range(1, steps + 1):
        run_and_cancel(at)


def test_no_token_is_in_what_is_raised():
    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "canary", "token_type": "bearer", "expires_in": 3_600})
        message = f"no: {request.headers['authorization']}"
        return httpx.Response(403, json={"code": "missing.permissions", "message": message})

    async def main() -> str:
        configured = Settings(client_id="a", client_secret="b", quota=None)
        async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
            async with MediaRetriever(configured, transport=client) as retriever:
                with pytest.raises(GenesysMediaError) as raised:
                    [each async for each in retriever.discover((NOW - DAY, NOW))]
        return str(raised.value) + repr(raised.value)

    assert "canary" not in asyncio.run(main())
