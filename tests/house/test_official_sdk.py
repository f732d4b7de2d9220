"""
The official SDK of Genesys Cloud: it works with the simulator, and it has every name that our endpoints use.

The SDK, `PureCloudPlatformClientV2`, is not a dependency of the package; tests that need it are skipped if it is not
installed. Its tables are the only public list of paths and fields that a program can read. Media storage is the
exception: no official SDK has its contract.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from anyio import to_thread
from pydantic import BaseModel

from genesys_media_async import MediaRetriever, ValidationRule, VirtualClock, endpoints
from genesys_media_async.api.replies import ErrorBody
from genesys_media_async.discovery import filters, pages
from genesys_media_async.endpoints import (
    Document,
    MediaStorage,
    MessageMedia,
    OrphanRecording,
    PlatformDownload,
    Recording,
    RecordingBatch,
    Transcript,
    document,
    media_storage,
    message_media,
    platform_download,
    transcript,
)
from genesys_media_async.endpoints.recordings import batch_job, url_lifetime
from genesys_media_async.endpoints.recordings import recording as single
from genesys_media_async.endpoints.recordings import recording_batch as batch
from genesys_media_async.simulator import (
    AnalyticsSettings,
    OAuthClient,
    Organization,
    OrganizationSettings,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpxTransport
from tests.support.retrievers import collect, settings_for
from tests.support.sdk_tables import Tables, example_of, with_inner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from genesys_media_async.endpoints import Endpoint
    from genesys_media_async.transports import HttpReply, HttpRequest

    Use = Callable[[MediaRetriever, Organization], Awaitable[None]]

CLIENT, STRANGER = OAuthClient("demo-client", "demo-secret"), OAuthClient("stranger", "strange-secret")
WORLD = SimulatorSettings(
    clients=(CLIENT, STRANGER),
    organization=OrganizationSettings(conversations=2, recordings=(2, 2), media=("audio",), two_part_share=1.0),
    recording=RecordingSettings(long_poll=False),
    analytics=AnalyticsSettings(max_job_page_size=1),
    # URLs without an expiry make the endpoints read the settings.
    url_styles={"batch": "cloudfront-policy", "recording": "cloudfront-policy"},
)


def retrieving(ids: Callable[[Organization], list[str]]) -> Use:
    """Return a use that retrieves some ids, all of which have to succeed."""

    async def use(retriever: MediaRetriever, organization: Organization) -> None:
        results = await collect(retriever, ids(organization))
        assert results
        assert [result.error for result in results if not result.ok] == []

    return use


def conversations(organization: Organization) -> list[str]:
    return [each.id for each in organization.conversations()]


def recordings(organization: Organization) -> list[str]:
    return [f"{each.conversation_id}/{each.id}" for each in organization.recordings()]


def communications(organization: Organization) -> list[str]:
    return [f"{each.id}/{each.communication_id}" for each in organization.conversations()]


def message_media_files(organization: Organization) -> list[str]:
    return [
        f"{each.id}/{each.communication_id}/{organization.message_media_id(each)}"
        for each in organization.conversations()
    ]


def discovering(by: filters.Way) -> Use:
    """Return a use that discovers all conversations, by an interval and filters."""

    async def use(retriever: MediaRetriever, organization: Organization) -> None:
        hour, starts = timedelta(hours=1), [each.started_at for each in organization.conversations()]
        interval = datetime.fromtimestamp(starts[0], UTC) - hour, datetime.fromtimestamp(starts[-1], UTC) + hour
        queues, divisions = organization.queue_ids(), [organization.division_id]
        found = retriever.discover(interval, queues=queues, media=["voice"], divisions=divisions, by=by)
        assert [each async for each in found] == conversations(organization)

    return use


class Family(NamedTuple):
    """How an endpoint is used, and which types of the SDK (alternatives with a bar between) its models stand for."""

    endpoint: Endpoint
    use: Use
    models: Mapping[type[BaseModel], str]


FAMILIES = {
    "recording-batch": Family(
        RecordingBatch(),
        retrieving(recordings),
        {
            batch._Submitted: "BatchDownloadJobSubmissionResult",
            batch_job.BatchStatus: "BatchDownloadJobStatusResult",
            url_lifetime.RecordingSettings: "RecordingSettings",
        },
    ),
    "recording-batch by conversation": Family(RecordingBatch(), retrieving(conversations), {}),
    "recording": Family(
        Recording("WAV", ["MP3", "OGG_OPUS"], download=True, file_name="call.mp3"),
        retrieving(recordings),
        {
            single.RecordingBody: "Recording",
            single._Transcoding: "Recording",
            url_lifetime.RecordingSettings: "RecordingSettings",
        },
    ),
    "document": Family(
        Document(content_type="application/pdf"),
        retrieving(Organization.document_ids),
        {document._Reply: "DownloadResponse"},
    ),
    "download": Family(
        PlatformDownload(), retrieving(Organization.platform_download_ids), {platform_download._Reply: "UrlResponse"}
    ),
    "orphan-recording": Family(
        OrphanRecording(format_id="WAV", media_formats=["MP3"], download=True, file_name="a.mp3"),
        retrieving(Organization.orphan_ids),
        {single.RecordingBody: "Recording"},
    ),
    "transcript": Family(Transcript(), retrieving(communications), {transcript._One: "TranscriptUrl"}),
    "transcript of each recording": Family(
        Transcript(all_recordings=True), retrieving(communications), {transcript._All: "TranscriptUrls"}
    ),
    "message-media": Family(
        MessageMedia(), retrieving(message_media_files), {message_media._Media: "MessageMediaData"}
    ),
    "discovery by query": Family(
        RecordingBatch(),
        discovering("query"),
        {pages.Page: "AnalyticsConversationQueryResponse | AnalyticsConversationAsyncQueryResponse"},
    ),
    "discovery by job": Family(
        RecordingBatch(),
        discovering("job"),
        {
            pages.Page: "AnalyticsConversationQueryResponse | AnalyticsConversationAsyncQueryResponse",
            pages.SubmittedJob: "AsyncQueryResponse",
            pages.JobStatus: "AsyncQueryStatus",
            pages._Availability: "DataAvailabilityResponse",
        },
    ),
    "recording by conversation": Family(
        Recording("WAV", ["MP3"]), retrieving(conversations), {single.RecordingBody: "Recording"}
    ),
}
READERS = [each.name for each in pkgutil.walk_packages(endpoints.__path__, f"{endpoints.__name__}.")] + [pages.__name__]


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The SDK, imported where it finds settings that keep it from watching all of a home directory for theirs."""
    home = tmp_path_factory.mktemp("home")
    config = home / ".genesyscloudpython" / "config"
    config.parent.mkdir()
    config.write_text("[general]\nlive_reload_config = false\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HOME", str(home))
        environment.setenv("USERPROFILE", str(home))
        return pytest.importorskip(
            "PureCloudPlatformClientV2", reason="the official Genesys SDK, PureCloudPlatformClientV2, is not installed"
        )


