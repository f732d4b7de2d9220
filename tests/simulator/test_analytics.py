"""Conversation details: the paged query and its filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import AnalyticsSettings, OrganizationSettings, Simulator
from genesys_media_async.simulator.services.times import interval, iso
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from genesys_media_async.clock import VirtualClock

PATH = "/api/v2/analytics/conversations/details"
DURATION = {"type": "metric", "metric": "tSegmentDuration"}
NOW = 1_700_000_000.0
DAY = 86400.0
WEEK = f"{iso(NOW - 8 * DAY)}/{iso(NOW)}"


async def query(http: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    reply = await http.post(f"{PATH}/query", json={"interval": WEEK, **body})
    assert reply.status_code == 200, reply.text
    page: dict[str, Any] = reply.json()
    return page


def ids_in(page: dict[str, Any]) -> list[str]:
    return [conversation["conversationId"] for conversation in page.get("conversations", ())]


def test_all_pages_together_are_all_conversations_in_order() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        found: list[str] = []
        for number in range(1, 5):
            page = await query(http, paging={"pageSize": 100, "pageNumber": number})
            assert page["totalHits"] == 400
            found += ids_in(page)
        return found, [conversation.id for conversation in simulator.organization.conversations()]

    found, wanted = in_virtual_time(scenario)[0]
    assert found == wanted


def answered(body: Mapping[str, object], **settings: Any) -> tuple[dict[str, Any], Simulator]:
    """Send one query, and return its reply and the simulator."""

    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return await query(http, **body), simulator

    page, simulator = in_virtual_time(scenario, **settings)[0]
    return page, simulator


def test_a_page_has_25_conversations_by_default() -> None:
    page, simulator = answered({})
    assert len(ids_in(page)) == 25
    first = page["conversations"][0]
    conversation = simulator.organization.conversation_at(0)
    assert first["conversationStart"] == iso(conversation.started_at)
    session = first["participants"][0]["sessions"][0]
    assert session["sessionId"] == conversation.communication_id
    assert session["segments"][0]["queueId"] == conversation.queue_id


def test_pages_of_two_queries_can_be_requested_in_turns() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        up, down = [], []
        for number in (1, 2):
            paging = {"pageSize": 3, "pageNumber": number}
            up += ids_in(await query(http, paging=paging))
            down += ids_in(await query(http, paging=paging, order="desc"))
        return up, down, [conversation.id for conversation in simulator.organization.conversations()]

    up, down, wanted = in_virtual_time(scenario)[0]
    assert (up, down) == (wanted[:6], wanted[:-7:-1])


def test_an_empty_page_omits_its_list_or_has_an_empty_one() -> None:
    beyond = {"paging": {"pageNumber": 17}}
    assert answered(beyond)[0] == {"totalHits": 400}
    empty = answered(beyond, analytics=AnalyticsSettings(empty_page="empty"))[0]
    assert empty == {"conversations": [], "totalHits": 400}


def test_the_order_is_by_start_or_end_ascending_or_descending() -> None:
    organization = OrganizationSettings(conversations=20, days=0.01)
    settings: dict[str, Any] = {"organization": organization}
    up, simulator = answered({"orderBy": "conversationEnd"}, **settings)
    down, _ = answered({"orderBy": "conversationEnd", "order": "desc"}, **settings)
    by_end = sorted(simulator.organization.conversations(), key=lambda conversation: conversation.ended_at)
    assert ids_in(up) == [conversation.id for conversation in by_end] == ids_in(down)[::-1]
    starts, _ = answered({"order": "unordered"}, **settings)
    assert ids_in(starts) == [conversation.id for conversation in simulator.organization.conversations()] != ids_in(up)


def segment_filter(*predicates: Mapping[str, object]) -> list[dict[str, object]]:
    return [{"type": "and", "predicates": list(predicates)}]


def test_a_filter_by_queue_returns_only_its_conversations() -> None:
    wanted = Simulator().organization.queue_ids()[1]
    predicate = {"type": "dimension", "dimension": "queueId", "operator": "matches", "value": wanted}
    page, simulator = answered({"segmentFilters": segment_filter(predicate), "paging": {"pageSize": 100}})
    of_queue = [each.id for each in simulator.organization.conversations() if each.queue_id == wanted]
    assert page["totalHits"] == len(of_queue)
    assert ids_in(page) == of_queue[:100]


def test_filters_are_joined_by_their_type() -> None:
    one, two, *_ = Simulator().organization.queue_ids()
    queues = [{"dimension": "queueId", "value": each} for each in (one, two)]
    media = {"dimension": "mediaType", "value": "voice"}
    inbound = {"dimension": "originatingDirection", "value": "inbound"}
    either = {"type": "and", "predicates": [media], "clauses": [{"type": "or", "predicates": queues}]}
    body = {"segmentFilters": [either], "conversationFilters": segment_filter(inbound)}
    page, simulator = answered(body)
    hits = [
        each
        for each in simulator.organization.conversations()
        if each.queue_id in (one, two) and each.media in ("audio", "screen") and each.direction == "inbound"
    ]
    assert 0 < page["totalHits"] == len(hits) < 400
    assert answered({"segmentFilters": segment_filter(*queues)})[0]["totalHits"] == 0


@pytest.mark.parametrize(("operator", "hits"), [("exists", 400), ("notExists", 0), (None, 0)])
def test_a_filter_can_test_that_a_dimension_exists(operator: str | None, hits: int) -> None:
    predicate = {"dimension": "divisionId", "operator": operator, "value": "x"}
    assert answered({"conversationFilters": segment_filter(predicate)})[0]["totalHits"] == hits


@pytest.mark.parametrize("dimension", ["userId", "ani", "dnis", "wrapUpCode", "flowId", "requestedLanguageId"])
def test_the_values_of_a_reply_are_those_that_a_filter_matches(dimension: str) -> None:
    def values(conversation: dict[str, Any]) -> dict[str, Any]:
        (participant,) = conversation["participants"]
        (session,) = participant["sessions"]
        (segment,) = session["segments"]
        return {**participant, **session, **session.get("flow", {}), **segment}

    def described(*filters: Mapping[str, object]) -> list[dict[str, Any]]:
        page, _ = answered({"segmentFilters": segment_filter(*filters), "paging": {"pageSize": 100}})
        return [values(each) for each in page["conversations"]]

    all_of_page = described({"dimension": "queueId", "operator": "exists"})
    value = next(each[dimension] for each in all_of_page if dimension in each)
    matched = described({"dimension": dimension, "operator": "matches", "value": value})
    assert matched
    assert {each[dimension] for each in matched} == {value}
    if dimension != "userId":
        without = described({"dimension": dimension, "operator": "notExists"})
        assert without
        assert not any(dimension in each for each in without)


def test_a_filter_can_test_a_duration_in_milliseconds() -> None:
    bounds = {"gte": 60_000, "lt": 300_000}
    predicate = {"type": "metric", "metric": "tConversationDuration", "range": bounds}
    page, simulator = answered({"conversationFilters": segment_filter(predicate), "paging": {"pageSize": 100}})
    seconds = [each.ended_at - each.started_at for each in simulator.organization.conversations()]
    assert 0 < page["totalHits"] == sum(60 <= each < 300 for each in seconds) < 400


def test_conversations_active_at_the_boundary_are_in_both_intervals() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        edge = next(simulator.organization.conversations()).ended_at - 1.0
        before = await query(http, interval=f"{iso(edge - 3600)}/{iso(edge)}")
        after = await query(http, interval=f"{iso(edge)}/{iso(edge + 3600)}")
        return simulator.organization.conversation_at(0).id, ids_in(before), ids_in(after)

    first, before, after = in_virtual_time(scenario)[0]
    assert first in before
    assert first in after


def test_the_query_omits_what_started_on_an_earlier_day_and_the_job_does_not() -> None:
    midnight = NOW // DAY * DAY

    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        body = {"interval": f"{iso(midnight)}/{iso(midnight + 60)}"}
        across = [
            each.id
            for each in simulator.organization.conversations()
            if each.started_at < midnight < midnight + 1 <= each.ended_at
        ]
        job_id = (await http.post(f"{PATH}/jobs", json=body)).json()["jobId"]
        await clock.sleep(2.0)
        results = (await http.get(f"{PATH}/jobs/{job_id}/results")).json()
        return set(across), set(ids_in(await query(http, **body))), set(ids_in(results))

    organization = OrganizationSettings(conversations=2000, days=1.0)
    across, queried, job = in_virtual_time(scenario, organization=organization)[0]
    assert across
    assert not across & queried
    assert across <= job


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"interval": None}, "invalid.date"),
        ({"interval": "yesterday/today"}, "invalid.date"),
        ({"interval": iso(NOW)}, "invalid.date"),
        ({"interval": f"{iso(NOW)}/{iso(NOW)}"}, "invalid.date"),
        ({"interval": f"{iso(NOW - 32 * DAY)}/{iso(NOW)}"}, "bad.request"),
        ({"paging": {"pageSize": 101}}, "invalid.value"),
        ({"paging": {"pageSize": 0}}, "invalid.value"),
        ({"paging": {"pageNumber": True}}, "invalid.value"),
        ({"paging": 3}, "bad.request"),
        ({"order": "sideways"}, "bad.request"),
        ({"orderBy": "mood"}, "bad.request"),
        ({"segmentFilters": 1}, "bad.request"),
        ({"segmentFilters": [1]}, "bad.request"),
        ({"segmentFilters": [{"type": "xor"}]}, "invalid.value"),
        ({"segmentFilters": segment_filter({"dimension": "mood", "value": "x"})}, "invalid.value"),
        ({"segmentFilters": segment_filter({"dimension": "queueId"})}, "bad.request"),
        ({"segmentFilters": segment_filter({"dimension": "queueId", "operator": "like"})}, "invalid.value"),
        ({"segmentFilters": segment_filter({"dimension": "segmentEnd", "value": "soon"})}, "invalid.date"),
        ({"segmentFilters": segment_filter({"type": "metric"})}, "invalid.value"),
        ({"segmentFilters": segment_filter({"type": "property", "property": "x"})}, "invalid.value"),
        ({"segmentFilters": segment_filter({"type": "metric", "metric": "tSegmentDuration"})}, "bad.request"),
        (
            {"segmentFilters": segment_filter({"type": "metric", "metric": "tTalk", "range": {"gt": 1}})},
            "invalid.value",
        ),
        ({"segmentFilters": segment_filter({**DURATION, "range": {"over": 1}})}, "bad.request"),
        ({"segmentFilters": segment_filter({**DURATION, "range": {"gt": "1"}})}, "bad.request"),
        ({"segmentFilters": segment_filter({**DURATION, "range": {}})}, "bad.request"),
    ],
)
def test_an_impossible_query_is_refused(change: dict[str, object], code: str) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.post(f"{PATH}/query", json={"interval": WEEK, **change})
        return reply.status_code, reply.json()["code"]

    assert in_virtual_time(scenario)[0] == (400, code)


def test_an_interval_without_a_zone_is_in_utc() -> None:
    assert interval("2026-01-01T00:00:00/2026-01-01T01:00:00") == interval("2026-01-01T00:00Z/2026-01-01T02:00+01:00")
