"""Single recordings and whole conversations: what is asked for, how transcoding is waited for, and what comes of it."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import (
    DeadlineExceededError,
    InternalServerError,
    MediaResult,
    MediaRetriever,
    MemorySink,
    NotFoundError,
    PermissionDeniedError,
    SettingsError,
    ValidationRule,
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
from genesys_media_async.transports import HttpReply
from tests.support.retrievers import collect, settings_for
from tests.test_cancellation import Stop, end_of
from tests.test_endpoints import ScriptedAssignment, codes, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.api.calls import Call
    from genesys_media_async.errors import GenesysMediaError

ONE = "conversation-1/recording-1"
ALL = "conversation-1"
EMPTY_202 = HttpReply(202, {}, b"")


def recording(record_id: str = "recording-1", *, state: Any = "AVAILABLE", **media: Any) -> dict:
    uris = {key: {"mediaUri": uri, "waveformData": [0.0, 0.5]} for key, uri in media.items()}
    return {"id": record_id, "conversationId": "conversation-1", "fileState": state, "mediaUris": uris or None}


def signed(name: str) -> str:
    return f"https://media.example.com/{name}?Signature=canary"


def transcoding(**body: Any) -> HttpReply:
    return json_reply({**recording(), **body}, status=202)


def scripted(*replies: HttpReply | GenesysMediaError, rule: ValidationRule | None = None) -> ScriptedAssignment:
    """An context whose recording is asked for with these replies, the last of them for ever."""
    said = list(replies)

    def reply(call: Call[Any]) -> HttpReply | GenesysMediaError:
        if call.path == "/api/v2/recording/settings":
            return json_reply({"recordingPlaybackUrlTtl": 20})
        return said.pop(0) if len(said) > 1 else said[0]

    return ScriptedAssignment(reply, rule)


def asked(endpoint: Recording, file_id: str) -> tuple[str, dict[str, list[str]]]:
    context = scripted(json_reply(recording(S=signed("a"))))
    context.run(endpoint, file_id)
    parts = urlsplit(context.calls[0].path)
    return parts.path, parse_qs(parts.query)


class TestTheOptions:
    def test_that_are_not_given_are_not_sent(self) -> None:
        path = "/api/v2/conversations/conversation-1/recordings"
        assert asked(Recording(), ONE) == (f"{path}/recording-1", {})
        assert asked(Recording(), ALL) == (path, {})

    def test_are_sent_under_genesyss_names(self) -> None:
        endpoint = Recording("WAV", ["MP3", "OGG_OPUS"], download=True, file_name="call 1 & 2.wav")
        _, query = asked(endpoint, ONE)
        assert query == {
            "formatId": ["WAV"],
            "mediaFormats": ["MP3,OGG_OPUS"],
            "download": ["true"],
            "fileName": ["call 1 & 2.wav"],
        }
        assert repr(Recording("WAV")) == "<Recording formatId=WAV>"

    def test_for_a_file_to_keep_cannot_be_had_for_a_whole_conversation(self) -> None:
        assert Recording().forms == ("conversationId/recordingId", "conversationId")
        assert Recording(download=True).forms == ("conversationId/recordingId",)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"format_id": "FLAC"}, "format_id"),
            ({"format_id": "wav"}, "format_id"),
            ({"media_formats": ["WAV", "FLAC"]}, "media_formats"),
            ({"media_formats": "WAV"}, "media_formats"),
            ({"file_name": "a.wav"}, "file_name"),
            ({"download": True, "file_name": ""}, "file_name"),
            ({"download": True, "file_name": "a\r\nb"}, "file_name"),
            ({"patience": 0.0}, "patience"),
        ],
    )
    def test_that_cannot_work_are_refused_before_anything_is_sent(self, options: Any, named: str) -> None:
        with pytest.raises(SettingsError, match=named):
            Recording(**options)


class TestWaiting:
    def test_follows_the_estimate_and_holds_no_place(self) -> None:
        context = scripted(transcoding(estimatedTranscodeTimeMs=7_000), json_reply(recording(S=signed("a"))))
        (told,) = context.run(Recording(), ONE)
        assert told.ok
        assert told.attempts == 2
        assert len(context.waits) == 1
        assert 7.0 <= context.waits[0] <= 7.4

    def test_follows_what_the_reply_asks_for_if_that_is_longer(self) -> None:
        later = json_reply({**recording(), "estimatedTranscodeTimeMs": 2_000}, status=202, retry_after="9")
        context = scripted(later, json_reply(recording(S=signed("a"))))
        context.run(Recording(), ONE)
        assert 9.0 <= context.waits[0] <= 9.5

    @pytest.mark.parametrize("estimate", [None, -1, "soon", [], 0, 1e300])
    @pytest.mark.parametrize("file_id", [ONE, ALL])
    def test_without_a_usable_estimate_grows_up_to_its_patience(self, estimate: Any, file_id: str) -> None:
        context = scripted(transcoding(estimatedTranscodeTimeMs=estimate))
        (told,) = context.run(Recording(patience=300.0), file_id)
        assert isinstance(told.error, DeadlineExceededError)
        assert told.error.code == "never_transcoded"
        assert told.error.retryable
        assert context.clock.monotonic() == pytest.approx(300.0)
        assert len(context.calls) < 20
        assert context.waits[:-1] == sorted(context.waits[:-1])

    def test_takes_an_estimate_of_nearly_nothing_no_more_often_than_none(self) -> None:
        context = scripted(transcoding(estimatedTranscodeTimeMs=1))
        context.run(Recording(patience=300.0), ONE)
        assert len(context.calls) < 20

    def test_an_empty_202_is_not_taken_for_no_recordings(self) -> None:
        listed = json_reply([recording(S=signed("a"))])
        (told,) = scripted(EMPTY_202, EMPTY_202, listed).run(Recording(), ALL)
        assert told.ok
        assert told.attempts == 3

    def test_an_error_ends_it(self) -> None:
        (told,) = scripted(transcoding(), InternalServerError("It is down.")).run(Recording(), ONE)
        assert isinstance(told.error, InternalServerError)
        assert told.attempts == 2


class TestTheMedia:
    def test_the_only_medium_of_a_recording_is_the_recording(self) -> None:
        (told,) = scripted(json_reply(recording(S=signed("a")))).run(Recording(), ONE)
        assert (told.media_id, told.unwrap().url) == (None, signed("a"))

    def test_several_are_told_each_under_its_key(self) -> None:
        media = {"0": signed("left"), "1": signed("right")}
        told = scripted(json_reply(recording(**media))).run(Recording(), ONE)
        assert [(result.media_id, result.unwrap().url) for result in told] == [
            (f"{ONE}/0", signed("left")),
            (f"{ONE}/1", signed("right")),
        ]

    def test_those_of_a_conversation_are_told_each_under_its_recording(self) -> None:
        listed = [
            recording("r-1", S=signed("a")),
            recording("r-2", **{"0": signed("b"), "1": signed("c")}),
            recording("r-3", state="ARCHIVED"),
        ]
        told = scripted(json_reply(listed)).run(Recording(), ALL)
        assert codes(told) == {
            f"{ALL}/r-1": None,
            f"{ALL}/r-2/0": None,
            f"{ALL}/r-2/1": None,
            f"{ALL}/r-3": "recording_archived",
        }
        assert {result.file_id for result in told} == {ALL}

    def test_an_empty_list_is_a_failure(self) -> None:
        (told,) = scripted(json_reply([])).run(Recording(), ALL)
        assert isinstance(told.error, NotFoundError)
        assert told.error.code == "no_recordings"
        assert "It was not recorded" in str(told.error)

    @pytest.mark.parametrize(
        ("state", "code", "retryable", "advice"),
        [
            ("ARCHIVED", "recording_archived", False, "recording:recording:restore"),
            ("DELETED", "recording_deleted", False, "remove it from the input"),
            ("UPLOADING", "recording_uploading", True, "Ask again in some minutes"),
            ("RESTORING", "recording_restoring", True, "Ask again later"),
            ("ERROR", "recording_error", False, "support"),
            ("AVAILABLE", "no_playable_media", False, "download=True"),
            ("RESTORED", "no_playable_media", False, "download=True"),
            ("SOMETHING_NEW", "no_playable_media", False, "SOMETHING_NEW"),
            (None, "no_playable_media", False, "not told"),
        ],
    )
    @pytest.mark.parametrize("uris", [None, {}])
    def test_a_recording_without_any_says_why_by_its_state(
        self, state: Any, code: str, retryable: bool, advice: str, uris: Any
    ) -> None:
        (told,) = scripted(json_reply({**recording(state=state), "mediaUris": uris})).run(Recording(), ONE)
        assert told.error is not None
        assert (told.error.code, told.error.retryable) == (code, retryable)
        assert advice in str(told.error)

    @pytest.mark.parametrize(
        ("uri", "rule", "code"),
        [
            (None, {}, "no_url"),
            ("", {}, "no_url"),
            ("http://media.example.com/a", {}, "url_not_https"),
            ("nonsense", {}, "url_malformed"),
            ("https://media.example.com/a", {"hosts": ("other.example.com",)}, "host_refused"),
            ("https://media.example.com/?Expires=1000", {}, "url_expired"),
            ("https://media.example.com/a", {"max_lifetime": 60}, "life_too_long"),
            ("https://media.example.com/a", {"content_types": ("audio/*",)}, "content_type_missing"),
            ("https://media.example.com/a", {"content_types": ("*/*",)}, None),
        ],
    )
    def test_a_url_that_breaks_the_rule_is_refused_with_the_reason(self, uri: Any, rule: Any, code: str) -> None:
        (told,) = scripted(json_reply(recording(S=uri)), rule=ValidationRule(**rule)).run(Recording(), ONE)
        assert (told.error and told.error.code) == code

    def test_a_key_is_foreign_text_and_cannot_break_a_line(self) -> None:
        told = scripted(json_reply(recording(**{"a\nb": signed("a"), "c" * 500: signed("b")}))).run(Recording(), ONE)
        assert told[0].media_id == f"{ONE}/a b"
        assert len(told[1].media_id or "") < 100

    @pytest.mark.parametrize(
        "body", [{}, [], {"id": 5}, {"id": "r", "mediaUris": []}, {"id": "r", "mediaUris": {"0": 1}}]
    )
    def test_another_shape_is_an_invalid_reply(self, body: object) -> None:
        (told,) = scripted(json_reply(body)).run(Recording(), ONE)
        assert told.error is not None
        assert told.error.code == "reply_shape"

    def test_lives_as_long_as_the_organisation_says_if_the_url_does_not(self) -> None:
        context = scripted(json_reply(recording(**{"0": signed("a"), "1": "https://m.example/?Expires=1700000090"})))
        told = context.run(Recording(download=True, file_name="a.wav"), ONE)
        lives = [(result.unwrap().expires_in, result.unwrap().expiry_source) for result in told]
        assert lives == [(1_200, "settings"), (90, "url")]
        assert {result.unwrap().file_name for result in told} == {"a.wav"}
        assert {result.unwrap().content_type for result in told} == {None}


class World:
    """One run against the simulator, on virtual time."""

    def __init__(
        self,
        ids: Callable[[Simulator], list[str]],
        *,
        endpoint: Recording | None = None,
        overrides: dict[str, Any] | None = None,
        **simulated: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.simulator = Simulator(SimulatorSettings(**{"quota": None, **simulated}), clock=self.clock)
        self.audit = MemorySink()
        self.ids = ids(self.simulator)
        self.results = self.clock.run(self._run(endpoint or Recording(), overrides or {}))

    async def _run(self, endpoint: Recording, overrides: dict[str, Any]) -> list[MediaResult]:
        retriever = MediaRetriever(
            settings_for(self.simulator, **overrides),
            endpoint=endpoint,
            transport=self.simulator.transport(),
            audit=[self.audit],
            clock=self.clock,
            rng=random.Random(7),
        )
        async with retriever:
            return await collect(retriever, self.ids)


def recordings(simulator: Simulator) -> list[str]:
    return [f"{each.conversation_id}/{each.id}" for each in simulator.organization.recordings()]


def conversations(simulator: Simulator) -> list[str]:
    return [each.id for each in simulator.organization.conversations()]


class TestAgainstTheSimulator:
    def test_every_part_of_every_recording_has_a_url_in_either_form(self) -> None:
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
            endpoint=Recording(patience=120.0),
            organization=OrganizationSettings(conversations=5, recordings=(1, 1), media=("audio",)),
            recording=RecordingSettings(transcode_seconds=float("inf"), estimate_factor=None),
        )
        assert set(codes(world.results).values()) == {"never_transcoded"}
        assert world.clock.monotonic() < 150.0
        assert world.simulator.counts.api_requests <= 5 * 13

    def test_states_without_media_are_failures_each_of_its_kind(self) -> None:
        clock_states = ["ARCHIVED", "DELETED", "UPLOADING", "RESTORING", "ERROR"]

        def ids(simulator: Simulator) -> list[str]:
            found = list(simulator.organization.recordings())
            for each, state in zip(found, clock_states, strict=False):
                simulator.organization.change(each.id, file_state=state)  # type: ignore[arg-type]
            simulator.organization.change(found[5].id, parts=0)
            return [f"{each.conversation_id}/{each.id}" for each in found]

        world = World(ids, organization=OrganizationSettings(conversations=8, recordings=(1, 1), two_part_share=0.0))
        failed = [result.error.code for result in world.results if result.error]
        assert sorted(failed) == sorted(
            [*(f"recording_{state.lower()}" for state in clock_states), "no_playable_media"]
        )
        assert len(world.results) == 8

    def test_what_does_not_exist_or_may_not_be_seen_is_said_in_genesyss_words(self) -> None:
        world = World(lambda _: ["nowhere", "nowhere/nothing", "a/b/c"])
        failed = {result.file_id: result.error.code for result in world.results if result.error}
        assert failed == {
            "nowhere": "conversation.not.found",
            "nowhere/nothing": "conversation.not.found",
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

    def test_settings_are_read_once_for_all_recordings_and_only_if_they_are_needed(self) -> None:
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

    def test_a_wish_for_a_shorter_life_refuses_nothing(self) -> None:
        world = World(recordings, organization=OrganizationSettings(conversations=3), overrides={"expires_in": 60})
        assert [result.ok for result in world.results] == [True] * len(world.ids)

    def test_under_faults_every_id_has_its_results(self) -> None:
        faults = dict.fromkeys([Fault.SERVER_ERROR_503, Fault.RESET_DURING_REPLY, Fault.TRUNCATED_JSON], 0.05)
        organization = OrganizationSettings(conversations=300, recordings=(1, 1), two_part_share=0.0)
        world = World(
            recordings, organization=organization, faults=faults, overrides={"retry": {"tries": 9, "base": 0.01}}
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

    ended = end_of(retrieve, stop, clock, simulator, finds=len(ids))
    records = [
        record
        for record in audit.events
        if isinstance(record, AttemptAudited) and record.attempt and not record.action.endswith(".result")
    ]
    assert len(records) == simulator.counts.api_requests, f"a request without its audit record at step {at}"
    return stop.steps, ended


def test_a_run_of_recordings_that_is_cancelled_at_any_step_leaves_nothing_behind() -> None:
    steps, ended = run_and_cancel(at=0)
    assert ended == "finished"
    assert steps > 50
    assert "cancelled" in {run_and_cancel(at)[1] for at in range(1, steps + 1)}


ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([]) | st.just({})
)
RECORDINGS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text() | ANYTHING,
        "fileState": st.sampled_from(["ARCHIVED", "AVAILABLE"]) | ANYTHING,
        "estimatedTranscodeTimeMs": ANYTHING,
        "mediaUris": st.dictionaries(st.text(), st.fixed_dictionaries({"mediaUri": st.text() | ANYTHING}), max_size=3)
        | ANYTHING,
    },
)
REPLIES = st.builds(
    json_reply,
    RECORDINGS | st.lists(RECORDINGS, max_size=3) | ANYTHING,
    st.sampled_from([200, 200, 200, 202, 202, 204, 307, 403, 404, 500]),
)


@given(replies=st.lists(REPLIES, min_size=1, max_size=4), file_id=st.sampled_from([ONE, ALL]))
@settings(deadline=None, max_examples=150)
def test_whatever_a_recording_is_said_to_be_there_is_a_result_and_nothing_raises(
    replies: list[HttpReply], file_id: str
) -> None:
    results = scripted(*replies).run(Recording(patience=100.0), file_id)
    assert {result.file_id for result in results} == {file_id}
    assert all((result.url is None) is (result.error is not None) for result in results)