@pytest.fixture(scope="module")
def tables(sdk: Any) -> Tables:
    return Tables(sdk)


class Recorder:
    """A transport to a simulator that keeps the requests to its API, and the replies."""

    def __init__(self, simulator: Simulator) -> None:
        self.exchanges: list[tuple[HttpRequest, HttpReply]] = []
        self._transport = HttpxTransport(httpx.AsyncClient(transport=simulator.transport()))

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        reply = await self._transport.exchange(request, timeout=timeout, max_reply_size=max_reply_size)
        if urlsplit(request.url).path.startswith("/api/"):
            self.exchanges.append((request, reply))
        return reply

    async def aclose(self) -> None:
        await self._transport.aclose()


@cache
def exchanges_of(name: str) -> list[tuple[HttpRequest, HttpReply]]:
    """Return the requests of a family to the simulator, and the replies."""
    family, clock = FAMILIES[name], VirtualClock()
    simulator = Simulator(WORLD, clock=clock)
    recorder = Recorder(simulator)

    async def run() -> None:
        settings = settings_for(simulator, rule=ValidationRule(content_types=("*/*",)))
        async with MediaRetriever(settings, endpoint=family.endpoint, transport=recorder, clock=clock) as retriever:
            await family.use(retriever, simulator.organization)
        await recorder.aclose()

    clock.run(run())
    assert recorder.exchanges
    return recorder.exchanges


