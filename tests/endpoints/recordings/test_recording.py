"""Single recordings and whole conversations, with scripted replies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import (
    DeadlineExceededError,
    InternalServerError,
    NotFoundError,
    SettingsError,
    ValidationRule,
)
from genesys_media_async.endpoints import Recording
from genesys_media_async.transports import HttpReply
from tests.support.scripted_context import ScriptedContext, code, codes, in_turn, json_reply

if TYPE_CHECKING:
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


def scripted(*replies: HttpReply | GenesysMediaError, rule: ValidationRule | None = None) -> ScriptedContext:
    """A context in which the recording has these replies in turn, the last one from then on."""
    script = in_turn(*replies)
    settings = json_reply({"recordingPlaybackUrlTtl": 20})
    return ScriptedContext(lambda call: settings if call.path == "/api/v2/recording/settings" else script(call), rule)


def request_of(endpoint: Recording, file_id: str) -> tuple[str, dict[str, list[str]]]:
    context = scripted(json_reply(recording(S=signed("a"))))
    context.run(endpoint, file_id)
    parts = urlsplit(context.calls[0].path)
    return parts.path, parse_qs(parts.query)


class TestOptions:
    def test_that_are_left_out_are_not_sent(self) -> None:
        path = "/api/v2/conversations/conversation-1/recordings"
        assert request_of(Recording(), ONE) == (f"{path}/recording-1", {})
        assert request_of(Recording(), ALL) == (path, {})

    def test_are_sent_with_genesyss_names(self) -> None:
        endpoint = Recording("WAV", ["MP3", "OGG_OPUS"], download=True, file_name="call 1 & 2.wav")
        _, query = request_of(endpoint, ONE)
        assert query == {
            "formatId": ["WAV"],
            "mediaFormats": ["MP3,OGG_OPUS"],
            "download": ["true"],
            "fileName": ["call 1 & 2.wav"],
        }
        assert repr(Recording("WAV")) == "<Recording formatId=WAV>"

    def test_of_a_file_to_keep_work_for_single_recordings_only(self) -> None:
        assert Recording().id_formats == ("conversationId/recordingId", "conversationId")
        assert Recording(download=True).id_formats == ("conversationId/recordingId",)

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
            ({"timeout": 0.0}, "timeout"),
        ],
    )
    def test_that_are_not_valid_are_refused_before_anything_is_sent(self, options: Any, named: str) -> None:
        with pytest.raises(SettingsError, match=named):
            Recording(**options)


class TestWaiting:
    def test_follows_the_estimate(self) -> None:
        context = scripted(transcoding(estimatedTranscodeTimeMs=7_000), json_reply(recording(S=signed("a"))))
        (result,) = context.run(Recording(), ONE)
        assert result.ok
        assert result.attempts == 2
        assert len(context.waits) == 1
        assert 7.0 <= context.waits[0] <= 7.4

    def test_follows_retry_after_if_that_is_longer(self) -> None:
        later = json_reply({**recording(), "estimatedTranscodeTimeMs": 2_000}, status=202, retry_after="9")
        context = scripted(later, json_reply(recording(S=signed("a"))))
        context.run(Recording(), ONE)
        assert 9.0 <= context.waits[0] <= 9.5

    @pytest.mark.parametrize("estimate", [None, -1, "soon", [], 0, 1e300])
    @pytest.mark.parametrize("file_id", [ONE, ALL])
    def test_without_a_usable_estimate_grows_until_the_timeout(self, estimate: Any, file_id: str) -> None:
        context = scripted(transcoding(estimatedTranscodeTimeMs=estimate))
        (result,) = context.run(Recording(timeout=300.0), file_id)
        assert isinstance(result.error, DeadlineExceededError)
        assert result.error.code == "never_transcoded"
        assert result.error.retryable
        assert context.clock.monotonic() == pytest.approx(300.0)
        assert len(context.calls) < 20
        assert context.waits[:-1] == sorted(context.waits[:-1])

    def test_is_not_more_frequent_with_a_tiny_estimate_than_without(self) -> None:
        context = scripted(transcoding(estimatedTranscodeTimeMs=1))
        context.run(Recording(timeout=300.0), ONE)
        assert len(context.calls) < 20

    def test_an_empty_202_does_not_mean_no_recordings(self) -> None:
        listed = json_reply([recording(S=signed("a"))])
        (result,) = scripted(EMPTY_202, EMPTY_202, listed).run(Recording(), ALL)
        assert result.ok
        assert result.attempts == 3

    def test_an_error_ends_it(self) -> None:
        (result,) = scripted(transcoding(), InternalServerError("It is down.")).run(Recording(), ONE)
        assert isinstance(result.error, InternalServerError)
        assert result.attempts == 2


class TestMedia:
    def test_the_only_medium_of_a_recording_is_the_recording(self) -> None:
        (result,) = scripted(json_reply(recording(S=signed("a")))).run(Recording(), ONE)
        assert (result.media_id, result.unwrap().url) == (None, signed("a"))

    def test_several_are_reported_each_with_its_key(self) -> None:
        media = {"0": signed("left"), "1": signed("right")}
        results = scripted(json_reply(recording(**media))).run(Recording(), ONE)
        assert [(result.media_id, result.unwrap().url) for result in results] == [
            (f"{ONE}/0", signed("left")),
            (f"{ONE}/1", signed("right")),
        ]

    def test_those_of_a_conversation_are_reported_each_with_its_recording(self) -> None:
        listed = [
            recording("r-1", S=signed("a")),
            recording("r-2", **{"0": signed("b"), "1": signed("c")}),
            recording("r-3", state="ARCHIVED"),
        ]
        results = scripted(json_reply(listed)).run(Recording(), ALL)
        assert codes(results) == {
            f"{ALL}/r-1": None,
            f"{ALL}/r-2/0": None,
            f"{ALL}/r-2/1": None,
            f"{ALL}/r-3": "recording_archived",
        }
        assert {result.file_id for result in results} == {ALL}

    def test_an_empty_list_is_a_failure(self) -> None:
        (result,) = scripted(json_reply([])).run(Recording(), ALL)
        assert isinstance(result.error, NotFoundError)
        assert result.error.code == "no_recordings"
        assert "It was not recorded" in str(result.error)

    @pytest.mark.parametrize(
        ("state", "code", "retryable", "advice"),
        [
            ("ARCHIVED", "recording_archived", False, "recording:recording:restore"),
            ("DELETED", "recording_deleted", False, "remove it from the input"),
            ("UPLOADING", "recording_uploading", True, "Try again in some minutes"),
            ("RESTORING", "recording_restoring", True, "Try again later"),
            ("ERROR", "recording_error", False, "support"),
            ("AVAILABLE", "no_playable_media", False, "download=True"),
            ("RESTORED", "no_playable_media", False, "download=True"),
            ("SOMETHING_NEW", "no_playable_media", False, "SOMETHING_NEW"),
            (None, "no_playable_media", False, "unknown"),
        ],
    )
    @pytest.mark.parametrize("uris", [None, {}])
    def test_a_recording_without_media_has_an_error_by_its_state(
        self, state: Any, code: str, retryable: bool, advice: str, uris: Any
    ) -> None:
        (result,) = scripted(json_reply({**recording(state=state), "mediaUris": uris})).run(Recording(), ONE)
        assert result.error is not None
        assert (result.error.code, result.error.retryable) == (code, retryable)
        assert advice in str(result.error)

    @pytest.mark.parametrize(
        ("uri", "rule", "expected"),
        [
            (None, {}, "no_url"),
            ("", {}, "no_url"),
            ("http://media.example.com/a", {}, "url_not_https"),
            ("nonsense", {}, "url_malformed"),
            ("https://media.example.com/a", {"allowed_hosts": ("other.example.com",)}, "host_refused"),
            ("https://media.example.com/?Expires=1000", {}, "url_expired"),
            ("https://media.example.com/a", {"max_lifetime": 60}, "lifetime_too_long"),
            ("https://media.example.com/a", {"content_types": ("audio/*",)}, "content_type_missing"),
            ("https://media.example.com/a", {"content_types": ("*/*",)}, None),
        ],
    )
    def test_a_url_that_breaks_the_rule_is_refused_with_the_reason(self, uri: Any, rule: Any, expected: str) -> None:
        (result,) = scripted(json_reply(recording(S=uri)), rule=ValidationRule(**rule)).run(Recording(), ONE)
        assert code(result) == expected

    def test_a_key_is_sanitized(self) -> None:
        results = scripted(json_reply(recording(**{"a\nb": signed("a"), "c" * 500: signed("b")}))).run(Recording(), ONE)
        assert results[0].media_id == f"{ONE}/a b"
        assert len(results[1].media_id or "") < 100

    @pytest.mark.parametrize(
        "body", [{}, [], {"id": 5}, {"id": "r", "mediaUris": []}, {"id": "r", "mediaUris": {"0": 1}}]
    )
    def test_another_shape_is_an_invalid_reply(self, body: object) -> None:
        (result,) = scripted(json_reply(body)).run(Recording(), ONE)
        assert result.error is not None
        assert result.error.code == "reply_shape"

    def test_lifetimes_are_those_of_the_urls_or_else_of_the_settings(self) -> None:
        context = scripted(json_reply(recording(**{"0": signed("a"), "1": "https://m.example/?Expires=1700000090"})))
        results = context.run(Recording(download=True, file_name="a.wav"), ONE)
        lifetimes = [(result.unwrap().expires_in, result.unwrap().expiry_source) for result in results]
        assert lifetimes == [(1_200, "settings"), (90, "url")]
        assert {result.unwrap().file_name for result in results} == {"a.wav"}
        assert {result.unwrap().content_type for result in results} == {None}


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
def test_any_reply_leads_to_a_result_and_nothing_raises(replies: list[HttpReply], file_id: str) -> None:
    results = scripted(*replies).run(Recording(timeout=100.0), file_id)
    assert {result.file_id for result in results} == {file_id}
    assert all((result.url is None) is (result.error is not None) for result in results)
