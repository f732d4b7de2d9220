"""Documents, downloads, orphan recordings, transcripts, media in messages: their URLs, and what there is instead."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async import (
    DeadlineExceededError,
    GenesysMediaError,
    MediaRequest,
    MediaResult,
    MediaRetriever,
    MemorySink,
    PermissionDeniedError,
    Settings,
    SettingsError,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.api.client import Call, CallResult, error_from
from genesys_media_async.endpoints import Document, MessageMedia, OrphanRecording, PlatformDownload, Transcript
from genesys_media_async.simulator import (
    DocumentSettings,
    DownloadSettings,
    Fault,
    OAuthClient,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from genesys_media_async.transports import HttpReply
from tests.support.retrievers import QUICK_RETRIES, collect, other_tasks, settings_for
from tests.test_cancellation import Stop, run_stepping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.endpoints import Endpoint
    from genesys_media_async.events import Event

T = TypeVar("T")

ANYTHING = ValidationRule(content_types=("*/*",))
URL = "https://media.example.com/file?Signature=canary-signature"
IDS = {
    Document: "document-1",
    PlatformDownload: "download-1",
    OrphanRecording: "orphan-1",
    Transcript: "conversation-1/communication-1",
    MessageMedia: "conversation-1/communication-1/media-1",
}
ENDPOINTS: dict[str, Endpoint] = {
    "document": Document(),
    "download": PlatformDownload(),
    "orphan-recording": OrphanRecording(),
    "transcript": Transcript(),
    "transcripts": Transcript(all_recordings=True),
    "message-media": MessageMedia(),
}


def json_reply(body: object, status: int = 200, content_type: str = "application/json", **headers: str) -> HttpReply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpReply(status, {"content-type": content_type, **named}, json.dumps(body).encode())


PREPARING = HttpReply(202, {}, b"")


class ScriptedAssignment:
    """Answers each call with the next of the replies, or with the last one again."""

    def __init__(self, *replies: HttpReply, rule: ValidationRule = ANYTHING) -> None:
        self.rule = rule
        self.clock = VirtualClock()
        self.paths: list[str] = []
        self.waits: list[float] = []
        self.results: list[MediaResult] = []
        self._replies = list(replies)

    async def ask(self, call: Call[T], /) -> CallResult[T]:
        self.paths.append(call.path)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        try:
            if reply.status >= 400:
                raise error_from(reply, wall=1_700_000_000.0)
            return CallResult(call.read(reply, 1_700_000_000.0), None, 1, 0.1, "correlated")
        except GenesysMediaError as error:
            return CallResult(None, error, 1, 0.1, "correlated")

    async def wait(self, seconds: float, /) -> None:
        self.waits.append(seconds)
        self.clock.advance(seconds)

    def emit(self, event: Event, /) -> None:
        pass

    async def tell(self, request: MediaRequest, answer: CallResult[Any], /, *, media_id: str | None = None) -> None:
        self.results.append(
            MediaResult(
                request.file_id,
                answer.value,
                answer.error,
                answer.attempts,
                answer.latency,
                answer.correlation_id,
                media_id,
            )
        )


def told(endpoint: Endpoint, *replies: HttpReply, rule: ValidationRule = ANYTHING) -> ScriptedAssignment:
    """What an endpoint makes of replies, for one id of its own form."""
    context = ScriptedAssignment(*replies, rule=rule)
    request = MediaRequest(IDS[type(endpoint)], form=endpoint.id_formats[0])
    # An endpoint waits for nothing but its context, which never does.
    with pytest.raises(StopIteration):
        endpoint.retrieve((request,), context).send(None)
    return context


def code_of(endpoint: Endpoint, *replies: HttpReply, rule: ValidationRule = ANYTHING) -> str | None:
    (result,) = told(endpoint, *replies, rule=rule).results
    return None if result.error is None else result.error.code


def ids_in(simulator: Simulator, name: str, count: int = 2) -> list[str]:
    """Ids of a family of the simulator's."""
    organization = simulator.organization
    conversations = [each for each in organization.conversations() if each.recording_count][:count]
    match name:
        case "document":
            return organization.document_ids()[:count]
        case "download":
            return organization.download_ids()[:count]
        case "orphan-recording":
            return organization.orphan_ids()[:count]
        case "transcript" | "transcripts":
            return [f"{each.id}/{each.communication_id}" for each in conversations]
        case _:
            return [
                f"{each.id}/{each.communication_id}/{organization.message_media_id(each)}" for each in conversations
            ]