class TestOurNames:
    def test_are_compared_for_every_endpoint_but_media_storage(self) -> None:
        exported = [getattr(endpoints, name) for name in endpoints.__all__]
        classes = {each for each in exported if isinstance(each, type) and issubclass(each, endpoints.Endpoint)}
        ours = classes - {endpoints.Endpoint}
        assert {type(family.endpoint) for family in FAMILIES.values()} == ours - {MediaStorage}

    def test_are_compared_for_every_model_of_the_endpoints(self) -> None:
        members = [each for name in READERS for each in vars(importlib.import_module(name)).values()]
        models = {each for each in members if isinstance(each, type) and issubclass(each, BaseModel)}
        ours = {each for each in models if each.__module__ in READERS and each.model_fields}
        compared = {model for family in FAMILIES.values() for model in family.models}
        assert ours
        assert set[type[BaseModel]]().union(*map(with_inner, compared)) == ours

    @pytest.mark.parametrize("name", FAMILIES)
    def test_of_paths_and_requests_are_the_sdks(self, name: str, tables: Tables) -> None:
        for request, _ in exchanges_of(name):
            operation = tables.operation(request)
            query = {key for key, _ in parse_qsl(urlsplit(request.url).query)}
            assert query <= operation.parameters
            if request.body:
                assert tables.misfits(json.loads(request.body), operation.takes) == set()

    def test_of_all_options_of_a_recording_are_compared(self) -> None:
        (query,) = {urlsplit(request.url).query for request, _ in exchanges_of("recording")} - {""}
        assert len(parse_qsl(query)) == len(inspect.signature(Recording).parameters.keys() - {"timeout"})

    @pytest.mark.parametrize(
        ("name", "model"), [(name, model) for name, family in FAMILIES.items() for model in family.models]
    )
    def test_in_replies_are_the_sdks(self, name: str, model: type[BaseModel], tables: Tables) -> None:
        kinds = FAMILIES[name].models[model].split(" | ")
        gives = {tables.operation(request).gives for request, _ in exchanges_of(name)}
        assert not {kind.removeprefix("list[").removesuffix("]") for kind in gives}.isdisjoint(kinds)
        assert set.intersection(*(tables.misfits(example_of(model), kind) for kind in kinds)) == set()

    def test_in_errors_are_the_sdks(self, tables: Tables) -> None:
        assert tables.misfits(example_of(ErrorBody), "ErrorBody") == set()

    def test_for_media_storage_are_in_no_official_sdk(self, tables: Tables) -> None:
        paths = {operation.path for operation in tables.operations}
        assert url_lifetime.SETTINGS_PATH in paths
        assert "/media/storage" in media_storage.PATH_TEMPLATE
        assert [path for path in paths if "/media/storage" in path] == []


@pytest.mark.parametrize("name", FAMILIES)
def test_the_simulators_replies_have_only_names_of_the_sdk(name: str, tables: Tables) -> None:
    bodies = [(reply.body, tables.operation(request).gives) for request, reply in exchanges_of(name)]
    assert any(body for body, _ in bodies)
    assert {each for body, kind in bodies if body for each in tables.misfits(json.loads(body), kind)} == set()


@contextmanager
def signed_in(sdk: Any, simulator: Simulator, oauth_client: OAuthClient = CLIENT) -> Iterator[Any]:
    """The SDK's client, with a token of the simulator's."""
    parts = urlsplit(simulator.base_url)
    client = sdk.api_client.ApiClient()
    client.set_gateway(parts.hostname, parts.scheme, parts.port, "", "")
    try:
        client.get_client_credentials_token(oauth_client.client_id, oauth_client.client_secret)
        yield client
    finally:
        client.get_http_client().rest_client.pool_manager.clear()


async def in_a_thread(scenario: Callable[[Simulator, VirtualClock], None]) -> None:
    """Run what blocks beside a simulator whose time stands still unless the scenario advances it."""
    clock = VirtualClock()
    async with Simulator(WORLD, clock=clock) as simulator:
        await to_thread.run_sync(scenario, simulator, clock)


def submission_of(sdk: Any, *items: tuple[str, str | None]) -> Any:
    submission = sdk.BatchDownloadJobSubmission()
    submission.batch_download_request_list = []
    for conversation_id, recording_id in items:
        request = sdk.BatchDownloadRequest()
        request.conversation_id, request.recording_id = conversation_id, recording_id
        submission.batch_download_request_list.append(request)
    return submission


