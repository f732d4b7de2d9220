"""The simulator's conversation details: the paged query, its filters, and the jobs that are read with a cursor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import AnalyticsSettings, OrganizationSettings, Simulator
from genesys_media_async.simulator.times import interval, iso

from .test_simulator_in_process import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from genesys_media_async.clock import VirtualClock

PATH = "/api/v2/analytics/conversations/details"
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


def answered(body: Mapping[str, object], **settings: Any) -> tuple[dict[str, Any], Simulator]:
    """Ask one query, and return its reply and the simulator."""

    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return await query(http, **body), simulator

    page, simulator = in_virtual_time(scenario, **settings)[0]
    return page, simulator


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


def test_a_page_has_25_conversations_unless_told_otherwise() -> None:
    page, simulator = answered({})
    assert len(ids_in(page)) == 25
    first = page["conversations"][0]
    conversation = simulator.organization.conversation_at(0)
    assert first["conversationStart"] == iso(conversation.started_at)
    session = first["participants"][0]["sessions"][0]
    assert session["sessionId"] == conversation.communication_id
    assert session["segments"][0]["queueId"] == conversation.queue_id


def test_pages_of_two_queries_may_be_asked_for_by_turns() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        up, down = [], []
        for number in (1, 2):
            paging = {"pageSize": 3, "pageNumber": number}
            up += ids_in(await query(http, paging=paging))
            down += ids_in(await query(http, paging=paging, order="desc"))
        return up, down, [conversation.id for conversation in simulator.organization.conversations()]

    up, down, wanted = in_virtual_time(scenario)[0]
    assert (up, down) == (wanted[:6], wanted[:-7:-1])


def test_an_empty_page_leaves_its_list_out_or_not() -> None:
    beyond = {"paging": {"pageNumber": 17}}
    assert answered(beyond)[0] == {"totalHits": 400}
    empty = answered(beyond, analytics=AnalyticsSettings(empty_page="empty"))[0]
    assert empty == {"conversations": [], "totalHits": 400}


def test_the_order_is_of_starts_or_ends_up_or_down() -> None:
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


def test_a_filter_by_queue_gives_only_its_conversations() -> None:
    wanted = Simulator().organization.queue_ids()[1]
    predicate = {"type": "dimension", "dimension": "queueId", "operator": "matches", "value": wanted}
    page, simulator = answered({"segmentFilters": segment_filter(predicate), "paging": {"pageSize": 100}})
    of_queue = [each.id for each in simulator.organization.conversations() if each.queue_id == wanted]
    assert page["totalHits"] == len(of_queue)
    assert ids_in(page) == of_queue[:100]


def test_filters_are_joined_as_they_say() -> None:
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
def test_a_dimension_can_be_asked_to_exist(operator: str | None, hits: int) -> None:
    predicate = {"dimension": "divisionId", "operator": operator, "value": "x"}
    assert answered({"conversationFilters": segment_filter(predicate)})[0]["totalHits"] == hits


def test_conversations_active_at_the_edge_are_in_both_intervals() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        edge = next(simulator.organization.conversations()).ended_at - 1.0
        before = await query(http, interval=f"{iso(edge - 3600)}/{iso(edge)}")
        after = await query(http, interval=f"{iso(edge)}/{iso(edge + 3600)}")
        return simulator.organization.conversation_at(0).id, ids_in(before), ids_in(after)

    first, before, after = in_virtual_time(scenario)[0]
    assert first in before
    assert first in after


def test_the_query_leaves_out_what_started_on_an_earlier_day_and_the_job_does_not() -> None:
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
        ({"segmentFilters": segment_filter({"dimension": "wrapUpCode", "value": "x"})}, "invalid.value"),
        ({"segmentFilters": segment_filter({"dimension": "queueId"})}, "bad.request"),
        ({"segmentFilters": segment_filter({"type": "metric"})}, "invalid.value"),
    ],
)
def test_a_query_that_cannot_be_answered_is_refused(change: dict[str, object], code: str) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.post(f"{PATH}/query", json={"interval": WEEK, **change})
        return reply.status_code, reply.json()["code"]

    assert in_virtual_time(scenario)[0] == (400, code)


def test_an_interval_without_a_zone_is_in_utc() -> None:
    assert interval("2026-01-01T00:00:00/2026-01-01T01:00:00") == interval("2026-01-01T00:00Z/2026-01-01T02:00+01:00")


def test_a_job_is_queued_then_pending_then_fulfilled_and_read_with_a_cursor() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        submitted = await http.post(f"{PATH}/jobs", json={"interval": WEEK})
        path = f"{PATH}/jobs/{submitted.json()['jobId']}"
        states = []
        for _ in range(3):
            status = (await http.get(path)).json()
            results = (await http.get(f"{path}/results")).status_code
            states.append((status["state"], "completionDate" in status, results))
            await clock.sleep(1.0)
        found: list[str] = []
        cursor, pages = "", 0
        while pages == 0 or cursor:
            reply = await http.get(f"{path}/results", params={"pageSize": 150, "cursor": cursor})
            found += ids_in(reply.json())
            cursor, pages = reply.json().get("cursor", ""), pages + 1
        wanted = [conversation.id for conversation in simulator.organization.conversations()]
        return submitted.status_code, states, pages, found == wanted

    outcome = in_virtual_time(scenario)[0]
    states = [("QUEUED", False, 400), ("PENDING", False, 400), ("FULFILLED", True, 200)]
    assert outcome == (202, states, 3, True)


@pytest.mark.parametrize("end", ["FAILED", "CANCELLED", "EXPIRED"])
def test_a_job_may_end_otherwise_and_then_has_no_results(end: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        await clock.sleep(10.0)
        status = (await http.get(path)).json()
        return status["state"], "errorMessage" in status, (await http.get(f"{path}/results")).status_code

    outcome, _ = in_virtual_time(scenario, analytics=AnalyticsSettings(job_end=end, submit_status=200))
    assert outcome == (end, end == "FAILED", 400)


def test_a_job_may_go_on_for_ever_or_be_forgotten() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        await clock.sleep(80_000.0)
        state = (await http.get(path)).json()["state"]
        simulator.forget_jobs()
        return state, (await http.get(path)).status_code

    analytics = AnalyticsSettings(job_seconds=math.inf)
    state, status = in_virtual_time(scenario, analytics=analytics)[0]
    assert (state, status) == ("QUEUED", 404)


def test_a_job_knows_nothing_of_the_latest_data() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        available = (await http.get(f"{PATH}/jobs/availability")).json()["dataAvailabilityDate"]
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        results = (await http.get(f"{path}/results")).json()
        wanted = [each.id for each in simulator.organization.conversations() if each.started_at < NOW - 2 * DAY]
        assert available == results["dataAvailabilityDate"] == iso(NOW - 2 * DAY)
        return ids_in(results), wanted

    analytics = AnalyticsSettings(job_seconds=0.0, job_data_delay=2 * DAY)
    found, wanted = in_virtual_time(scenario, analytics=analytics)[0]
    assert found == wanted
    assert 0 < len(wanted) < 400


def test_a_cursor_is_good_for_its_job_alone() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        job_id = path.rpartition("/")[2]
        wrong = ("x", "other.3", f"{job_id}.400", f"{job_id}.-1", f"{job_id}.{'9' * 5000}")
        statuses = [(await http.get(f"{path}/results", params={"cursor": cursor})).status_code for cursor in wrong]
        return statuses, (await http.get(f"{path}/results", params={"pageSize": "0"})).status_code

    outcome, _ = in_virtual_time(scenario, analytics=AnalyticsSettings(job_seconds=0.0))
    assert outcome == ([400] * 5, 400)


@pytest.mark.parametrize(
    "wrong", [{"page_size_max": 0}, {"interval_days_max": 0}, {"job_seconds": -1.0}, {"job_data_delay": math.nan}]
)
def test_analytics_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        AnalyticsSettings(**wrong)