def in_virtual_time(
    endpoint: Endpoint, ids: Sequence[str], simulator: Simulator, clock: VirtualClock, **settings: object
) -> tuple[list[MediaResult], float]:
    async def main() -> tuple[list[MediaResult], float]:
        retriever = MediaRetriever(
            settings_for(simulator, rule=ANYTHING, retry=QUICK_RETRIES, **settings),
            endpoint=endpoint,
            transport=simulator.transport(),
            clock=clock,
        )
        async with retriever:
            results = await collect(retriever, ids)
        assert other_tasks() == set()
        return results, clock.monotonic()

    return clock.run(main())


@pytest.mark.anyio
@pytest.mark.parametrize("name", ENDPOINTS)
async def test_an_id_becomes_a_url_that_downloads_the_medium(name: str):
    settings = SimulatorSettings(
        quota=None,
        recording=RecordingSettings(transcode_seconds=0.0),
        document=DocumentSettings(preparing_seconds=0.0),
    )
    async with Simulator(settings) as simulator:
        ids = ids_in(simulator, name)
        # A URL's life cannot be asked for here, so that a short one that was named refuses none.
        configured = settings_for(simulator, rule=ANYTHING, expires_in=60)
        async with MediaRetriever(configured, endpoint=ENDPOINTS[name]) as retriever:
            results = await collect(retriever, ids)
        async with httpx.AsyncClient() as client:
            statuses = {(await client.get(result.unwrap().url)).status_code for result in results}
    assert {result.file_id for result in results} == set(ids)
    assert statuses == {200}
    assert {result.unwrap().expiry_source for result in results} == {"url"}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ENDPOINTS)
async def test_whatever_happens_on_the_way_an_id_has_its_result(name: str):
    settings = SimulatorSettings(
        quota=None,
        recording=RecordingSettings(transcode_seconds=0.0),
        document=DocumentSettings(preparing_seconds=0.0),
    )
    async with Simulator(settings) as simulator:
        simulator.script(
            Fault.SERVER_ERROR_503, Fault.RESET_BEFORE_REPLY, Fault.TOKEN_EXPIRED, Fault.SERVER_ERROR_502_HTML
        )
        ids = [*ids_in(simulator, name), "unknown/unknown/unknown"[: 8 * (1 + ENDPOINTS[name].forms[0].count("/")) - 1]]
        configured = settings_for(simulator, rule=ANYTHING, retry=QUICK_RETRIES)
        async with MediaRetriever(configured, endpoint=ENDPOINTS[name]) as retriever:
            results = await collect(retriever, ids)
    assert {result.file_id: result.ok for result in results} == {ids[0]: True, ids[1]: True, ids[2]: False}
    assert [result.error.code for result in results if result.error] == ["not.found"]


@pytest.mark.parametrize(
    ("name", "operation", "permission"),
    [
        ("document", "getContentmanagementDocumentContent", "the permissions of the content management"),
        ("download", "getDownload", "the permission that the message names"),
        ("orphan-recording", "getOrphanrecordingMedia", "recording:orphan:view"),
        (
            "transcript",
            "getSpeechandtextanalyticsConversationCommunicationTranscripturl",
            "recording:recording:view and speechAndTextAnalytics:data:view",
        ),
        (
            "transcripts",
            "getSpeechandtextanalyticsConversationCommunicationTranscripturls",
            "recording:recording:view and recording:recordingSegment:view",
        ),
        (
            "message-media",
            "getConversationsMessageCommunicationMessagesMediaMediaId",
            "the permission that the message names",
        ),
    ],
)
def test_a_refusal_says_which_permission_to_grant(name: str, operation: str, permission: str):
    clock = VirtualClock()
    poor = OAuthClient("demo-client", "demo-secret", permissions=frozenset())
    settings = SimulatorSettings(
        quota=None, clients=(poor,), operation_permissions={operation: frozenset({"some:thing:view"})}
    )
    simulator = Simulator(settings, clock=clock)

    (result,), _ = in_virtual_time(ENDPOINTS[name], ids_in(simulator, name, 1), simulator, clock)

    assert isinstance(result.error, PermissionDeniedError)
    assert permission in str(result.error)


