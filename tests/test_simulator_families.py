"""The simulator's smaller families, and what all families share: limits, permissions, signed URLs, scripts, counts."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import SystemClock
from genesys_media_async.simulator import (
    DocumentSettings,
    DownloadSettings,
    Fault,
    OAuthClient,
    OrganizationSettings,
    Quota,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from genesys_media_async.simulator.cloud import Cloud
from genesys_media_async.simulator.faults import ERROR_STATUSES, SILENT
from genesys_media_async.simulator.messages import Request, json_bytes
from genesys_media_async.simulator.operations import Operation, Router
from genesys_media_async.simulator.signing import Signer, Verdict

from .test_simulator_in_process import ask, in_virtual_time, log_in

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock

DOCUMENT = "/api/v2/contentmanagement/documents/{}/content"
DOWNLOAD = "/api/v2/downloads/{}"
TRANSCRIPT = "/api/v2/speechandtextanalytics/conversations/{}/communications/{}/transcripturl"
MESSAGE_MEDIA = "/api/v2/conversations/messages/{}/communications/{}/messages/media/{}"
SETTINGS = "/api/v2/recording/settings"
BATCH = "/api/v2/recording/batchrequests"


async def bare_get(http: httpx.AsyncClient, url: str) -> httpx.Response:
    """Get a signed URL, which must not see the token."""
    return await http.send(httpx.Request("GET", url))


def test_a_documents_content_is_prepared_before_it_has_a_location() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        document_id = simulator.organization.document_ids()[0]
        path = DOCUMENT.format(document_id)
        early = await http.get(path)
        assert (early.status_code, early.content) == (202, b"")
        await clock.sleep(1.0)
        body = (await http.get(path)).json()
        assert (body["id"], body["state"]) == (document_id, "Completed")
        converted = await http.get(path, params={"contentType": "image/png", "disposition": "inline"})
        assert converted.status_code == 202
        assert (await http.get(path, params={"disposition": "sideways"})).status_code == 400
        assert (await http.get(DOCUMENT.format("nobody"))).json()["code"] == "not.found"
        return await bare_get(http, body["contentLocationUri"])

    media, _ = in_virtual_time(scenario)
    assert (media.status_code, media.headers["content-type"]) == (200, "application/pdf")


def test_a_document_that_is_not_ready_may_say_so_in_its_state() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(DOCUMENT.format(simulator.organization.document_ids()[0]))
        return reply.status_code, reply.json()

    (status, body), _ = in_virtual_time(scenario, document=DocumentSettings(preparing_reply="running"))
    assert (status, body["state"]) == (200, "Running")
    assert "contentLocationUri" not in body


def test_a_download_redirects_to_its_signed_url_or_names_it() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = DOWNLOAD.format(simulator.organization.download_ids()[0])
        redirect = await http.get(path)
        named = await http.get(path, params={"issueRedirect": "false"})
        assert redirect.content == b""
        assert (await http.get(DOWNLOAD.format("nobody"))).status_code == 404
        assert (await http.get(path, params={"redirectToAuth": "perhaps"})).status_code == 400
        assert simulator.counts.api_ok == 2
        forwarded = await http.get(redirect.headers["location"])
        assert (forwarded.status_code, "Only one auth mechanism" in forwarded.text) == (403, True)
        return (
            redirect.status_code,
            redirect.headers["location"] == named.json()["url"],
            await bare_get(http, named.json()["url"]),
        )

    (status, same, media), _ = in_virtual_time(scenario)
    assert (status, same, media.status_code) == (307, True, 200)


def test_a_redirect_may_lead_in_circles_or_nowhere_by_any_status() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = DOWNLOAD.format(simulator.organization.download_ids()[0])
        reply = await http.get(path)
        return (
            reply.status_code,
            reply.headers.get("location") == simulator.base_url + path,
            "location" in reply.headers,
        )

    itself = DownloadSettings(redirect_to="itself", redirect_status=302)
    nowhere = DownloadSettings(redirect_to="nowhere", redirect_status=303)
    assert in_virtual_time(scenario, download=itself)[0] == (302, True, True)
    assert in_virtual_time(scenario, download=nowhere)[0] == (303, False, False)
    with pytest.raises(ValueError, match="redirect_status"):
        DownloadSettings(redirect_status=200)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("redirects", "query", "status"), [(False, "true", 401), (True, "true", 307), (True, "false", 401)]
)
def test_a_download_may_redirect_whoever_has_no_token_to_the_login(redirects: bool, query: str, status: int) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.revoke_tokens()
        path = DOWNLOAD.format(simulator.organization.download_ids()[0])
        reply = await http.get(path, params={"redirectToAuth": query})
        assert simulator.counts.api_ok == 0
        assert (await http.get(SETTINGS)).status_code == 401
        return reply

    reply, _ = in_virtual_time(scenario, download=DownloadSettings(login_redirect=redirects))
    assert reply.status_code == status
    assert (reply.headers.get("location") == "http://127.0.0.1:1/oauth/authorize") == (status == 307)


def test_a_transcript_has_a_url_for_the_communication_and_one_for_each_recording() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        organization = simulator.organization
        conversation = organization.conversation_at(0)
        path = TRANSCRIPT.format(conversation.id, conversation.communication_id)
        url = (await http.get(path)).json()["url"]
        every = (await http.get(f"{path}s")).json()
        assert every["conversation"]["id"] == conversation.id
        assert every["communicationId"] == conversation.communication_id
        wanted = [recording.id for recording in organization.recordings_of(conversation)]
        assert [each["recording"]["id"] for each in every["urls"]] == wanted
        other = organization.conversation_at(1)
        assert (await http.get(TRANSCRIPT.format(other.id, conversation.communication_id))).status_code == 404
        return [await bare_get(http, each) for each in (url, *(each["url"] for each in every["urls"]))]

    media, _ = in_virtual_time(scenario)
    assert {each.headers["content-type"] for each in media} == {"application/json"}
    assert len({each.json()["id"] for each in media}) == len(media)


def test_a_conversation_without_recordings_has_no_transcript() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        conversation = simulator.organization.conversation_at(0)
        return (await http.get(TRANSCRIPT.format(conversation.id, conversation.communication_id))).json()["code"]

    assert in_virtual_time(scenario, organization=OrganizationSettings(recordings=(0, 0)))[0] == "not.found"


@pytest.mark.parametrize("status", ["valid", "uploading", "invalid"])
def test_media_in_a_message_has_a_url_when_it_is_valid(status: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        conversation = simulator.organization.conversation_at(0)
        media_id = simulator.organization.message_media_id(conversation)
        body = (await http.get(MESSAGE_MEDIA.format(conversation.id, conversation.communication_id, media_id))).json()
        wrong = MESSAGE_MEDIA.format(conversation.id, media_id, media_id)
        assert (await http.get(wrong)).json()["code"] == "not.found"
        assert (body["id"], body["status"], "url" in body) == (media_id, status, status == "valid")
        if "url" in body:
            media = await bare_get(http, body["url"])
            assert (media.headers["content-type"], len(media.content)) == ("image/png", body["contentLengthBytes"])

    in_virtual_time(scenario, message_media_status=status)


def test_a_client_learns_who_and_where_it_is() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        token, organization = (
            (await http.get("/api/v2/tokens/me")).json(),
            (await http.get("/api/v2/organizations/me")).json(),
        )
        assert token["organization"]["id"] == organization["id"] == simulator.organization.id
        assert organization["state"] == "active"
        return token["OAuthClient"]["id"]

    assert in_virtual_time(scenario)[0] == "demo-client"


def test_the_limits_of_a_namespace_are_those_of_the_settings_and_the_defaults_are_not() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        async def limits(name: str) -> dict[str, int]:
            entities = (await http.get(f"/api/v2/organizations/limits/namespaces/{name}")).json()["entities"]
            assert {entity["namespace"] for entity in entities} <= {name.partition("/")[0]}
            return {entity["key"]: entity["value"] for entity in entities}

        assert (await http.get("/api/v2/organizations/limits/namespaces/nothing")).status_code == 404
        return [await limits(name) for name in ("platform.api", "platform.api/defaults", "recording", "auth.api")]

    quotas: dict[str, Any] = {"quota": Quota(20, 30.0), "resource_quotas": {"recording": Quota(120, 60.0)}}
    (now, defaults, recording, auth), _ = in_virtual_time(scenario, **quotas)
    assert (now["client.credentials.token.rate.per.minute"], now["request.bytes.max"]) == (40, 512_000)
    assert defaults["client.credentials.token.rate.per.minute"] == 300
    assert (recording, auth) == ({"recordings.rate.per.minute": 120}, {})
    without = in_virtual_time(scenario, quota=None)[0]
    assert ("token.rate.per.minute" in without[0], without[2]) == (False, {})


def test_a_resource_has_a_limit_beside_the_tokens_with_words_of_its_own() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        for _ in range(2):
            assert (await http.get(SETTINGS)).status_code == 200
        await clock.sleep(10.5)
        refused = await http.get(SETTINGS)
        assert (await ask(http)).status_code == 200
        await log_in(http)
        assert (await http.get(SETTINGS)).status_code == 200
        assert (simulator.counts.refused_429, simulator.counts.refused_by_family) == (0, {"recording": 1})
        return refused

    refused, _ = in_virtual_time(scenario, resource_quotas={"recording": Quota(2, 60.0)})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "49"
    body = refused.json()
    assert body["code"] == "too.many.requests"
    assert body["message"] == "Rate limit exceeded the maximum [2] requests within [60] seconds"


def test_what_a_resource_refuses_has_paid_the_tokens_quota_and_not_the_other_way_round() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        codes = []
        for _ in range(4):
            codes.append((await http.get(SETTINGS)).json().get("code"))
        return codes

    codes, _ = in_virtual_time(scenario, quota=Quota(3, 60.0), resource_quotas={"recording": Quota(2, 60.0)})
    assert codes == [None, None, "too.many.requests", "too.many.requests.retry.after"]


def permitted(*permissions: str) -> dict[str, Any]:
    return {"clients": (OAuthClient("demo-client", "demo-secret", frozenset(permissions)),)}


@pytest.mark.parametrize(
    ("path", "permissions", "code"),
    [
        ("/api/v2/conversations/{c}/recordings/{r}", (), "missing.any.permissions"),
        ("/api/v2/conversations/{c}/recordings/{r}", ("recording:screenRecording:view",), None),
        ("/api/v2/conversations/{c}/recordings", (), "missing.any.permissions"),
        ("/api/v2/conversations/{c}/recordingmetadata", (), "missing.any.permissions"),
        ("/api/v2/orphanrecordings/{o}/media", ("recording:recording:view",), "missing.permissions"),
        (TRANSCRIPT.format("{c}", "{m}"), ("recording:recording:view",), "missing.permissions"),
        (
            TRANSCRIPT.format("{c}", "{m}"),
            ("recording:recording:view", "speechAndTextAnalytics:data:view"),
            None,
        ),
        (TRANSCRIPT.format("{c}", "{m}") + "s", ("recording:recordingSegment:view",), None),
        ("/api/v2/analytics/conversations/details/jobs/availability", (), "missing.any.permissions"),
        (SETTINGS, (), None),
    ],
)
def test_each_family_asks_for_its_permissions(path: str, permissions: tuple[str, ...], code: str | None) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        organization = simulator.organization
        recording, conversation = next(organization.recordings()), organization.conversation_at(0)
        names = {"c": conversation.id, "r": recording.id, "m": conversation.communication_id}
        return await http.get(path.format(**names, o=organization.orphan_ids()[0]))

    reply, _ = in_virtual_time(scenario, **permitted(*permissions))
    if code is None:
        assert reply.is_success
    else:
        assert (reply.status_code, reply.json()["code"]) == (403, code)
        assert "permission" in reply.json()["message"]


def test_a_job_and_a_download_url_ask_for_permissions_too() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job = await http.post(BATCH, json={"batchDownloadRequestList": [{"conversationId": "c"}]})
        return job.json()["code"], job.json()["message"], (await ask(http)).json()["code"]

    (code, message, other), _ = in_virtual_time(scenario, **permitted())
    assert (code, other) == ("missing.any.permissions", "missing.permissions")
    assert message.endswith(
        "at least one of the following permissions assigned: recording:recording:view, "
        "recording:recordingSegment:view, recording:snippetRecording:view, recording:screenRecording:view"
    )


def test_the_list_of_recordings_may_refuse_in_its_own_words() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(f"/api/v2/conversations/{simulator.organization.conversation_at(0).id}/recordings")
        return reply.status_code, reply.json()["message"]

    refusal: Any = "recording.recording.view.permission.check.failed"
    outcome, _ = in_virtual_time(scenario, recording=RecordingSettings(list_refusal=refusal), **permitted())
    assert outcome == (403, "The recording:recording:view permission is required.")


def test_what_an_operation_asks_for_can_be_set() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return (await http.get(SETTINGS)).status_code, (await ask(http)).status_code

    wanted = {"getRecordingSettings": frozenset({"a:b:c"}), "postMediaStorageFileDownloadUrl": frozenset({"a:b:c"})}
    assert in_virtual_time(scenario, operation_permissions=wanted, **permitted())[0] == (403, 403)
    assert in_virtual_time(scenario, operation_permissions=wanted, **permitted("a:b:c"))[0] == (200, 200)
    with pytest.raises(ValueError, match="no such operation: getNothing; there are getAnalytics"):
        Simulator(SimulatorSettings(operation_permissions={"getNothing": frozenset()}))


@pytest.mark.parametrize("style", ["cloudfront", "cloudfront-policy", "s3"])
def test_a_url_carries_its_expiry_in_the_style_of_its_family(style: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = DOWNLOAD.format(simulator.organization.download_ids()[0])
        url = (await http.get(path, params={"issueRedirect": "false"})).json()["url"]
        await clock.sleep(3600.0 - 1.0)
        early = (await bare_get(http, url)).status_code
        await clock.sleep(1.0)
        late = await bare_get(http, url)
        assert "Request has expired" in late.text
        return parse_qs(urlsplit(url).query), early, late.status_code

    (query, early, late), _ = in_virtual_time(scenario, url_styles={"download": style})
    assert (early, late) == (200, 403)
    expiry = 1_700_000_000 + 3600
    if style == "cloudfront":
        assert query["Expires"] == [str(expiry)]
    elif style == "s3":
        date = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert date.timestamp() + int(query["X-Amz-Expires"][0]) == expiry
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    else:
        policy = json.loads(base64.b64decode(query["Policy"][0].translate(str.maketrans("-_~", "+=/"))))
        assert policy["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"] == expiry
        assert "Expires" not in query


def test_batch_urls_are_the_object_stores_and_all_others_the_distributions_by_default() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        item = {"conversationId": simulator.organization.conversation_at(0).id}
        job_id = (await http.post(BATCH, json={"batchDownloadRequestList": [item]})).json()["id"]
        await clock.sleep(10.0)
        result = (await http.get(f"{BATCH}/{job_id}")).json()["results"][0]
        return result["resultUrl"], (await ask(http)).json()["url"]

    (batch, media_storage), _ = in_virtual_time(scenario)
    assert "X-Amz-Expires=3600" in batch
    assert "?Expires=" in media_storage
    styled = in_virtual_time(scenario, url_styles={"media-storage": "s3"})[0]
    assert ("?Expires=" in styled[0], "X-Amz-Expires=3600" in styled[1]) == (True, True)


@pytest.mark.parametrize("style", ["s3", "cloudfront-policy"])
def test_a_change_to_what_a_url_of_any_style_signs_is_seen(style: Any) -> None:
    signer = Signer(b"key")
    target = urlsplit(signer.sign("/media/a/a.wav", 1_700_000_060, style=style, life=60))
    query = target.query
    assert signer.judge(target.path, query, 1_700_000_059.9) is Verdict.GOOD
    assert signer.judge(target.path, query, 1_700_000_060.0) is Verdict.EXPIRED
    assert signer.judge("/media/b/a.wav", query, 0.0) is Verdict.CHANGED
    part = "X-Amz-Expires=60" if style == "s3" else "Policy=ey"
    assert part in query
    assert signer.judge(target.path, query.replace(part, f"{part}0"), 0.0) is Verdict.CHANGED
    name = part.partition("=")[0]
    assert signer.judge(target.path, query.replace(f"{name}=", "x="), 0.0) in (Verdict.UNSIGNED, Verdict.CHANGED)
    assert signer.judge(target.path, f"{query}&{name}=1", 0.0) is Verdict.UNSIGNED


def test_faults_can_be_scripted_for_one_operation_and_come_before_those_for_all() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.SERVER_ERROR_500)
        simulator.script(None, Fault.SERVER_ERROR_503, operation="getTokensMe")
        paths = ["/api/v2/tokens/me", "/api/v2/tokens/me", "/api/v2/tokens/me", SETTINGS]
        with pytest.raises(ValueError, match="no such operation: getNothing"):
            simulator.script(Fault.HANG, operation="getNothing")
        return [(await http.get(path)).status_code for path in paths]

    assert in_virtual_time(scenario)[0] == [200, 503, 500, 200]


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


def test_a_fault_with_nothing_to_spoil_leaves_the_reply_as_it_is() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.EMPTY_URL, Fault.MISSING_FIELDS)
        good = await http.get("/api/v2/organizations/me")
        await http.get("/api/v2/organizations/me")
        return good.status_code, simulator.counts.faults, simulator.counts.api_ok

    assert in_virtual_time(scenario)[0] == (200, {Fault.MISSING_FIELDS: 1}, 1)


def test_a_fixed_name_in_a_path_comes_before_an_id() -> None:
    def nothing(_: Any) -> Any:
        raise AssertionError

    router = Router(
        Operation(name, method, path, "analytics", nothing)
        for name, method, path in [("byId", "GET", "/a/{id}"), ("fixed", "GET", "/a/b"), ("post", "POST", "/a/{id}")]
    )
    for path, names, ids in [
        ("/a/b", ["fixed"], ()),
        ("/a/c", ["byId", "post"], ("c",)),
        ("/a/%41", ["byId", "post"], ("A",)),
    ]:
        found = router.find(path)
        assert found is not None
        assert ([operation.name for operation in found[0].values()], found[1]) == (names, ids)
    assert [router.find(path) for path in ("/a", "/a/", "/a/..", "/a/b%2Fc", "/a/b/c")] == [None] * 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"resource_quotas": {"coffee": Quota()}},
        {"url_styles": {"coffee": "s3"}},
        {"url_styles": {"batch": "curly"}},
    ],
)
def test_families_and_styles_that_there_are_not_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there are"):
        SimulatorSettings(**wrong)


@pytest.mark.anyio
async def test_every_family_is_served_over_sockets_too() -> None:
    settings = SimulatorSettings(recording=RecordingSettings(transcode_seconds=0.02))
    async with Simulator(settings, clock=SystemClock()) as simulator:
        async with httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as http:
            await log_in(http)
            recording = next(simulator.organization.recordings())
            path = f"/api/v2/conversations/{recording.conversation_id}/recordings"
            listed = await http.get(path)
            single = await http.get(f"{path}/{recording.id}", params={"mediaFormats": "WEBM"})
            redirect = await http.get(DOWNLOAD.format(simulator.organization.download_ids()[0]))
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
FIELDS = ["batchDownloadRequestList", "interval", "paging", "segmentFilters", "conversationFilters", "order", "orderBy"]
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
def test_every_body_is_answered(path: str, body: Any, valid: bool) -> None:
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
def test_every_parameter_is_answered(name: str, value: str, kind: int) -> None:
    recording = next(CLOUD.organization.recordings())
    conversation = f"/api/v2/conversations/{recording.conversation_id}/recordings"
    orphan, document = CLOUD.organization.orphan_ids()[0], CLOUD.organization.document_ids()[0]
    paths = [conversation, f"{conversation}/{recording.id}", f"/api/v2/orphanrecordings/{orphan}/media"]
    target = str(httpx.URL((*paths, DOCUMENT.format(document))[kind], params={name: value}))
    assert CLOUD.handle(Request("GET", target, {"authorization": BEARER}, b"")).status in (200, 202, 400)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_can_befall_every_operation(fault: Fault) -> None:
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
            DOWNLOAD.format(organization.download_ids()[0]),
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
