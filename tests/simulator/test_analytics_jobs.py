"""Conversation details jobs, whose results are read with a cursor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import AnalyticsSettings, Simulator
from genesys_media_async.simulator.services.times import iso
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock

PATH = "/api/v2/analytics/conversations/details"
NOW = 1_700_000_000.0
DAY = 86400.0
WEEK = f"{iso(NOW - 8 * DAY)}/{iso(NOW)}"


def ids_in(page: dict[str, Any]) -> list[str]:
    return [conversation["conversationId"] for conversation in page.get("conversations", ())]


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
def test_a_job_that_ends_in_another_state_has_no_results(end: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        await clock.sleep(10.0)
        status = (await http.get(path)).json()
        return status["state"], "errorMessage" in status, (await http.get(f"{path}/results")).status_code

    outcome, _ = in_virtual_time(scenario, analytics=AnalyticsSettings(job_end=end, submit_status=200))
    assert outcome == (end, end == "FAILED", 400)


def test_a_job_can_be_endless_or_forgotten() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        await clock.sleep(80_000.0)
        state = (await http.get(path)).json()["state"]
        simulator.forget_jobs()
        return state, (await http.get(path)).status_code

    analytics = AnalyticsSettings(job_seconds=math.inf)
    state, status = in_virtual_time(scenario, analytics=analytics)[0]
    assert (state, status) == ("QUEUED", 404)


def test_a_job_does_not_contain_the_latest_data() -> None:
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


def test_a_cursor_is_valid_only_for_its_own_job() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = f"{PATH}/jobs/{(await http.post(f'{PATH}/jobs', json={'interval': WEEK})).json()['jobId']}"
        job_id = path.rpartition("/")[2]
        wrong = ("x", "other.3", f"{job_id}.400", f"{job_id}.-1", f"{job_id}.{'9' * 5000}")
        statuses = [(await http.get(f"{path}/results", params={"cursor": cursor})).status_code for cursor in wrong]
        return statuses, (await http.get(f"{path}/results", params={"pageSize": "0"})).status_code

    outcome, _ = in_virtual_time(scenario, analytics=AnalyticsSettings(job_seconds=0.0))
    assert outcome == ([400] * 5, 400)


@pytest.mark.parametrize(
    "wrong", [{"max_page_size": 0}, {"max_interval_days": 0}, {"job_seconds": -1.0}, {"job_data_delay": math.nan}]
)
def test_impossible_analytics_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        AnalyticsSettings(**wrong)