class TestWhatIsBeingPrepared:
    @pytest.mark.parametrize("reply", ["or_raise", "running"])
    def test_is_asked_for_again_without_holding_a_workers_place(self, reply: Any):
        clock = VirtualClock()
        preparing = DocumentSettings(preparing_seconds=40.0, preparing_reply=reply)
        simulator = Simulator(SimulatorSettings(quota=None, document=preparing), clock=clock)

        ids = ids_in(simulator, "document", 20)
        results, took = in_virtual_time(Document(), ids, simulator, clock, concurrency=1)

        assert all(result.ok for result in results)
        assert all(5 <= result.attempts <= 10 for result in results)
        assert 40.0 <= took < 55.0

    @pytest.mark.parametrize("name", ["document", "orphan-recording"])
    def test_is_given_up_in_the_end(self, name: str):
        clock = VirtualClock()
        settings = SimulatorSettings(
            quota=None,
            document=DocumentSettings(preparing_seconds=math.inf),
            recording=RecordingSettings(transcode_seconds=math.inf),
        )
        simulator = Simulator(settings, clock=clock)
        endpoint: Endpoint = Document(patience=90.0) if name == "document" else OrphanRecording(patience=90.0)

        (result,), took = in_virtual_time(endpoint, ids_in(simulator, name, 1), simulator, clock)

        assert isinstance(result.error, DeadlineExceededError)
        assert (result.error.code, result.error.retryable) == ("never_prepared", True)
        assert took == pytest.approx(90.0, abs=0.1)
        assert result.attempts == simulator.counts.api_requests <= 12

    def test_is_asked_for_when_the_reply_says_so(self):
        said = told(
            Document(),
            HttpReply(202, {"retry-after": "7"}, b""),
            HttpReply(202, {"retry-after": "0"}, b""),
            HttpReply(202, {"retry-after": "86400"}, b""),
            json_reply({"contentLocationUri": URL, "state": "Completed"}),
        )
        assert said.waits[0] == pytest.approx(7.2, abs=0.3)
        # What is always nearly ready is not asked for without end, nor is a day of silence waited for.
        assert 1.0 <= said.waits[1] < 2.0
        assert 25.0 <= said.waits[2] <= 60.0
        assert said.results[0].ok
        assert said.results[0].attempts == 4

    @pytest.mark.parametrize("endpoint", [Document, OrphanRecording])
    @pytest.mark.parametrize("patience", [0.0, -1.0, math.nan])
    def test_needs_a_patience_that_is_one(self, endpoint: type[Document], patience: float):
        with pytest.raises(SettingsError, match="positive"):
            endpoint(patience=patience)


class TestADocument:
    def test_is_asked_for_as_was_said(self):
        endpoint = Document(content_type="image/png", disposition="inline")
        said = told(endpoint, json_reply({"contentLocationUri": URL}))
        assert said.paths == [
            "/api/v2/contentmanagement/documents/document-1/content?disposition=inline&contentType=image%2Fpng"
        ]
        assert said.results[0].unwrap().content_type == "image/png"

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"state": "Completed"}, "no_content_location"),
            ({"state": "Completed", "contentLocationUri": None}, "no_content_location"),
            ({"state": "Running", "contentLocationUri": URL}, "never_prepared"),
            ({"state": "Suspended"}, "never_prepared"),
            ({"state": "Suspended", "contentLocationUri": URL}, None),
            ({"contentLocationUri": 7}, "reply_shape"),
            ([URL], "reply_shape"),
            ({"contentLocationUri": ""}, "url_malformed"),
            ({"contentLocationUri": URL.replace("https", "http")}, "url_not_https"),
            ({"contentLocationUri": URL.replace("//", "//user@")}, "url_user_info"),
            ({"contentLocationUri": URL.replace("media.", "foreign.")}, "host_refused"),
        ],
    )
    def test_has_a_reason_where_it_has_no_url(self, body: object, code: str | None):
        rule = ValidationRule(content_types=("*/*",), allowed_hosts=("media.example.com",))
        assert code_of(Document(patience=3.0), json_reply(body), rule=rule) == code

    @pytest.mark.parametrize(
        ("content_type", "code"),
        [("application/json; charset=utf-8", None), ("APPLICATION/JSON", None), ("text/html", "reply_not_json")],
    )
    def test_may_come_with_parameters_in_its_content_type(self, content_type: str, code: str | None):
        assert code_of(Document(), json_reply({"contentLocationUri": URL}, content_type=content_type)) == code


