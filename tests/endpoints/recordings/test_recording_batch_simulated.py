"""Batches of recordings, against the simulator."""

from __future__ import annotations

import heapq
import json
from collections import Counter

import httpx
import pytest

from genesys_media_async import (
    GenesysMediaError,
    MediaResult,
    MediaRetriever,
    QuotaLimit,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.events import BatchCompleted, BatchSubmitted
from genesys_media_async.simulator import (
    BatchSettings,
    Fault,
    JobFault,
    OAuthClient,
    OrganizationSettings,
    Quota,
    Simulator,
    SimulatorSettings,
)
from tests.support.batch_runs import (
    VIEW,
    World,
    conversations,
    events_of,
    recordings,
)
from tests.support.retrievers import settings_for


class TestAgainstSimulator:
    def test_a_conversation_has_all_its_recordings_with_all_their_parts(self) -> None:
        organization = OrganizationSettings(recordings=(2, 3), two_part_share=0.5)
        world = World(conversations(150), organization=organization)
        expected = Counter[str]()
        for conversation in world.ids:
            found = world.simulator.organization.conversation(conversation)
            assert found is not None
            expected[conversation] = sum(each.parts for each in world.simulator.organization.recordings_of(found))
        assert Counter(result.file_id for result in world.results) == expected
        assert all(result.ok for result in world.results)
        media = [result.media_id for result in world.results]
        assert len(set(media)) == len(media)
        assert world.statistics.done == 150
        assert world.statistics.succeeded == len(media)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (JobFault.NOT_THERE_YET, None),
            (JobFault.NO_STATUS, None),
            (JobFault.WRONG_TYPES, None),
            (JobFault.NO_CONVERSATION_IDS, None),
            (JobFault.NULL_RESULTS, "batch_state_unknown"),
            (JobFault.NEVER_COMPLETES, "batch_never_completed"),
            (JobFault.LOST, "batch_download_job_not_found"),
            (JobFault.UNKNOWN_STATUS, None),
            (JobFault.DUPLICATE_RESULTS, None),
            (JobFault.UNREQUESTED_RESULTS, None),
            (JobFault.MISSING_RESULTS, "recording_not_in_batch"),
            (JobFault.NULL_URLS, "no_url"),
            (JobFault.HTTP_URLS, "url_not_https"),
            (JobFault.FOREIGN_URLS, "host_refused"),
        ],
    )
    def test_a_faulty_job_has_one_result_for_each_id_and_does_not_affect_the_others(
        self, fault: JobFault, code: str | None
    ) -> None:
        rule = ValidationRule(allowed_hosts=("127.0.0.1",))
        overrides = {"rule": rule, "concurrency": 1}
        world = World(recordings(250), faults=(None, fault, None), overrides=overrides)
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        assert set(world.codes.values()) == {None, code}
        failed = {each for each, error in world.codes.items() if error is not None}
        assert failed <= set(world.ids[100:200])
        assert bool(failed) is (code is not None)
        assert len(world.simulator.batch_jobs) == 3

    def test_jobs_lost_in_a_restart_fail_and_the_others_go_on(self) -> None:
        forgotten = False

        def forget(world: World, result: MediaResult) -> None:
            nonlocal forgotten
            if result.ok and not forgotten:
                forgotten = True
                world.simulator.forget_jobs()

        world = World(recordings(400), during=forget, overrides={"concurrency": 1}, endpoint=RecordingBatch(jobs=2))
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        lost = [result.error for result in world.results if not result.ok]
        assert {error.code for error in lost} == {"batch_download_job_not_found"}
        assert all(error.retryable for error in lost)
        assert sum(result.ok for result in world.results) >= 200

    def test_archived_failing_and_sensitive_recordings_have_their_errors(self) -> None:
        organization = OrganizationSettings(
            recordings=(1, 1), two_part_share=0.0, archived_share=0.2, failing_share=0.2, sensitive_share=0.2
        )
        client = OAuthClient("demo-client", "demo-secret", VIEW)
        world = World(recordings(200), organization=organization, client=client)
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        kinds = Counter(world.codes.values())
        assert set(kinds) == {None, "recording_archived", "recording_failed", "recording_not_in_batch"}
        assert min(kinds.values()) >= 10

    def test_unknown_and_invalid_ids_fail_alone(self) -> None:
        def ids(simulator: Simulator) -> list[str]:
            good = recordings(3)(simulator)
            return [*good, "no-such-conversation", "no/such", "a/b/c", "../x", "", "a b", good[0].partition("/")[0]]

        for unknown in ("error", "silent"):
            world = World(ids, batch=BatchSettings(unknown=unknown))
            assert [result.ok for result in world.results].count(True) == 4
            failed = {result.file_id: result.error.code for result in world.results if not result.ok}
            code = "recording_failed" if unknown == "error" else "recording_not_in_batch"
            assert failed == {
                "no-such-conversation": code,
                "no/such": code,
                **dict.fromkeys(["a/b/c", "../x", "", "a b"], "invalid_file_id"),
            }

    def test_without_the_permission_everything_fails_at_the_submission_and_the_error_names_it(self) -> None:
        client = OAuthClient("demo-client", "demo-secret", frozenset())
        world = World(recordings(120), client=client)
        assert set(world.codes.values()) == {"missing_any_permissions"}
        assert len(world.codes) == 120
        assert world.simulator.counts.api_requests == 2
        assert "recording:recording:view" in str(world.results[0].error)

    def test_a_long_outage_during_the_polls_costs_no_result(self) -> None:
        outage = (Fault.SERVER_ERROR_503,) * 12
        world = World(recordings(100), script=outage, operation="getRecordingBatchrequest")
        assert set(world.codes.values()) == {None}
        assert world.clock.monotonic() < 120

    def test_urls_without_an_expiry_have_the_lifetime_of_the_settings(self) -> None:
        styles = {"batch": "cloudfront-policy"}
        world = World(recordings(300), batch=BatchSettings(url_minutes=7), url_styles=styles)
        assert {result.unwrap().expiry_source for result in world.results} == {"settings"}
        assert {result.unwrap().expires_in for result in world.results} == {420}
        assert len(world.records("recording.settings")) == 1
        refused = World(
            recordings(300),
            batch=BatchSettings(url_minutes=7),
            url_styles=styles,
            operation_permissions={"getRecordingSettings": frozenset({"recording:settings:view"})},
            client=OAuthClient("demo-client", "demo-secret", VIEW),
        )
        assert {result.unwrap().expiry_source for result in refused.results} == {"default"}
        assert {result.unwrap().expires_in for result in refused.results} == {3_600}
        assert len(refused.records("recording.settings")) == 1

    def test_a_shorter_requested_lifetime_refuses_nothing(self) -> None:
        assert set(World(recordings(3), overrides={"expires_in": 60}).codes.values()) == {None}
        strict = World(recordings(3), overrides={"rule": ValidationRule(max_lifetime=60)})
        assert set(strict.codes.values()) == {"lifetime_too_long"}

    def test_no_more_jobs_are_in_progress_than_allowed_and_little_is_read_ahead(self) -> None:
        world = World(recordings(400), endpoint=RecordingBatch(10, jobs=3), overrides={"concurrency": 2})
        under_way, most = 0, 0
        for event in events_of(world.events.events, BatchSubmitted, BatchCompleted):
            under_way += 1 if isinstance(event, BatchSubmitted) else -1
            most = max(most, under_way)
        assert (most, under_way) == (3, 0)
        assert len(world.simulator.batch_jobs) == 40
        assert set(world.codes.values()) == {None}

    def test_the_schedule_copes_with_jobs_that_wait_for_each_other(self) -> None:
        world = World(recordings(1_000), batch=BatchSettings(concurrent_jobs=1))
        assert set(world.codes.values()) == {None}
        assert world.statistics.requests <= 60
        assert world.clock.monotonic() < 160

    def test_the_audit_trail_names_every_request_and_every_result_and_no_url(self) -> None:
        world = World(recordings(101))
        submitted = [record.file_id for record in world.records("recording_batch.submit")]
        assert submitted == [f"{world.ids[0]} +99", world.ids[100]]
        jobs = {job.id for job in world.simulator.batch_jobs}
        assert {record.file_id for record in world.records("recording_batch.poll")} == jobs
        assert sorted(record.file_id for record in world.records("recording_batch.result")) == sorted(world.ids)
        attempts = [record for record in world.audit.events if not record.as_dict()["action"].endswith(".result")]  # type: ignore[union-attr]
        assert len(attempts) == world.simulator.counts.api_requests
        assert "Signature" not in json.dumps([event.as_dict() for event in (*world.audit.events, *world.events.events)])
        assert {event.job_id for event in events_of(world.events.events, BatchSubmitted)} == jobs

    def test_a_single_recording_can_be_retrieved(self) -> None:
        clock = VirtualClock()
        simulator = Simulator(
            SimulatorSettings(organization=OrganizationSettings(recordings=(2, 2), two_part_share=0.0)), clock=clock
        )
        retriever = MediaRetriever(
            settings_for(simulator), endpoint=RecordingBatch(), transport=simulator.transport(), clock=clock
        )

        async def retrieve() -> None:
            (recording,) = recordings(1)(simulator)
            async with retriever:
                assert (await retriever.retrieve(recording)).content_type
                with pytest.raises(GenesysMediaError, match="has 2 media") as raised:
                    await retriever.retrieve(recording.partition("/")[0])
                assert raised.value.code == "several_media"

        clock.run(retrieve())

    def test_a_consumer_slower_than_the_lifetime_gets_fresh_urls_of_the_same_media(self) -> None:
        def linger(world: World, result: MediaResult) -> None:
            assert result.unwrap().ends_at > world.clock.wall()
            world.clock.advance(40.0)

        world = World(
            conversations(3),
            organization=OrganizationSettings(recordings=(2, 2), two_part_share=0.0),
            batch=BatchSettings(url_minutes=2),
            during=linger,
        )
        media = [result.media_id for result in world.results]
        assert len(set(media)) == len(media) == 6
        assert len(world.simulator.batch_jobs) > 1

    def test_under_many_faults_every_id_has_its_results(self) -> None:
        faults = dict.fromkeys(JobFault, 0.02)
        world = World(
            recordings(1_500),
            endpoint=RecordingBatch(10, timeout=120.0),
            organization=OrganizationSettings(conversations=1_500, recordings=(1, 1), two_part_share=0.0),
            batch=BatchSettings(faults=faults),
        )
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        assert sum(result.ok for result in world.results) > 1_000


