"""Discovery: the conversations of an interval, each once, by the query and by a job."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import MediaRetriever, MemorySink, QuotaLimit, ValidationRule, VirtualClock
from genesys_media_async.discovery.discovery import MAX_QUERIED
from genesys_media_async.endpoints import Transcript
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import (
    AnalyticsSettings,
    Fault,
    OrganizationSettings,
    Quota,
    Simulator,
    SimulatorSettings,
)
from tests.support.cancellation import Stop, run_stepping
from tests.support.discoveries import AVAILABILITY, DAY, NOW, QUERY, RESULTS, SUBMIT, active, virtual
from tests.support.retrievers import other_tasks, settings_for


class TestConversations:
    @pytest.mark.parametrize(
        ("by", "days", "operations"),
        [
            ("query", 1, {QUERY: 3}),
            ("query", 31, {QUERY: 25}),
            ("query", 45, {QUERY: 32}),
            ("auto", 1, {AVAILABILITY: 1, SUBMIT: 1, RESULTS: 1}),
            ("auto", 45, {AVAILABILITY: 1, SUBMIT: 1, RESULTS: 6}),
            ("job", 1, {AVAILABILITY: 1, SUBMIT: 1, RESULTS: 1}),
        ],
    )
    def test_are_each_found_once_with_few_requests(self, by: Any, days: int, operations: dict[str, int]):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            begin = NOW - days * DAY
            found = [each async for each in retriever.discover((begin, NOW), by=by)]
            assert len(found) == len(set(found)) > 40 * days
            assert set(found) == active(simulator, begin, NOW)
            asked = Counter(simulator.counts.by_operation)
            assert {name: asked[name] for name in (QUERY, SUBMIT, RESULTS, AVAILABILITY) if asked[name]} == operations

        virtual(scenario)

    @pytest.mark.parametrize(("conversations", "operations"), [(100, (3, 0)), (4_000, (1, 1))])
    def test_that_the_query_cannot_miss_are_found_by_it_if_they_are_few(
        self, conversations: int, operations: tuple[int, int]
    ):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            # What lasts at most an hour did not begin before the look-back.
            search = retriever.discover((NOW - 5 * DAY, NOW), max_duration=3_600.0)
            found = [each async for each in search]
            assert set(found) == active(simulator, NOW - 5 * DAY, NOW)
            assert len(found) == len(set(found))
            assert (simulator.counts.by_operation[QUERY], simulator.counts.by_operation[SUBMIT]) == operations
            assert search.sees_from is None

        assert 100 < MAX_QUERIED < 4_000
        virtual(scenario, organization=OrganizationSettings(conversations=conversations, days=5.0, recordings=(1, 1)))

    def test_that_are_too_recent_for_a_job_are_found_by_the_query(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            begin = NOW - 35 * DAY
            found = [each async for each in retriever.discover((begin, NOW))]
            assert set(found) == active(simulator, begin, NOW)
            assert len(found) == len(set(found))
            assert simulator.counts.by_operation[QUERY] > 0

        virtual(scenario, analytics=AnalyticsSettings(job_data_delay=36 * 3_600.0))

    def test_are_all_found_by_the_query_if_no_job_has_them_yet(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            found = [each async for each in retriever.discover((NOW - DAY, NOW), by="job")]
            assert found
            assert (simulator.counts.by_operation[AVAILABILITY], SUBMIT in simulator.counts.by_operation) == (1, False)

        virtual(scenario, analytics=AnalyticsSettings(job_data_delay=36 * 3_600.0))

    @pytest.mark.parametrize("hours_of_delay", [0, 30])
    def test_that_began_before_the_look_back_are_missed_by_the_query_only(self, hours_of_delay: int):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
            begin = NOW - 3 * DAY
            for by in ("auto", "job"):
                search = retriever.discover((begin, NOW), by=by, look_back_days=1)
                assert {each async for each in search} == active(simulator, begin, NOW)
                assert search.sees_from is None
            search = retriever.discover((begin, NOW), by="query", look_back_days=1)
            missed = active(simulator, begin, NOW) - {each async for each in search}
            older = {
                each.id
                for each in simulator.organization.conversations()
                if search.sees_from is not None and each.started_at < search.sees_from.timestamp()
            }
            assert missed
            assert missed == active(simulator, begin, NOW) & older

        organization = OrganizationSettings(conversations=300, days=30.0, long_share=0.3, long_days=12.0)
        delayed = AnalyticsSettings(job_data_delay=hours_of_delay * 3_600.0)
        virtual(scenario, organization=organization, analytics=delayed)

    @pytest.mark.parametrize("empty_page", ["absent", "empty"])
    @pytest.mark.parametrize("by", ["query", "job"])
    def test_may_be_none_at_all(self, empty_page: Any, by: Any):
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

    def test_can_be_filtered_by_predicates_of_the_api(self):
        async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> set[str]:
            (one,) = [each.id for each in simulator.organization.conversations() if each.recording_count][-1:]
            predicate = {"type": "dimension", "dimension": "conversationId", "operator": "matches", "value": one}
            filters = [{"type": "and", "predicates": [predicate]}]
            found = {each async for each in retriever.discover((NOW - 40 * DAY, NOW), conversation_filters=filters)}
            assert found == {one}
            none = [{"type": "and", "predicates": [{"dimension": "queueId", "operator": "notExists"}]}]
            return {each async for each in retriever.discover((NOW - 40 * DAY, NOW), segment_filters=none)}

        assert virtual(scenario) == set()

    def test_that_were_not_recorded_are_left_out(self):
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
    begin=st.datetimes(datetime(2023, 10, 1), datetime(2023, 11, 14, 21)),
    length=st.timedeltas(timedelta(seconds=1), timedelta(days=45)),
    by=st.sampled_from(["auto", "query", "job"]),
    hours_of_delay=st.sampled_from([0, 1, 36, 24 * 20]),
    long_days=st.sampled_from([0.1, 1.0, 10.0, 25.0]),
    ordered=st.booleans(),
    query_finds=st.sampled_from(["start-day", "start-day-and-activity"]),
)
@settings(max_examples=40, deadline=None)
def test_each_conversation_of_an_interval_is_found_once_however_long_it_is(
    begin: datetime, length: timedelta, by: Any, hours_of_delay: int, long_days: float, ordered: bool, query_finds: Any
):
    begin = begin.replace(tzinfo=UTC)

    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        # No longer than the longest conversation.
        search = retriever.discover((begin, begin + length), by=by, look_back_days=math.ceil(long_days))
        found = [each async for each in search]
        assert len(found) == len(set(found))
        assert set(found) == active(simulator, begin, min(begin + length, NOW))
        assert search.left is None

    organization = OrganizationSettings(
        conversations=300, days=44.0, recordings=(0, 1), long_share=0.4, long_days=long_days
    )
    analytics = AnalyticsSettings(
        job_data_delay=hours_of_delay * 3_600.0,
        max_job_page_size=100,
        jobs_are_ordered=ordered,
        query_finds=query_finds,
    )
    virtual(scenario, organization=organization, analytics=analytics)


@pytest.mark.anyio
async def test_ids_can_be_retrieved_while_they_are_found():
    simulated = SimulatorSettings(
        quota=None, organization=OrganizationSettings(conversations=300, days=1.0), analytics=AnalyticsSettings()
    )
    async with Simulator(simulated) as simulator:
        communications = {each.id: each.communication_id for each in simulator.organization.conversations()}
        configured = settings_for(simulator, rule=ValidationRule(content_types=("*/*",)))
        async with MediaRetriever(configured, endpoint=Transcript()) as retriever:
            now = datetime.now(UTC)
            found = retriever.discover((now - 2 * DAY, now), by="query", look_back_days=0)
            ids = (f"{each}/{communications[each]}" async for each in found)
            async with retriever.retrieve_many(ids, concurrency=2) as results:
                # Nothing is read ahead: the second page is requested once the first one is used up.
                first = await anext(results)
                assert simulator.counts.by_operation[QUERY] == 1
                rest = [result async for result in results]
    assert first.ok
    assert all(result.ok for result in rest)
    assert len(rest) == 299


def test_each_request_is_within_the_quota_and_in_the_audit_trail():
    audit = MemorySink()
    clock = VirtualClock()
    organization = OrganizationSettings(conversations=3_000, days=25.0, recordings=(1, 1))
    simulator = Simulator(SimulatorSettings(quota=Quota(10, 60.0), organization=organization), clock=clock)

    async def main() -> int:
        configured = settings_for(simulator, quota=QuotaLimit(limit=10, seconds=60.0))
        retriever = MediaRetriever(configured, transport=simulator.transport(), clock=clock, audit=[audit])
        async with retriever:
            search = retriever.discover((NOW - 25 * DAY, NOW), by="query", look_back_days=0)
            found = [each async for each in search]
            assert retriever.statistics().requests == simulator.counts.api_requests
        return len(found)

    found = clock.run(main())
    assert found >= 2_900
    assert simulator.counts.refused_429 == 0
    records = [each for each in audit.events if isinstance(each, AttemptAudited)]
    assert len(records) == simulator.counts.api_requests == math.ceil(found / 100)
    assert {record.action for record in records} == {"discovery"}


def test_transient_faults_are_retried():
    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        simulator.script(Fault.SERVER_ERROR_503, Fault.TOKEN_EXPIRED, Fault.RESET_DURING_REPLY, Fault.MALFORMED_JSON)
        found = [each async for each in retriever.discover((NOW - 3 * DAY, NOW))]
        assert len(found) == len(set(found)) > 100

    virtual(scenario)


def test_a_search_can_be_left_early():
    async def scenario(retriever: MediaRetriever, simulator: Simulator, clock: VirtualClock) -> None:
        async for _each in retriever.discover((NOW - 20 * DAY, NOW), by="query"):
            break
        ids = retriever.discover((NOW - 20 * DAY, NOW), by="job")
        await anext(ids)
        await ids.aclose()
        unread = retriever.discover((NOW - DAY, NOW))
        del unread
        # The event loop closes an abandoned generator, in a task of its own.
        await clock.sleep(1.0)
        assert simulator.counts.in_flight == 0

    virtual(scenario)


def test_a_search_that_is_cancelled_at_any_step_leaves_nothing_running():
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