class Redirecting:
    """A Genesys that redirects to `location`, whatever it was asked not to do, and keeps what it was asked."""

    def __init__(self, location: str | None, status: int = 307) -> None:
        self.requests: list[httpx.Request] = []
        self._headers = {} if location is None else {"location": location}
        self._status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith("/oauth/token"):
            return httpx.Response(200, json={"access_token": "token", "token_type": "bearer", "expires_in": 3_600})
        return httpx.Response(self._status, headers=self._headers)

    async def result(self, endpoint: Endpoint, **settings: object) -> MediaResult:
        values = {"client_id": "a", "client_secret": "b", "quota": None, "rule": ANYTHING, "retry": QUICK_RETRIES}
        async with httpx.AsyncClient(transport=httpx.MockTransport(self), follow_redirects=True) as client:
            configured = Settings.model_validate(values | settings)
            async with MediaRetriever(configured, endpoint=endpoint, transport=client) as retriever:
                (result,) = await collect(retriever, [IDS[type(endpoint)]])
        return result


@pytest.mark.anyio
class TestARedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_is_the_url_and_is_never_followed(self, status: int):
        genesys = Redirecting(URL, status)
        result = await genesys.result(PlatformDownload())
        assert result.unwrap().url == URL
        assert [request.url.host for request in genesys.requests] == ["login.mypurecloud.com", "api.mypurecloud.com"]
        asked = dict(genesys.requests[-1].url.params)
        assert asked == {"issueRedirect": "false", "redirectToAuth": "false"}

    @pytest.mark.parametrize(
        ("location", "code"),
        [
            (None, "redirect_nowhere"),
            ("", "redirect_nowhere"),
            ("/api/v2/downloads/download-1", "redirect_nowhere"),
            ("/login?next=somewhere", "redirect_nowhere"),
            ("https://api.mypurecloud.com/api/v2/downloads/download-1", "redirect_loop"),
            ("https://api.mypurecloud.com/api/v2/downloads/download-1?again=1", "redirect_loop"),
            ("https://API.mypurecloud.com/api/v2/downloads/download-2", "redirect_to_api"),
            ("https://api.mypurecloud.com/elsewhere", "redirect_to_api"),
            ("https://login.mypurecloud.com/oauth/authorize?client_id=x", "redirect_to_login"),
            ("https://login.mypurecloud.com/", "redirect_to_login"),
            ("//login.mypurecloud.com/", "redirect_to_login"),
            ("http://media.example.com/file", "url_not_https"),
            ("ftp://media.example.com/file", "url_not_https"),
            ("https://user:secret@media.example.com/file", "url_user_info"),
            ("https://[media/file", "url_malformed"),
            ("https://", "redirect_nowhere"),
        ],
    )
    async def test_that_is_no_url_has_a_reason_and_is_not_asked_for_again(self, location: str | None, code: str):
        genesys = Redirecting(location)
        result = await genesys.result(PlatformDownload())
        assert result.error is not None
        assert (result.error.code, result.error.retryable) == (code, False)
        assert result.attempts == 1

    async def test_may_lead_to_media_beside_the_api_of_a_gateway(self):
        gateway = {
            "base_url": "https://gateway.example.com/genesys",
            "login_url": "https://gateway.example.com/genesys",
        }
        there = await Redirecting("https://gateway.example.com/media/1?Signature=x").result(
            PlatformDownload(), **gateway
        )
        assert there.ok
        back = await Redirecting("https://gateway.example.com/genesys/api/v2/users/me").result(
            PlatformDownload(), **gateway
        )
        login = await Redirecting("https://gateway.example.com/genesys/oauth/authorize").result(
            PlatformDownload(), **gateway
        )
        assert [result.error and result.error.code for result in (back, login)] == [
            "redirect_to_api",
            "redirect_to_login",
        ]

    @pytest.mark.parametrize("endpoint", [Document(), Transcript(), MessageMedia(), OrphanRecording()])
    async def test_is_an_error_wherever_none_is_expected(self, endpoint: Endpoint):
        result = await Redirecting(URL).result(endpoint)
        assert result.error is not None
        assert (result.error.code, result.error.status_code) == ("unexpected_status", 307)

    async def test_of_the_simulator_is_not_needed(self):
        download = DownloadSettings(redirect_to="itself")
        async with Simulator(SimulatorSettings(quota=None, download=download)) as simulator:
            configured = settings_for(simulator, rule=ANYTHING)
            async with MediaRetriever(configured, endpoint=PlatformDownload()) as retriever:
                results = await collect(retriever, simulator.organization.download_ids())
        assert all(result.ok for result in results)
        assert simulator.counts.media_requests == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [({"url": URL}, None), ({}, "reply_shape"), ({"url": None}, "reply_shape"), ({"url": "x"}, "url_malformed")],
)
def test_a_download_that_is_named_is_judged_like_any_url(body: object, code: str | None):
    assert code_of(PlatformDownload(), json_reply(body)) == code


