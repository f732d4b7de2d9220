"""Batch download jobs that go wrong, in every way that they can."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from genesys_media_async.simulator import BatchSettings, Fault, JobFault, Simulator
from tests.support.batch_jobs import BATCH, ONE_EACH, STEADY, finished, ids_of, status, submit
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock


def outcome(fault: JobFault) -> dict[str, Any]:
    """Return the end of a faulty job of four conversations, and check that the next job is good."""

    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script_jobs(fault)
        job = await finished(http, clock, *ids_of(simulator, 4))
        assert simulator.batch_jobs[0].fault is fault
        good = await finished(http, clock, *ids_of(simulator, 4))
        assert (good["status"], good["resultCount"]) == ("Completed", 4)
        return {**job, "asked": set(ids_of(simulator, 4))}

    job: dict[str, Any] = in_virtual_time(scenario, organization=ONE_EACH)[0]
    return job


def test_a_job_can_run_for_ever() -> None:
    job = outcome(JobFault.NEVER_COMPLETES)
    assert (job["status"], job["expectedResultCount"], job["resultCount"]) == ("InProgress", 4, 2)


def test_a_job_can_be_completed_without_all_its_results() -> None:
    job = outcome(JobFault.MISSING_RESULTS)
    assert (job["status"], job["expectedResultCount"], len(job["results"])) == ("Completed", 4, 2)


def test_a_job_can_end_in_an_undocumented_status() -> None:
    job = outcome(JobFault.UNKNOWN_STATUS)
    assert (job["status"], job["resultCount"]) == ("Suspended", 4)


def test_a_job_can_return_every_result_twice() -> None:
    job = outcome(JobFault.DUPLICATE_RESULTS)
    assert set(Counter(result["recordingId"] for result in job["results"]).values()) == {2}


def test_a_job_can_return_an_unrequested_result() -> None:
    job = outcome(JobFault.UNREQUESTED_RESULTS)
    strangers = [result for result in job["results"] if result["conversationId"] not in job["asked"]]
    assert len(strangers) == 1
    assert (strangers[0]["resultUrl"], strangers[0]["recordingId"]) != (None, None)


@pytest.mark.parametrize(
    ("fault", "origin"),
    [(JobFault.HTTP_URLS, "http://media.example.com/"), (JobFault.FOREIGN_URLS, "https://media.example.com/")],
)
def test_a_job_can_return_urls_of_another_host(fault: JobFault, origin: str) -> None:
    results = outcome(fault)["results"]
    assert results
    assert all(result["resultUrl"].startswith(f"{origin}media/") for result in results)


def test_a_job_can_return_null_for_every_url_without_an_error() -> None:
    job = outcome(JobFault.NULL_URLS)
    assert {(result["resultUrl"], result["errorMsg"]) for result in job["results"]} == {(None, None)}
    assert job["errorCount"] == 0


def test_a_job_can_be_lost_halfway() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script_jobs(JobFault.LOST)
        job_id = (await submit(http, *ids_of(simulator, 4))).json()["id"]
        await clock.sleep(1.0)
        assert (await status(http, job_id))["resultCount"] == 1
        await clock.sleep(1.0)
        return (await http.get(f"{BATCH}/{job_id}")).json()["code"]

    code, _ = in_virtual_time(scenario, batch=STEADY, organization=ONE_EACH)
    assert code == "batch.download.job.not.found"


def test_a_job_can_be_unknown_for_its_first_seconds() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script_jobs(JobFault.NOT_THERE_YET)
        job_id = (await submit(http, *ids_of(simulator, 1))).json()["id"]
        found = []
        for _ in range(3):
            found.append((await http.get(f"{BATCH}/{job_id}")).status_code)
            await clock.sleep(1.0)
        return found

    assert in_virtual_time(scenario, batch=BatchSettings(unseen_seconds=1.5))[0] == [404, 404, 200]


def test_a_job_can_have_no_status() -> None:
    job = outcome(JobFault.NO_STATUS)
    assert "status" not in job
    assert len(job["results"]) == 4


def test_a_job_can_be_completed_without_its_results() -> None:
    job = outcome(JobFault.NULL_RESULTS)
    assert (job["status"], job["resultCount"], job["results"]) == ("Completed", 4, None)


def test_a_job_can_have_members_of_other_types() -> None:
    job = outcome(JobFault.WRONG_TYPES)
    assert (job["resultCount"], job["expectedResultCount"]) == ("4", "4")
    assert job["results"][4:] == [None, "result"]


def test_a_job_can_have_results_without_their_conversation() -> None:
    results = outcome(JobFault.NO_CONVERSATION_IDS)["results"]
    assert [result["conversationId"] for result in results] == [None] * 4
    assert all(result["recordingId"] for result in results)


@pytest.mark.parametrize("fault", [JobFault.REPLY_CUT, JobFault.REPLY_HANGS, JobFault.REPLY_503])
def test_a_submission_can_be_accepted_without_a_job_id_in_its_reply(fault: JobFault) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script_jobs(fault)
        with suppress(httpx.RemoteProtocolError):
            assert (await submit(http, *ids_of(simulator, 1))).status_code == 503
        (job,) = simulator.batch_jobs
        assert (await status(http, job.id))["id"] == job.id
        assert (simulator.counts.api_ok, simulator.counts.in_flight) == (1, 0)

    in_virtual_time(scenario)


def test_a_submission_whose_reply_is_lost_has_made_a_job() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script_jobs(JobFault.REPLY_LOST)
        with pytest.raises(httpx.ReadError):
            await submit(http, *ids_of(simulator, 1))
        (job,) = simulator.batch_jobs
        assert (await status(http, job.id))["status"] == "InProgress"
        assert (simulator.counts.api_requests, simulator.counts.api_ok, simulator.counts.in_flight) == (2, 1, 0)

    in_virtual_time(scenario)


def test_job_faults_can_happen_by_probability() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        for _ in range(100):
            await submit(http, *ids_of(simulator, 1))
        return Counter(job.fault for job in simulator.batch_jobs)

    chances = {JobFault.LOST: 0.2, JobFault.NULL_URLS: 0.3}
    met, _ = in_virtual_time(scenario, batch=BatchSettings(faults=chances))
    assert met.keys() == {None, JobFault.LOST, JobFault.NULL_URLS}


@pytest.mark.parametrize("fault", [Fault.EMPTY_URL, Fault.HTTP_URL, Fault.WRONG_TYPES, Fault.MISSING_FIELDS])
def test_a_reply_fault_spoils_every_result(fault: Fault) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job_id = (await submit(http, *ids_of(simulator, 3))).json()["id"]
        await clock.sleep(100.0)
        simulator.script(fault, operation="getRecordingBatchrequest")
        spoiled = await status(http, job_id)
        assert simulator.counts.faults == {fault: 1}
        return spoiled, await status(http, job_id)

    (spoiled, good), _ = in_virtual_time(scenario, organization=ONE_EACH)
    assert good["status"] == "Completed"
    urls = {result["resultUrl"].partition("/media/")[0] for result in spoiled["results"]}
    if fault is Fault.EMPTY_URL:
        assert urls == {""}
    elif fault is Fault.HTTP_URL:
        assert urls == {"http://media.example.com"}
    elif fault is Fault.WRONG_TYPES:
        assert spoiled["expectedResultCount"] == "3"
    else:
        assert not {"status", "id", "jobId"} & spoiled.keys()
        assert all("contentType" not in result for result in spoiled["results"])
