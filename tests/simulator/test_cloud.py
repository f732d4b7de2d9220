"""What all services share: counts, latency, and replies to whatever is sent to any of them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import SystemClock, VirtualClock
from genesys_media_async.simulator import Counts, Fault, Quota, RecordingSettings, Simulator, SimulatorSettings
from genesys_media_async.simulator.cloud import Cloud
from genesys_media_async.simulator.fault_kinds import ERROR_STATUSES, SILENT
from genesys_media_async.simulator.messages import Request, json_bytes
from tests.support.simulator_users import WEBHOOK, eventually, new_user, path_of, post_webhook
from tests.support.virtual_simulators import (
    DOCUMENT,
    DOWNLOAD,
    SETTINGS,
    TRANSCRIPT,
    ask,
    bare_get,
    in_virtual_time,
    log_in,
)

pytestmark = pytest.mark.anyio

FIELDS = ["batchDownloadRequestList", "interval", "paging", "segmentFilters", "conversationFilters", "order", "orderBy"]


def test_counts_become_plain_values() -> None:
    counts = Counts()
    counts.by_status[200] += 2
    counts.faults[Fault.HANG] += 1
    plain = counts.as_dict()
    assert plain["by_status"] == {"200": 2}
    assert plain["faults"] == {"hang": 1}
    assert plain["api_ok"] == 0


async def test_latency_is_added_to_api_replies_which_are_in_flight_meanwhile() -> None:
    async with new_user(latency=0.2) as user:
        began = time.perf_counter()
        replies = await asyncio.gather(*(user.ask(f"file-{number}") for number in range(5)))
        assert 0.2 <= time.perf_counter() - began < 0.9
        assert {reply.status_code for reply in replies} == {200}
        assert (user.simulator.counts.peak_in_flight, user.simulator.counts.in_flight) == (5, 0)


async def test_latency_can_be_log_normal() -> None:
    async with new_user(latency=(0.01, 0.5)) as user:
        began = time.perf_counter()
        assert (await user.ask()).status_code == 200
        assert time.perf_counter() - began > 0.001


async def test_everything_is_counted() -> None:
    async with new_user(quota=Quota(3, 60.0)) as user:
        url = (await user.ask("one")).json()["url"]
        user.simulator.script(Fault.SERVER_ERROR_500)
        await user.ask("one")
        await user.ask("missing-1")
        await user.ask("two")
        await user.http.get(url)
        counts = user.simulator.counts
        assert (counts.token_requests, counts.tokens_issued, counts.media_requests) == (1, 1, 1)
        assert (counts.api_requests, counts.api_ok, counts.refused_429) == (4, 1, 1)
        assert counts.by_status == {200: 1, 500: 1, 404: 1, 429: 1}
        assert counts.by_file_id == {"one": 2, "missing-1": 1, "two": 1}
        assert counts.ok_by_file_id == {"one": 1}
        assert json.loads(json.dumps(counts.as_dict()))["faults"] == {"server-error-500": 1}


async def test_counting_of_file_ids_and_keeping_of_deliveries_can_be_turned_off() -> None:
    async with new_user(count_file_ids=False, keep_deliveries=False) as user:
        await user.ask()
        assert (await post_webhook(user, WEBHOOK)).status_code == 204
        assert not user.simulator.counts.by_file_id
        assert not user.simulator.counts.ok_by_file_id
        assert user.simulator.deliveries == []


async def test_a_client_that_leaves_early_is_not_counted_as_served() -> None:
    async with new_user(latency=20.0) as user:
        with pytest.raises(httpx.ReadTimeout):
            await user.http.post(
                path_of("a"),
                json={"fileId": "a"},
                headers={"Authorization": f"Bearer {user.token}"},
                timeout=0.05,
            )
        counts = user.simulator.counts
        await eventually(lambda: counts.in_flight == 0)
        assert (counts.api_ok, counts.by_status) == (0, {})


def test_requests_are_counted_by_operation_and_by_the_last_id_in_the_path() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = next(simulator.organization.recordings())
        path = f"/api/v2/conversations/{recording.conversation_id}/recordings/{recording.id}"
        for _ in range(3):
            await http.get(path)
        await http.get(SETTINGS)
        await ask(http)
        assert (await http.delete(SETTINGS)).headers["allow"] == "GET"
        return simulator.counts, recording.id

    (counts, recording_id), _ = in_virtual_time(scenario)
    names = {"getConversationRecording": 3, "getRecordingSettings": 1, "postMediaStorageFileDownloadUrl": 1}
    assert counts.by_operation == names == counts.as_dict()["by_operation"]
    assert counts.by_file_id == {recording_id: 3, "a": 1}
    assert (counts.api_requests, counts.api_ok, counts.in_flight) == (6, 5, 0)


async def test_every_family_is_served_over_sockets_too() -> None:
    settings = SimulatorSettings(recording=RecordingSettings(transcode_seconds=0.02))
    async with Simulator(settings, clock=SystemClock()) as simulator:
        async with httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as http:
            await log_in(http)
            recording = next(simulator.organization.recordings())
            path = f"/api/v2/conversations/{recording.conversation_id}/recordings"
            listed = await http.get(path)
            single = await http.get(f"{path}/{recording.id}", params={"mediaFormats": "WEBM"})
            redirect = await http.get(DOWNLOAD.format(simulator.organization.platform_download_ids()[0]))
            empty = await http.get(DOCUMENT.format(simulator.organization.document_ids()[0]))
            media = await bare_get(http, single.json()["mediaUris"]["0"]["mediaUri"])
            assert (listed.status_code, single.status_code, redirect.status_code, empty.status_code) == (
                200,
                200,
                307,
                202,
            )
            assert (media.status_code, len(media.content)) == (200, 2048)
            assert empty.headers["content-length"] == "0"
            assert (simulator.counts.in_flight, simulator.counts.api_ok) == (0, 4)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["and", "or", "asc", "dimension"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "predicates", "clauses", "dimension", "value", "conversationId", "recordingId", "pageSize"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)

PATHS = [
    "/api/v2/recording/batchrequests",
    "/api/v2/analytics/conversations/details/query",
    "/api/v2/analytics/conversations/details/jobs",
]


def new_cloud() -> tuple[Cloud, str]:
    cloud = Cloud(SimulatorSettings(quota=None), SystemClock(), "http://127.0.0.1:1")
    basic = base64.b64encode(b"demo-client:demo-secret").decode()
    headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
    reply = cloud.handle(Request("POST", "/oauth/token", headers, b"grant_type=client_credentials"))
    return cloud, f"Bearer {json.loads(reply.body)['access_token']}"


CLOUD, BEARER = new_cloud()


@settings(deadline=None)
@given(path=st.sampled_from(PATHS), body=st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON, valid=st.booleans())
def test_every_body_gets_a_reply(path: str, body: Any, valid: bool) -> None:
    if valid and isinstance(body, dict):
        body = {**body, "interval": "2026-01-01T00:00:00.000Z/2026-01-02T00:00:00.000Z"}
    headers = {"authorization": BEARER, "content-type": "application/json"}
    reply = CLOUD.handle(Request("POST", path, headers, json_bytes(body)))
    assert reply.status in (200, 202, 400)
    assert json.loads(reply.body)


@settings(deadline=None)
@given(
    name=st.sampled_from(
        ["formatId", "mediaFormats", "download", "fileName", "maxWaitMs", "cursor", "pageSize", "disposition"]
    ),
    value=st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.from_regex(r"[0-9]{1,30}", fullmatch=True),
    kind=st.integers(0, 3),
)
def test_every_parameter_gets_a_reply(name: str, value: str, kind: int) -> None:
    recording = next(CLOUD.organization.recordings())
    conversation = f"/api/v2/conversations/{recording.conversation_id}/recordings"
    orphan, document = CLOUD.organization.orphan_ids()[0], CLOUD.organization.document_ids()[0]
    paths = [conversation, f"{conversation}/{recording.id}", f"/api/v2/orphanrecordings/{orphan}/media"]
    target = str(httpx.URL((*paths, DOCUMENT.format(document))[kind], params={name: value}))
    assert CLOUD.handle(Request("GET", target, {"authorization": BEARER}, b"")).status in (200, 202, 400)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_can_happen_to_every_operation(fault: Fault) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        organization = simulator.organization
        recording, conversation = next(organization.recordings()), organization.conversation_at(0)
        base = f"/api/v2/conversations/{conversation.id}"
        paths = [
            f"{base}/recordings",
            f"{base}/recordings/{recording.id}",
            f"{base}/recordingmetadata",
            f"/api/v2/orphanrecordings/{organization.orphan_ids()[0]}/media",
            DOCUMENT.format(organization.document_ids()[0]),
            DOWNLOAD.format(organization.platform_download_ids()[0]),
            TRANSCRIPT.format(conversation.id, conversation.communication_id),
            "/api/v2/tokens/me",
            "/api/v2/organizations/me",
            "/api/v2/organizations/limits/namespaces/platform.api",
            SETTINGS,
        ]
        for path in paths:
            simulator.script(fault)
            with suppress(httpx.TransportError):
                await http.get(path)
            await log_in(http)
        assert (simulator.counts.in_flight, simulator.counts.api_requests) == (0, len(paths))
        return simulator.counts.faults[fault], len(paths)

    met, asked = in_virtual_time(scenario, quota=None, live_tokens=100)[0]
    assert met == asked if fault in ERROR_STATUSES | SILENT | {Fault.LATE} else 0 < met <= asked