class TestAnOrphanRecording:
    def test_has_a_url_for_each_of_its_parts(self):
        clock = VirtualClock()
        simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
        one, two = ids_in(simulator, "orphan-recording")
        simulator.organization.change(two, parts=2)
        audit = MemorySink()

        async def main() -> list[MediaResult]:
            settings = settings_for(simulator, rule=ANYTHING)
            retriever = MediaRetriever(
                settings, endpoint=OrphanRecording(), transport=simulator.transport(), clock=clock, audit=[audit]
            )
            async with retriever:
                return await collect(retriever, [one, two])

        results = clock.run(main())
        assert all(result.ok for result in results)
        assert sorted((result.file_id, result.media_id) for result in results if result.file_id == two) == [
            (two, f"{two}/0"),
            (two, f"{two}/1"),
        ]
        assert [result.media_id for result in results if result.file_id == one] == [None]
        actions = [record.action for record in audit.events]  # type: ignore[attr-defined]
        assert actions.count("orphan_recording.result") == 2

    @pytest.mark.parametrize(
        ("state", "code", "retryable"),
        [
            ("ARCHIVED", "recording_archived", False),
            ("DELETED", "recording_deleted", False),
            ("UPLOADING", "recording_uploading", True),
            ("RESTORING", "recording_restoring", True),
            ("ERROR", "recording_error", False),
            ("AVAILABLE", "no_playable_media", False),
            (None, "no_playable_media", False),
            ("SUSPENDED", "no_playable_media", False),
        ],
    )
    @pytest.mark.parametrize("media", [None, {}])
    def test_without_media_says_what_to_do(self, state: str | None, code: str, retryable: bool, media: object):
        said = told(OrphanRecording(), json_reply({"id": "x", "fileState": state, "mediaUris": media}))
        (error,) = [result.error for result in said.results]
        assert error is not None
        assert (error.code, error.retryable) == (code, retryable)
        assert error.advice

    def test_has_a_failure_for_a_part_that_is_refused_and_the_url_of_the_other(self):
        parts = {"0": {"mediaUri": URL}, "1": {"mediaUri": None}, "2": {"mediaUri": URL.replace("https", "http")}}
        said = told(OrphanRecording(), json_reply({"id": "orphan-1", "mediaUris": parts}))
        assert [(result.media_id, result.error and result.error.code) for result in said.results] == [
            ("orphan-1/0", None),
            ("orphan-1/1", "no_url"),
            ("orphan-1/2", "url_not_https"),
        ]

    def test_is_asked_for_as_was_said(self):
        wanted = OrphanRecording(format_id="WAV", media_formats=("WAV", "MP3"), download=True, file_name="a b.wav")
        reply, path = (
            json_reply({"id": "orphan-1", "mediaUris": {"S": {"mediaUri": URL}}}),
            "/api/v2/orphanrecordings/orphan-1/media",
        )
        assert told(OrphanRecording(), reply).paths == [path]
        said = told(wanted, reply)
        assert said.paths == [f"{path}?formatId=WAV&mediaFormats=WAV%2CMP3&download=true&fileName=a+b.wav"]
        assert said.results[0].unwrap().file_name == "a b.wav"


class TestTranscripts:
    def test_are_of_the_communication_or_of_each_recording(self):
        one = told(Transcript(), json_reply({"url": URL}))
        urls = [{"recording": {"id": name, "selfUri": "/"}, "url": URL} for name in ("r-1", "r-2")]
        each = told(Transcript(all_recordings=True), json_reply({"communicationId": "c", "urls": urls}))
        start = (
            "/api/v2/speechandtextanalytics/conversations/conversation-1/communications/communication-1/transcripturl"
        )
        assert (one.paths, each.paths) == ([start], [f"{start}s"])
        assert [(result.media_id, result.ok) for result in one.results] == [(None, True)]
        assert [(result.media_id, result.ok) for result in each.results] == [("r-1", True), ("r-2", True)]

    @pytest.mark.parametrize("body", [{}, {"urls": None}, {"urls": []}])
    def test_that_are_none_are_said_to_be_none(self, body: object):
        assert code_of(Transcript(all_recordings=True), json_reply(body)) == "no_transcripts"

    def test_that_are_refused_leave_the_others(self):
        urls = [{"recording": {"id": "r-1"}, "url": ""}, {"recording": {"id": "r-2"}, "url": URL}]
        said = told(Transcript(all_recordings=True), json_reply({"urls": urls}))
        assert [result.error and result.error.code for result in said.results] == ["url_malformed", None]