@pytest.mark.anyio
async def test_over_sockets_every_recording_of_a_mixed_input_has_a_url_that_downloads_it() -> None:
    organization = OrganizationSettings(conversations=30, recordings=(1, 2), archived_share=0.2)
    simulated = SimulatorSettings(organization=organization, batch=BatchSettings(seconds_per_recording=0.01))
    async with Simulator(simulated) as simulator:
        named = recordings(15)(simulator)
        whole = [each.id for each in simulator.organization.conversations()]
        async with MediaRetriever(settings_for(simulator), endpoint=RecordingBatch(8)) as retriever:
            results = await retriever.retrieve_all([*named, *whole])
        assert list(dict.fromkeys(result.file_id for result in results)) == [*named, *whole]
        states = {f"{each.conversation_id}/{each.id}": each.file_state for each in simulator.organization.recordings()}
        of_conversations = [result for result in results if result.file_id in whole]
        assert {"/".join((result.media_id or "").split("/")[:2]) for result in of_conversations} == set(states)
        archived = {result.media_id for result in results if not result.ok}
        assert archived == {each for each, state in states.items() if state == "ARCHIVED"}
        async with httpx.AsyncClient() as http:
            for result in [result for result in results if result.ok][:5]:
                assert (await http.get(result.unwrap().url)).status_code == 200


def test_ten_thousand_recordings_would_cost_few_requests_and_little_more_time_than_their_jobs() -> None:
    """The figures of benchmarks/sources.py, with fewer recordings."""
    count = 3_200
    world = World(
        recordings(count),
        endpoint=RecordingBatch(jobs=8),
        quota=Quota(limit=300, seconds=60.0),
        organization=OrganizationSettings(conversations=count, recordings=(1, 1), media=("audio",), two_part_share=0.0),
        overrides={"quota": QuotaLimit(limit=300, seconds=60.0)},
    )
    assert set(world.codes.values()) == {None}
    assert len(world.results) == count
    assert world.simulator.counts.api_requests / count <= 0.03
    free_at = [0.0] * 8
    for job in world.simulator.batch_jobs:
        heapq.heapreplace(free_at, free_at[0] + job.ends_at - job.begins_at)
    assert world.clock.monotonic() <= 1.1 * max(free_at)