@pytest.mark.anyio
class TestSdk:
    async def test_submits_a_batch_and_polls_it_until_it_is_completed(self, sdk: Any) -> None:
        def scenario(simulator: Simulator, clock: VirtualClock) -> None:
            first, second = simulator.organization.conversations()
            one = simulator.organization.recordings_of(second)[0]
            unknown = ("00000000-0000-4000-8000-000000000000", None)
            with signed_in(sdk, simulator) as client:
                api = sdk.RecordingApi(client)
                job = api.post_recording_batchrequests(
                    submission_of(sdk, (first.id, None), (second.id, one.id), unknown)
                )
                assert isinstance(job, sdk.BatchDownloadJobSubmissionResult)
                begun = api.get_recording_batchrequest(job.id)
                assert (begun.status, begun.result_count, begun.results) == ("InProgress", 0, [])
                clock.advance(60.0)
                ended = api.get_recording_batchrequest(job.id)
            assert isinstance(ended, sdk.BatchDownloadJobStatusResult)
            assert (ended.id, ended.status, ended.error_count) == (job.id, "Completed", 1)
            assert ended.expected_result_count == ended.result_count == len(ended.results)
            assert all(isinstance(result, sdk.BatchDownloadJobResult) for result in ended.results)
            refused = [result for result in ended.results if result.error_msg is not None]
            assert [(result.conversation_id, result.result_url) for result in refused] == [(unknown[0], None)]
            got = [result for result in ended.results if result.error_msg is None]
            assert {(result.conversation_id, result.recording_id) for result in got} == {
                *((first.id, each.id) for each in simulator.organization.recordings_of(first)),
                (second.id, one.id),
            }
            assert all(result.result_url.startswith(simulator.base_url) for result in got)
            assert {result.content_type for result in got} == {"audio/ogg"}

        await in_a_thread(scenario)

    async def test_polls_a_recording_until_it_is_transcoded(self, sdk: Any) -> None:
        def scenario(simulator: Simulator, clock: VirtualClock) -> None:
            wanted = next(simulator.organization.recordings())
            options = {"format_id": "WAV", "media_formats": ["MP3"], "download": True, "file_name": "call.mp3"}
            with signed_in(sdk, simulator) as client:
                api = sdk.RecordingApi(client)
                begun = api.get_conversation_recording(wanted.conversation_id, wanted.id, **options)
                assert (client.last_response.status, begun.media_uris) == (202, None)
                clock.advance(begun.estimated_transcode_time_ms / 1_000)
                ended = api.get_conversation_recording(wanted.conversation_id, wanted.id, **options)
                assert client.last_response.status == 200
            for recording in (begun, ended):
                assert isinstance(recording, sdk.Recording)
                assert (recording.id, recording.conversation_id) == (wanted.id, wanted.conversation_id)
                assert (recording.media, recording.file_state) == ("audio", "AVAILABLE")
            assert isinstance(ended.media_uris["S"], sdk.MediaResult)
            assert ended.media_uris["S"].media_uri.startswith(simulator.base_url)
            assert ended.estimated_transcode_time_ms is None

        await in_a_thread(scenario)

    async def test_lists_the_recordings_of_a_conversation_and_reads_an_empty_202_as_none(self, sdk: Any) -> None:
        def scenario(simulator: Simulator, clock: VirtualClock) -> None:
            conversation = simulator.organization.conversation_at(0)
            with signed_in(sdk, simulator) as client:
                api = sdk.RecordingApi(client)
                begun = api.get_conversation_recordings(conversation.id, format_id="MP3", max_wait_ms=100)
                assert (client.last_response.status, begun) == (202, [])
                clock.advance(60.0)
                ended = api.get_conversation_recordings(conversation.id, format_id="MP3", max_wait_ms=100)
                assert client.last_response.status == 200
            expected = simulator.organization.recordings_of(conversation)
            assert [recording.id for recording in ended] == [recording.id for recording in expected]
            uris = [media.media_uri for recording in ended for media in recording.media_uris.values()]
            assert len(uris) == sum(recording.parts for recording in expected) == 4
            assert all(uri.startswith(simulator.base_url) for uri in uris)

        await in_a_thread(scenario)

    async def test_reads_the_recording_settings(self, sdk: Any) -> None:
        def scenario(simulator: Simulator, _: VirtualClock) -> None:
            with signed_in(sdk, simulator) as client:
                settings = sdk.RecordingApi(client).get_recording_settings()
            assert isinstance(settings, sdk.RecordingSettings)
            assert settings.recording_playback_url_ttl == simulator.settings.recording.url_minutes
            assert settings.recording_batch_download_url_ttl == simulator.settings.batch.url_minutes

        await in_a_thread(scenario)

    async def test_gets_no_token_for_a_wrong_secret_and_no_job_of_another_client(
        self, sdk: Any, tables: Tables
    ) -> None:
        def scenario(simulator: Simulator, _: VirtualClock) -> None:
            mistaken = OAuthClient(CLIENT.client_id, "wrong")
            with pytest.raises(sdk.rest.ApiException) as raised, signed_in(sdk, simulator, mistaken):
                pass
            assert raised.value.status == 401
            conversation = simulator.organization.conversation_at(0)
            with signed_in(sdk, simulator) as client:
                job = sdk.RecordingApi(client).post_recording_batchrequests(submission_of(sdk, (conversation.id, None)))
            with (
                signed_in(sdk, simulator, STRANGER) as client,
                pytest.raises(sdk.rest.ApiException) as raised,
            ):
                sdk.RecordingApi(client).get_recording_batchrequest(job.id)
            assert raised.value.status == 403
            body = json.loads(raised.value.body)
            assert body["code"] == "batch.download.permission.denied"
            assert tables.misfits(body, "ErrorBody") == set()

        await in_a_thread(scenario)
