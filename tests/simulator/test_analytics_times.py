"""Conversation details of conversations that last for days: what a query finds, and what a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.simulator import AnalyticsSettings, OAuthClient, OrganizationSettings, Simulator
from genesys_media_async.simulator.services.times import iso
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.simulator.organization import Conversation

PATH = "/api/v2/analytics/conversations/details"
NOW = 1_700_000_000.0
DAY = 86400.0
LONG = OrganizationSettings(conversations=200, days=20.0, long_share=0.5, long_days=5.0)


def by_query(begin: float, end: float, **settings: Any) -> tuple[list[dict[str, Any]], list[Conversation]]:
    """Return what a query of an interval finds, and all conversations there are."""

    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        found: list[dict[str, Any]] = []
        total = 1
        while len(found) < total:
            paging = {"pageSize": 100, "pageNumber": len(found) // 100 + 1}
            body = {"interval": f"{iso(begin)}/{iso(end)}", "paging": paging}
            page = (await http.post(f"{PATH}/query", json=body)).json()
            found, total = found + page.get("conversations", []), page["totalHits"]
        return found, list(simulator.organization.conversations())

    outcome: tuple[Any, Any] = in_virtual_time(scenario, organization=LONG, **settings)[0]
    return outcome


def by_job(
    begin: float, end: float, delay: float = 0.0, **body: object
) -> tuple[list[dict[str, Any]], list[Conversation]]:
    """Return what a job over an interval finds, and all conversations there are."""

    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        body["interval"] = f"{iso(begin)}/{iso(end)}"
        job_id = (await http.post(f"{PATH}/jobs", json=body)).json()["jobId"]
        results = (await http.get(f"{PATH}/jobs/{job_id}/results")).json()
        return results.get("conversations", []), list(simulator.organization.conversations())

    analytics = AnalyticsSettings(job_seconds=0.0, job_data_delay=delay)
    outcome: tuple[Any, Any] = in_virtual_time(scenario, organization=LONG, analytics=analytics)[0]
    return outcome


def ids(conversations: list[dict[str, Any]]) -> set[str]:
    return {each["conversationId"] for each in conversations}


INTERVALS = st.tuples(st.floats(-18 * DAY, -60.0), st.floats(1.0, 10 * DAY)).map(
    lambda each: (round(NOW + each[0], 3), round(min(NOW, NOW + each[0] + each[1]), 3))
)


@given(INTERVALS)
@settings(max_examples=15, deadline=None)
def test_a_query_finds_what_started_on_a_day_that_the_interval_touches(interval: tuple[float, float]) -> None:
    begin, end = interval
    found, everything = by_query(begin, end)
    days = range(int(begin // DAY), int((end - 0.001) // DAY) + 1)
    assert ids(found) == {each.id for each in everything if each.started_at // DAY in days and each.started_at < NOW}


@given(INTERVALS)
@settings(max_examples=10, deadline=None)
def test_a_query_can_be_set_to_find_only_what_was_active_as_well(interval: tuple[float, float]) -> None:
    begin, end = interval
    found, everything = by_query(begin, end, analytics=AnalyticsSettings(query_finds="start-day-and-activity"))
    active = {each.id for each in everything if each.started_at < end and each.ended_at >= begin}
    assert ids(found) == active & {each.id for each in everything if each.started_at >= begin // DAY * DAY}


@given(INTERVALS, st.booleans(), st.sampled_from([0.0, 3 * DAY]))
@settings(max_examples=20, deadline=None)
def test_a_job_finds_what_was_active_in_the_interval_as_far_as_it_has_data(
    interval: tuple[float, float], narrowed: bool, delay: float
) -> None:
    begin, end = interval
    found, everything = by_job(begin, end, delay, startOfDayIntervalMatching=narrowed)
    known_until = NOW - delay
    active = {each for each in everything if each.started_at < min(end, known_until) and each.ended_at >= begin}
    first_day = begin // DAY * DAY if narrowed else 0.0
    expected = {each.id: each for each in active if each.started_at >= first_day}
    assert ids(found) == set(expected)
    for each in found:
        # The data lake knows no end that came later.
        assert ("conversationEnd" in each) == (expected[each["conversationId"]].ended_at <= known_until)


def test_narrowing_takes_only_true_and_false() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        body = {"interval": f"{iso(NOW - DAY)}/{iso(NOW)}", "startOfDayIntervalMatching": "yes"}
        return (await http.post(f"{PATH}/jobs", json=body)).status_code

    assert in_virtual_time(scenario)[0] == 400


def test_a_conversation_in_progress_has_no_end_until_it_ends() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        still, body = [], {"interval": f"{iso(NOW - 20 * DAY)}/{iso(NOW)}", "paging": {"pageSize": 100}}
        open_only = [{"type": "and", "predicates": [{"dimension": "conversationEnd", "operator": "notExists"}]}]
        for _ in range(3):
            page = (await http.post(f"{PATH}/query", json={**body, "conversationFilters": open_only})).json()
            still.append(ids(page.get("conversations", [])))
            assert all("conversationEnd" not in each for each in page.get("conversations", []))
            await clock.sleep(0.4 * DAY)
        return still, [each.id for each in simulator.organization.conversations() if each.ended_at > NOW]

    (first, second, third), in_progress = in_virtual_time(scenario, organization=LONG)[0]
    assert first == set(in_progress)
    assert first > second > third


def test_long_conversations_leave_all_else_as_it_was() -> None:
    plain = OrganizationSettings(conversations=200, days=20.0)

    def of(organization: OrganizationSettings) -> list[Conversation]:
        async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
            return list(simulator.organization.conversations())

        return in_virtual_time(scenario, organization=organization)[0]  # type: ignore[no-any-return]

    pairs = list(zip(of(plain), of(LONG), strict=True))
    assert all((one.id, one.started_at, one.media) == (two.id, two.started_at, two.media) for one, two in pairs)
    longer = [two.ended_at - two.started_at for one, two in pairs if one.ended_at != two.ended_at]
    assert 60 < len(longer) < 140
    assert 600.0 <= min(longer) < max(longer) <= 5 * DAY


@pytest.mark.parametrize(
    ("permissions", "query", "job", "availability"),
    [
        ({"analytics:conversationDetail:view"}, 200, 202, 200),
        ({"analytics:agentConversationDetail:view"}, 200, 202, 403),
        ({"recording:recording:view"}, 403, 403, 403),
    ],
)
def test_either_permission_is_enough_but_for_the_availability_of_jobs(
    permissions: set[str], query: int, job: int, availability: int
) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        body = {"interval": f"{iso(NOW - DAY)}/{iso(NOW)}"}
        replies = await http.post(f"{PATH}/query", json=body), await http.post(f"{PATH}/jobs", json=body)
        return *(each.status_code for each in replies), (await http.get(f"{PATH}/jobs/availability")).status_code

    client = OAuthClient("demo-client", "demo-secret", permissions=frozenset(permissions))
    assert in_virtual_time(scenario, clients=(client,))[0] == (query, job, availability)
