"""Single recordings and whole conversations, against the simulator."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import httpx
import pytest

from genesys_media_async import (
    MediaRetriever,
    MemorySink,
    PermissionDeniedError,
    VirtualClock,
)
from genesys_media_async.endpoints import Recording
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import (
    Fault,
    OAuthClient,
    OrganizationSettings,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.cancellation import Stop
from tests.support.cancelled_runs import end_of
from tests.support.recording_runs import World, conversations, recordings
from tests.support.retrievers import collect, settings_for
from tests.support.scripted_context import codes


class TestAgainstSimulator:
    def test_every_part_of_every_recording_has_a_url_by_either_id(self) -> None:
        organization = OrganizationSettings(conversations=40, two_part_share=0.5)
        by_recording, by_conversation = (World(ids, organization=organization) for ids in (recordings, conversations))
        parts = sum(each.parts for each in by_recording.simulator.organization.recordings())
        for world in (by_recording, by_conversation):
            assert all(result.ok for result in world.results)
            assert len(world.results) == len({result.unwrap().url for result in world.results}) == parts
            assert {result.file_id for result in world.results} == set(world.ids)
        assert {result.unwrap().expiry_source for result in by_recording.results} == {"url"}

    def test_a_transcoding_costs_two_requests_and_the_time_of_all_together(self) -> None:
        organization = OrganizationSettings(conversations=300, recordings=(1, 1))
        world = World(
            recordings,
            organization=organization,
            recording=RecordingSettings(transcode_seconds=20.0, spread=0.0),
            overrides={"concurrency": 4},
        )
        assert all(result.ok for result in world.results)
        assert world.simulator.counts.api_requests == 600
        # Four workers that waited in their places would have needed 1,500 s.
        assert world.clock.monotonic() < 25.0

    @pytest.mark.parametrize("ids", [recordings, conversations])
    def test_a_transcoding_that_never_ends_is_bounded(self, ids: Any) -> None:
        world = World(
            ids,
            endpoint=Recording(timeout=120.0),
            organization=OrganizationSettings(conversations=5, recordings=(1, 1), media=("audio",)),
            recording=RecordingSettings(transcode_seconds=float("inf"), estimate_factor=None),
        )
        assert set(codes(world.results).values()) == {"never_transcoded"}
        assert world.clock.monotonic() < 150.0
        assert world.simulator.counts.api_requests <= 5 * 13

    def test_each_state_without_media_has_its_error(self) -> None:
        clock_states = ["ARCHIVED", "DELETED", "UPLOADING", "RESTORING", "ERROR"]

        def ids(simulator: Simulator) -> list[str]:
            found = list(simulator.organization.recordings())
            for each, state in zip(found, clock_states, strict=False):
                simulator.organization.change(each.id, file_state=state)  # type: ignore[arg-type]
            simulator.organization.change(found[5].id, parts=0)
            return [f"{each.conversation_id}/{each.id}" for each in found]

        world = World(ids, organization=OrganizationSettings(conversations=8, recordings=(1, 1), two_part_share=0.0))
        failed = [result.error.code for result in world.results if not result.ok]
        assert sorted(failed) == sorted(
            [*(f"recording_{state.lower()}" for state in clock_states), "no_playable_media"]
        )
        assert len(world.results) == 8

    def test_missing_and_forbidden_recordings_have_genesyss_codes(self) -> None:
        world = World(lambda _: ["nowhere", "nowhere/nothing", "a/b/c"])
        failed = {result.file_id: result.error.code for result in world.results if not result.ok}
        assert failed == {
            "nowhere": "conversation_not_found",
            "nowhere/nothing": "conversation_not_found",
            "a/b/c": "invalid_file_id",
        }
        client = OAuthClient("demo-client", "demo-secret", frozenset())
        refused = World(lambda simulator: [recordings(simulator)[0], conversations(simulator)[0]], clients=(client,))
        assert all(isinstance(result.error, PermissionDeniedError) for result in refused.results)
        assert all("recording:recording:view" in str(result.error) for result in refused.results)

    def test_a_conversation_without_recordings_is_a_failure(self) -> None:
        world = World(conversations, organization=OrganizationSettings(conversations=1, recordings=(0, 0)))
        assert list(codes(world.results).values()) == ["no_recordings"]

    def test_a_file_to_keep_is_one_file_for_all_channels(self) -> None:
        organization = OrganizationSettings(conversations=3, recordings=(1, 1), media=("audio",), two_part_share=1.0)
        world = World(
            recordings, endpoint=Recording("WAV", download=True, file_name="a.wav"), organization=organization
        )
        assert len(world.results) == 3
        assert {result.unwrap().file_name for result in world.results} == {"a.wav"}
        whole = World(conversations, endpoint=Recording(download=True), organization=organization)
        assert set(codes(whole.results).values()) == {"invalid_file_id"}
        assert "conversationId/recordingId" in str(whole.results[0].error)

    def test_settings_are_read_once_and_only_if_they_are_needed(self) -> None:
        def settings_read(**simulated: Any) -> tuple[int, set[tuple[int, str]]]:
            organization = OrganizationSettings(conversations=20)
            once = RecordingSettings(url_minutes=9)
            world = World(recordings, recording=once, organization=organization, **simulated)
            urls = [result.unwrap() for result in world.results]
            records = [event for event in world.audit.events if isinstance(event, AttemptAudited)]
            return sum(record.action == "recording.settings" for record in records), {
                (url.expires_in, url.expiry_source) for url in urls
            }

        assert settings_read(url_styles={"recording": "cloudfront-policy"}) == (1, {(540, "settings")})
        # A signed URL ends at a whole second.
        assert settings_read(url_styles={"recording": "cloudfront"}) == (0, {(539, "url")})

    def test_a_shorter_requested_lifetime_refuses_nothing(self) -> None:
        world = World(recordings, organization=OrganizationSettings(conversations=3), overrides={"expires_in": 60})
        assert [result.ok for result in world.results] == [True] * len(world.ids)

    def test_under_faults_every_id_has_its_results(self) -> None:
        faults = dict.fromkeys([Fault.SERVER_ERROR_503, Fault.RESET_DURING_REPLY, Fault.TRUNCATED_JSON], 0.05)
        organization = OrganizationSettings(conversations=300, recordings=(1, 1), two_part_share=0.0)
        world = World(
            recordings,
            organization=organization,
            faults=faults,
            overrides={"retry": {"max_attempts": 9, "base_delay": 0.01}},
        )
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        assert all(result.ok for result in world.results)


@pytest.mark.anyio
@pytest.mark.parametrize("form", [recordings, conversations])
async def test_over_sockets_every_recording_has_a_url_that_downloads_it(form: Any) -> None:
    organization = OrganizationSettings(conversations=12, recordings=(1, 2), two_part_share=0.5)
    simulated = SimulatorSettings(
        organization=organization, recording=RecordingSettings(transcode_seconds=0.1), quota=None
    )
    async with Simulator(simulated) as simulator:
        async with MediaRetriever(settings_for(simulator), endpoint=Recording()) as retriever:
            results = await retriever.retrieve_all(form(simulator))
        parts = sum(each.parts for each in simulator.organization.recordings())
        assert len(results) == parts
        async with httpx.AsyncClient() as http:
            for result in results[:5]:
                assert (await http.get(result.unwrap().url)).status_code == 200


def run_and_cancel(at: int) -> tuple[int, str]:
    clock = VirtualClock()
    simulated = SimulatorSettings(
        quota=None,
        latency=0.05,
        organization=OrganizationSettings(conversations=3, recordings=(1, 2)),
        url_styles={"recording": "cloudfront-policy"},
    )
    simulator = Simulator(simulated, clock=clock)
    ids = [*conversations(simulator), *recordings(simulator)]
    audit = MemorySink()
    stop = Stop(at)

    async def retrieve() -> int:
        retriever = MediaRetriever(
            settings_for(simulator),
            endpoint=Recording(),
            transport=simulator.transport(),
            audit=[audit],
            clock=clock,
            rng=random.Random(1),
        )
        async with retriever:
            results = await collect(retriever, ids, concurrency=2)
            return len({result.file_id for result in results})

    ended = end_of(retrieve, stop, clock, simulator, audit, finds=len(ids))
    return stop.steps, ended


def test_a_run_of_recordings_that_is_cancelled_at_any_step_leaves_nothing_behind() -> None:
    steps, ended = run_and_cancel(at=0)
    assert ended == "finished"
    assert steps > 50
    assert "cancelled" in {run_and_cancel(at)[1] for at in range(1, steps + 1)}
