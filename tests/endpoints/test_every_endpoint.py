"""What holds for every endpoint: a URL that works, results under faults, permissions, clean ends, and no secrets."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async import (
    MediaRetriever,
    PermissionDeniedError,
    VirtualClock,
)
from genesys_media_async.endpoints import Document, PlatformDownload
from genesys_media_async.simulator import (
    DocumentSettings,
    Fault,
    OAuthClient,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.cancellation import Stop, run_stepping
from tests.support.endpoint_runs import (
    ANYTHING,
    ENDPOINTS,
    URL,
    Redirecting,
    ids_in,
    run_virtual,
    scripted,
)
from tests.support.retrievers import QUICK_RETRIES, collect, other_tasks, settings_for
from tests.support.scripted_context import json_reply


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
        # A lifetime cannot be requested here, so a short `expires_in` refuses nothing.
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
async def test_every_id_has_its_result_under_faults(name: str):
    settings = SimulatorSettings(
        quota=None,
        recording=RecordingSettings(transcode_seconds=0.0),
        document=DocumentSettings(preparing_seconds=0.0),
    )
    async with Simulator(settings) as simulator:
        simulator.script(
            Fault.SERVER_ERROR_503, Fault.RESET_BEFORE_REPLY, Fault.TOKEN_EXPIRED, Fault.SERVER_ERROR_502_HTML
        )
        ids = [
            *ids_in(simulator, name),
            "unknown/unknown/unknown"[: 8 * (1 + ENDPOINTS[name].id_formats[0].count("/")) - 1],
        ]
        configured = settings_for(simulator, rule=ANYTHING, retry=QUICK_RETRIES)
        async with MediaRetriever(configured, endpoint=ENDPOINTS[name]) as retriever:
            results = await collect(retriever, ids)
    assert {result.file_id: result.ok for result in results} == {ids[0]: True, ids[1]: True, ids[2]: False}
    assert [result.error.code for result in results if not result.ok] == ["not_found"]


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
            "conversation:message:view and conversation:webmessaging:view",
        ),
    ],
)
def test_a_403_names_the_permission_to_grant(name: str, operation: str, permission: str):
    clock = VirtualClock()
    poor = OAuthClient("demo-client", "demo-secret", permissions=frozenset())
    settings = SimulatorSettings(
        quota=None, clients=(poor,), operation_permissions={operation: frozenset({"some:thing:view"})}
    )
    simulator = Simulator(settings, clock=clock)

    (result,), _ = run_virtual(ENDPOINTS[name], ids_in(simulator, name, 1), simulator, clock)

    assert isinstance(result.error, PermissionDeniedError)
    assert permission in str(result.error)


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
def test_any_reply_leads_to_a_result_and_not_to_an_exception(body: object, status: int, name: str):
    context = scripted(ENDPOINTS[name], json_reply(body, status))
    assert context.results
    assert all((result.url is None) != (result.error is None) for result in context.results)


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


SECRET = URL.replace("https", "http")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "location", [URL, SECRET, "https://login.mypurecloud.com/?canary-signature", "/x?canary-signature"]
)
async def test_no_redirect_is_shown_in_a_repr_or_a_log(location: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    result = await Redirecting(location).result(PlatformDownload())
    shown = [repr(result), str(result), repr(result.error), str(result.error)]
    shown += [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert not [text for text in shown if "canary" in text]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_no_url_is_shown_in_a_repr_or_an_event(name: str):
    body = {"url": URL, "urls": SECRET, "contentLocationUri": SECRET, "mediaUris": {"0": {"mediaUri": SECRET}}}
    context = scripted(ENDPOINTS[name], json_reply(body))
    assert context.results
    shown = [repr(ENDPOINTS[name]), *map(repr, context.events)]
    for result in context.results:
        shown += [repr(result), repr(result.error), str(result.error)]
    assert not [text for text in shown if "canary" in text]
