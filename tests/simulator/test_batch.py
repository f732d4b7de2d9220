"""Batch download jobs: their submission, their progress and their results."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import (
    BatchItem,
    BatchSettings,
    JobFault,
    OAuthClient,
    OrganizationSettings,
    Quota,
    Simulator,
)
from tests.support.batch_jobs import BATCH, ONE_EACH, STEADY, finished, ids_of, status, submit
from tests.support.simulator_users import GRANT
from tests.support.virtual_simulators import in_virtual_time, log_in

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock

VIEW = frozenset({"recording:recording:view"})


def test_a_job_grows_until_it_is_completed() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        submitted = await submit(http, *ids_of(simulator, 4))
        job_id = submitted.json()["id"]
        assert submitted.json() == {"id": job_id, "selfUri": f"{BATCH}/{job_id}"}
        seen = []
        for _ in range(5):
            job = await status(http, job_id)
            assert (job["id"], job["jobId"], job["selfUri"]) == (job_id, job_id, f"{BATCH}/{job_id}")
            assert len(job["results"]) == job["resultCount"]
            seen.append((job["expectedResultCount"], job["resultCount"], job["errorCount"], job["status"]))
            await clock.sleep(1.0)
        return seen

    seen, _ = in_virtual_time(scenario, batch=STEADY, organization=ONE_EACH)
    assert seen == [(4, count, 0, "Completed" if count == 4 else "InProgress") for count in range(5)]


def test_the_expected_count_grows_with_each_discovery_and_can_be_reached_before_the_job_is_completed() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job_id = (await submit(http, *ids_of(simulator, 3))).json()["id"]
        seen = []
        for seconds in (0.0, 3.0, 1.0, 1.0, 2.0):
            await clock.sleep(seconds)
            job = await status(http, job_id)
            seen.append((job["expectedResultCount"], job["resultCount"], job["status"]))
        return seen

    settings = BatchSettings(seconds_per_recording=1.0, spread=0.0, discovery_seconds=1.9)
    seen, _ = in_virtual_time(scenario, batch=settings, organization=ONE_EACH)
    early = [(expected, results, "InProgress") for expected, results in [(0, 0), (1, 1), (2, 1), (2, 2)]]
    assert seen == [*early, (3, 3, "Completed")]


def test_a_job_can_show_no_results_before_its_end() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job_id = (await submit(http, *ids_of(simulator, 2))).json()["id"]
        await clock.sleep(1.5)
        early = await status(http, job_id)
        await clock.sleep(1.0)
        return early, await status(http, job_id)

    settings = BatchSettings(seconds_per_recording=1.0, spread=0.0, partial_results=False)
    (early, late), _ = in_virtual_time(scenario, batch=settings, organization=ONE_EACH)
    assert (early["resultCount"], early["results"]) == (1, [])
    assert len(late["results"]) == 2


def test_a_conversation_has_a_result_for_each_recording_and_a_recording_for_each_part() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        organization = simulator.organization
        conversation = organization.conversation_at(0)
        first, second, *_ = organization.recordings_of(conversation)
        organization.change(second.id, parts=3)
        job = await finished(http, clock, conversation.id)
        found = Counter(result["recordingId"] for result in job["results"])
        assert found == {first.id: 1, second.id: 3}
        single = await finished(http, clock, {"conversationId": conversation.id, "recordingId": first.id})
        assert [result["recordingId"] for result in single["results"]] == [first.id]
        urls = {result["resultUrl"] for result in job["results"]}
        assert len(urls) == 4
        http.headers.pop("Authorization")
        bodies = [await http.get(url) for url in urls]
        assert {body.status_code for body in bodies} == {200}
        assert {body.headers["content-type"] for body in bodies} == {"audio/ogg"}
        assert len({body.content for body in bodies}) == 4

    organization = OrganizationSettings(recordings=(2, 2), media=("audio",), two_part_share=0.0)
    in_virtual_time(scenario, organization=organization)


def test_one_conversation_can_have_very_many_recordings() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return await finished(http, clock, *ids_of(simulator, 1))

    organization = OrganizationSettings(conversations=1, recordings=(1000, 1000), media=("screen",))
    job, _ = in_virtual_time(scenario, organization=organization)
    assert len({result["recordingId"] for result in job["results"]}) == job["resultCount"] == 1000
    assert {result["contentType"] for result in job["results"]} == {"video/mp4"}


def test_text_is_json_with_a_parameter_in_its_content_type() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job = await finished(http, clock, *ids_of(simulator, 1))
        http.headers.pop("Authorization")
        return job, await http.get(job["results"][0]["resultUrl"])

    (job, media), _ = in_virtual_time(scenario, organization=OrganizationSettings(media=("chat",)))
    assert job["results"][0]["contentType"] == "application/json; charset=utf-8"
    assert media.headers["content-type"] == "application/json"
    assert media.json()["id"].startswith(job["results"][0]["recordingId"])


@pytest.mark.parametrize("how", ["error", "silent"])
def test_an_archived_or_unknown_recording_has_an_error_or_no_result(how: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        one, two, three = ids_of(simulator, 3)
        archived = simulator.organization.recordings_of(simulator.organization.conversation_at(0))[0]
        simulator.organization.change(archived.id, file_state="ARCHIVED")
        stranger = {"conversationId": two, "recordingId": archived.id}
        return await finished(http, clock, one, stranger, "no-such-conversation", three)

    settings = BatchSettings(archived=how, unknown=how)
    job, _ = in_virtual_time(scenario, batch=settings, organization=ONE_EACH)
    results = job["results"]
    good = [result for result in results if result["errorMsg"] is None]
    assert len(good) == 1
    assert good[0]["resultUrl"]
    assert job["status"] == "Completed"
    assert job["errorCount"] == len(results) - 1 == (3 if how == "error" else 0)
    assert all(
        result["resultUrl"] is None and result["contentType"] is None for result in results if result["errorMsg"]
    )
    assert job["resultCount"] == job["expectedResultCount"] == len(results)


def test_a_recording_that_cannot_be_played_or_prepared_has_an_error() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        first, second, *_ = simulator.organization.recordings()
        simulator.organization.change(first.id, file_state="UPLOADING")
        simulator.organization.change(second.id, batch_error="no luck")
        return await finished(http, clock, first.conversation_id, second.conversation_id)

    job, _ = in_virtual_time(scenario, organization=ONE_EACH)
    assert [result["errorMsg"] for result in job["results"]] == ["Recording has no playable media", "no luck"]
    assert job["errorCount"] == 2


@pytest.mark.parametrize(("permissions", "found"), [(VIEW, 1), (VIEW | {"recording:recording:viewSensitiveData"}, 2)])
def test_sensitive_recordings_are_silently_omitted_for_clients_without_the_permission(
    permissions: frozenset[str], found: int
) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        first, second, *_ = simulator.organization.recordings()
        simulator.organization.change(first.id, sensitive=True)
        return await finished(http, clock, first.conversation_id, second.conversation_id)

    client = OAuthClient("demo-client", "demo-secret", permissions)
    job, _ = in_virtual_time(scenario, clients=(client,), organization=ONE_EACH)
    assert (job["status"], job["expectedResultCount"], len(job["results"])) == ("Completed", found, found)
    assert job["errorCount"] == 0


def test_shares_of_the_organization_fail_in_a_batch() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return await finished(http, clock, *ids_of(simulator, 100))

    organization = OrganizationSettings(recordings=(1, 1), failing_share=0.3, archived_share=0.2)
    job, _ = in_virtual_time(scenario, organization=organization)
    errors = Counter(result["errorMsg"] for result in job["results"])
    assert 5 < errors["Recording is archived"] < 40
    assert 10 < errors["The recording could not be processed"] < 50


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "batch.download.bad.request"),
        ({"batchDownloadRequestList": None}, "batch.download.bad.request"),
        ({"batchDownloadRequestList": []}, "batch.download.bad.request"),
        ({"batchDownloadRequestList": [{"conversationId": "c"}] * 101}, "batch.download.too.many.items"),
        ({"batchDownloadRequestList": "c"}, "bad.request"),
        ({"batchDownloadRequestList": ["c"]}, "bad.request"),
        ({"batchDownloadRequestList": [{"recordingId": "r"}]}, "bad.request"),
        ({"batchDownloadRequestList": [{"conversationId": 1}]}, "bad.request"),
        ({"batchDownloadRequestList": [{"conversationId": "c", "recordingId": 1}]}, "bad.request"),
        ([], "bad.request"),
    ],
)
def test_an_incorrect_submission_is_refused_and_makes_no_job(body: object, code: str) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.post(BATCH, json=body)
        assert (reply.status_code, reply.json()["code"], simulator.batch_jobs) == (400, code, [])

    in_virtual_time(scenario)


def test_a_hundred_items_are_accepted_and_null_means_all_recordings() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        items = [{"conversationId": each, "recordingId": None} for each in ids_of(simulator, 100)]
        job = await finished(http, clock, *items)
        (kept,) = simulator.batch_jobs
        assert (kept.id, kept.client_id, kept.results, kept.fault) == (job["id"], "demo-client", 100, None)
        assert kept.items == tuple(BatchItem(item["conversationId"] or "", None) for item in items)
        return job

    job, _ = in_virtual_time(scenario, organization=ONE_EACH)
    assert job["resultCount"] == 100


def test_only_the_client_that_submitted_a_job_can_poll_it() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job_id = (await submit(http, *ids_of(simulator, 1))).json()["id"]
        await log_in(http)
        assert (await http.get(f"{BATCH}/{job_id}")).status_code == 200
        token = (await http.post("/oauth/token", data=GRANT, auth=("other", "secret"))).json()["access_token"]
        other = await http.get(f"{BATCH}/{job_id}", headers={"Authorization": f"Bearer {token}"})
        return other.status_code, other.json()["code"]

    clients = (OAuthClient("demo-client", "demo-secret"), OAuthClient("other", "secret"))
    assert in_virtual_time(scenario, clients=clients)[0] == (403, "batch.download.permission.denied")


def test_a_job_is_unknown_when_it_never_existed_is_too_old_or_the_service_restarted() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        codes = [(await http.get(f"{BATCH}/no-such-job")).json()["code"]]
        old = (await submit(http, *ids_of(simulator, 1))).json()["id"]
        await clock.sleep(599.0)
        assert (await http.get(f"{BATCH}/{old}")).status_code == 200
        await clock.sleep(1.0)
        codes.append((await http.get(f"{BATCH}/{old}")).json()["code"])
        lost = (await submit(http, *ids_of(simulator, 1))).json()["id"]
        simulator.forget_jobs()
        codes.append((await http.get(f"{BATCH}/{lost}")).json()["code"])
        return codes

    codes, _ = in_virtual_time(scenario, batch=BatchSettings(job_lifetime=600.0))
    assert codes == ["batch.download.job.not.found"] * 3


def test_jobs_can_wait_for_each_other() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        for _ in range(5):
            await submit(http, *ids_of(simulator, 10))
        return [(round(job.begins_at), round(job.ends_at)) for job in simulator.batch_jobs]

    settings = BatchSettings(seconds_per_recording=1.0, spread=0.0, concurrent_jobs=2)
    times, _ = in_virtual_time(scenario, batch=settings, organization=ONE_EACH)
    assert times == [(0, 10), (0, 10), (10, 20), (10, 20), (20, 30)]


def test_the_time_of_a_recording_varies_around_the_setting() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        for _ in range(20):
            await submit(http, *ids_of(simulator, 10))
        return [job.ends_at - job.begins_at for job in simulator.batch_jobs]

    settings = BatchSettings(seconds_per_recording=2.0, spread=0.5)
    lasting, _ = in_virtual_time(scenario, batch=settings, organization=ONE_EACH)
    assert all(10.0 < seconds < 30.0 for seconds in lasting)
    assert len(set(lasting)) == 20
    assert math.isclose(sum(lasting) / 20, 20.0, rel_tol=0.1)


@pytest.mark.parametrize(("signed_at", "gone"), [("poll", False), ("ready", True)])
def test_the_lifetime_of_a_url_begins_at_the_poll_or_when_the_recording_is_ready(signed_at: Any, gone: bool) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job = await finished(http, clock, *ids_of(simulator, 1))
        http.headers.pop("Authorization")
        url = job["results"][0]["resultUrl"]
        first = (await http.get(url)).status_code
        await clock.sleep(120.0)
        return first, (await http.get(url)).status_code

    settings = BatchSettings(url_signed_at=signed_at, url_minutes=2)
    statuses, _ = in_virtual_time(scenario, batch=settings, organization=ONE_EACH)
    assert statuses == (403 if gone else 200, 403)


def test_three_thousand_recordings_take_thirty_jobs() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        seen: set[str] = set()
        for begin in range(0, 3000, 100):
            items = [simulator.organization.conversation_at(index).id for index in range(begin, begin + 100)]
            job_id = (await submit(http, *items)).json()["id"]
            await clock.sleep(30.0)
            seen.update(result["recordingId"] for result in (await status(http, job_id))["results"])
        return seen, simulator.counts.by_operation

    organization = OrganizationSettings(conversations=3000, recordings=(1, 1))
    (seen, asked), _ = in_virtual_time(scenario, organization=organization, quota=Quota(300, 60.0))
    assert len(seen) == 3000
    assert asked == {"postRecordingBatchrequests": 30, "getRecordingBatchrequest": 30}


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds_per_recording": -1.0},
        {"discovery_seconds": math.nan},
        {"spread": 1.1},
        {"concurrent_jobs": 0},
        {"url_minutes": 1},
        {"url_minutes": 61},
        {"faults": {JobFault.LOST: 1.1}},
    ],
)
def test_impossible_batch_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        BatchSettings(**wrong)