class TestMediaOfMessages:
    @pytest.mark.parametrize(
        ("status", "code", "retryable"),
        [
            ("valid", None, False),
            ("uploading", "media_uploading", True),
            ("invalid", "media_invalid", False),
        ],
    )
    def test_have_a_url_once_they_are_valid(self, status: Any, code: str | None, retryable: bool):
        clock = VirtualClock()
        simulator = Simulator(SimulatorSettings(quota=None, message_media_status=status), clock=clock)
        (result,), _ = in_virtual_time(MessageMedia(), ids_in(simulator, "message-media", 1), simulator, clock)
        if code is None:
            url = result.unwrap()
            assert url.content_type == "image/png"
            assert url.file_name is not None
        else:
            assert result.error is not None
            assert (result.error.code, result.error.retryable) == (code, retryable)
            assert result.error.advice

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"status": "uploading", "url": URL}, "media_uploading"),
            ({"status": "checking"}, "no_url"),
            ({"url": None}, "no_url"),
            ({"status": "checking", "url": URL, "mediaType": "image/png"}, None),
            ({"status": "valid", "url": URL, "mediaType": "IMAGE/PNG; x=y"}, None),
            ({"status": "valid", "url": URL, "mediaType": "text/html"}, "content_type_refused"),
            ({"status": 7}, "reply_shape"),
        ],
    )
    def test_have_a_reason_where_they_have_no_url(self, body: object, code: str | None):
        rule = ValidationRule(content_types=("image/*",))
        assert code_of(MessageMedia(), json_reply(body), rule=rule) == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(URL),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "url",
                    "urls",
                    "state",
                    "status",
                    "contentLocationUri",
                    "mediaUris",
                    "mediaUri",
                    "recording",
                    "id",
                    "0",
                ]
            ),
            each,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([200, 202, 204, 400, 404, 500]), st.sampled_from(sorted(ENDPOINTS)))
def test_whatever_the_reply_is_there_is_a_result_and_no_exception(body: object, status: int, name: str):
    said = told(ENDPOINTS[name], json_reply(body, status))
    assert said.results
    assert all((result.url is None) != (result.error is None) for result in said.results)


def test_a_run_that_is_cancelled_at_any_step_leaves_nothing_running():
    def run_and_cancel(at: int) -> int:
        clock = VirtualClock()
        settings = SimulatorSettings(quota=None, latency=0.05, document=DocumentSettings(preparing_seconds=3.0))
        simulator = Simulator(settings, clock=clock)
        stop = Stop(at)

        async def main() -> None:
            async def retrieve() -> None:
                configured = settings_for(simulator, rule=ANYTHING)
                transport = simulator.transport()
                async with MediaRetriever(
                    configured, endpoint=Document(), transport=transport, clock=clock
                ) as retriever:
                    await collect(retriever, ids_in(simulator, "document", 3), concurrency=1)

            stop.victim = asyncio.create_task(retrieve())
            try:
                await stop.victim
            except asyncio.CancelledError:
                assert stop.steps >= at
            assert other_tasks() == set()

        run_stepping(stop, clock, main)
        assert simulator.counts.in_flight == 0
        return stop.steps

    steps = run_and_cancel(10**9)
    for at in range(1, steps + 1, 3):
        run_and_cancel(at)


@pytest.mark.anyio
async def test_no_url_is_in_any_repr_log_or_event(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    memory, shown = MemorySink(), [repr(endpoint) for endpoint in ENDPOINTS.values()]
    secret = URL.replace("https", "http")
    for location in (URL, secret, "https://login.mypurecloud.com/?canary-signature", "/x?canary-signature"):
        result = await Redirecting(location).result(PlatformDownload())
        shown += [repr(result), str(result), repr(result.error), str(result.error)]
    for endpoint in ENDPOINTS.values():
        body = {"url": URL, "urls": secret, "contentLocationUri": secret, "mediaUris": {"0": {"mediaUri": secret}}}
        for result in told(endpoint, json_reply(body)).results:
            shown += [repr(result), repr(result.error), str(result.error)]
    shown += [*map(repr, memory.events), *(record.getMessage() for record in caplog.records if record.name != "httpx")]
    assert not [text for text in shown if "canary" in text]
