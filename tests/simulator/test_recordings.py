"""Recordings one by one, and orphan recordings: transcoding, formats, parts and states."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import OAuthClient, OrganizationSettings, RecordingSettings, Simulator
from tests.support.recordings import AT_ONCE, AUDIO, STEADY, first, list_path, path_of
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


def test_a_recording_is_transcoded_before_it_has_urls() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        seen = []
        for _ in range(3):
            reply = await http.get(path_of(first(simulator)))
            assert "retry-after" not in reply.headers
            body = reply.json()
            seen.append((reply.status_code, body.get("estimatedTranscodeTimeMs"), body["mediaUris"] is None))
            await clock.sleep(3.0)
        return seen

    seen, _ = in_virtual_time(scenario, recording=STEADY, organization=AUDIO)
    assert seen == [(202, 4000, True), (202, 1000, True), (200, None, False)]


def test_a_client_that_waits_for_the_estimate_need_not_wait_again() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        statuses = []
        for recording in simulator.organization.recordings():
            estimate = (await http.get(path_of(recording))).json()["estimatedTranscodeTimeMs"]
            await clock.sleep(estimate / 1000)
            statuses.append((await http.get(path_of(recording))).status_code)
        return statuses

    organization = OrganizationSettings(conversations=50)
    assert set(in_virtual_time(scenario, organization=organization, quota=None)[0]) == {200}


@pytest.mark.parametrize(("factor", "estimate"), [(0.5, 2000), (2.0, 8000), (None, None)])
def test_the_estimate_can_be_wrong_or_missing(factor: float | None, estimate: int | None) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return (await http.get(path_of(first(simulator)))).json().get("estimatedTranscodeTimeMs")

    settings = RecordingSettings(transcode_seconds=4.0, spread=0.0, estimate_factor=factor)
    assert in_virtual_time(scenario, recording=settings)[0] == estimate


def test_a_202_has_a_retry_after_only_if_the_settings_ask_for_it() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return (await http.get(path_of(first(simulator)))).headers["Retry-After"]

    settings = RecordingSettings(transcode_seconds=3.5, spread=0.0, retry_after_on_202=True)
    assert in_virtual_time(scenario, recording=settings)[0] == "4"


def test_transcoding_can_take_for_ever() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = first(simulator)
        simulator.organization.change(recording.id, transcode_seconds=math.inf)
        seen = []
        for _ in range(3):
            single, all_of_them = await http.get(path_of(recording)), await http.get(list_path(recording))
            seen.append((single.status_code, all_of_them.status_code))
            assert "estimatedTranscodeTimeMs" not in single.json()
            await clock.sleep(100_000.0)
        return seen

    settings = RecordingSettings(retry_after_on_202=True)
    assert in_virtual_time(scenario, recording=settings, token_lifetime=1e9)[0] == [(202, 202)] * 3


def test_each_format_has_a_transcoding_of_its_own() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = path_of(first(simulator))
        await http.get(path)
        await clock.sleep(5.0)
        queries = [{}, {"formatId": "WEBM"}, {"formatId": "WAV"}, {"download": "true"}, {"formatId": "NONE"}]
        return [(await http.get(path, params=query)).status_code for query in queries]

    assert in_virtual_time(scenario, recording=STEADY, organization=AUDIO)[0] == [200, 200, 202, 202, 200]


@pytest.mark.parametrize(
    ("query", "extension", "content_type"),
    [
        ({}, ".webm", "audio/webm"),
        ({"formatId": "WAV"}, ".wav", "audio/wav"),
        ({"formatId": "MP3"}, ".mp3", "audio/mpeg"),
        ({"formatId": "OGG_OPUS"}, ".ogg", "audio/ogg"),
        ({"formatId": "WAV", "mediaFormats": "MP3,WAV"}, ".mp3", "audio/mpeg"),
        ({"mediaFormats": ["OGG_VORBIS", "MP3"]}, ".ogg", "audio/ogg"),
    ],
)
def test_a_recording_is_served_in_the_requested_format(query: Any, extension: str, content_type: str) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = first(simulator)
        body = (await http.get(path_of(recording), params=query)).json()
        http.headers.pop("Authorization")
        (uri,) = (part["mediaUri"] for part in body["mediaUris"].values())
        media = await http.get(uri)
        assert body["outputSizeInBytes"] == len(media.content)
        return uri.partition("?")[0], media.headers["content-type"]

    (path, served), _ = in_virtual_time(scenario, recording=AT_ONCE, organization=AUDIO)
    assert path.endswith(extension)
    assert served == content_type


@pytest.mark.parametrize(
    ("media", "query", "content_type"),
    [
        ("screen", {}, "video/mp4"),
        ("email", {}, "message/rfc822"),
        ("chat", {"download": "true"}, "application/zip"),
        ("messaging", {}, "application/zip"),
        ("messaging", {"messageFormatId": "NONE"}, "application/json"),
    ],
)
def test_other_media_have_formats_of_their_own(media: Any, query: dict[str, str], content_type: str) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        body = (await http.get(path_of(first(simulator)), params=query)).json()
        http.headers.pop("Authorization")
        (uri,) = (part["mediaUri"] for part in body["mediaUris"].values())
        return body["media"], (await http.get(uri)).headers["content-type"]

    organization = OrganizationSettings(recordings=(1, 1), media=(media,))
    assert in_virtual_time(scenario, recording=AT_ONCE, organization=organization)[0] == (media, content_type)


@pytest.mark.parametrize(
    "query",
    [
        {"formatId": "FLAC"},
        {"mediaFormats": "MP3,NONE"},
        {"emailFormatId": "ZIP"},
        {"chatFormatId": "EML"},
        {"messageFormatId": "x"},
        {"download": "yes"},
    ],
)
def test_a_parameter_without_an_allowed_value_is_refused(query: dict[str, str]) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(path_of(first(simulator)), params=query)
        return reply.status_code, reply.json()["code"], reply.json()["message"]

    (status, code, message), _ = in_virtual_time(scenario)
    assert (status, code) == (400, "invalid.value")
    assert "Allowable values are" in message


def test_each_channel_is_a_part_and_a_download_is_a_single_file() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = first(simulator)
        simulator.organization.change(recording.id, parts=2)
        play = (await http.get(path_of(recording))).json()["mediaUris"]
        query = {"download": "true", "fileName": "../My call"}
        keep = (await http.get(path_of(recording), params=query)).json()["mediaUris"]
        http.headers.pop("Authorization")
        bodies = [(await http.get(part["mediaUri"])) for part in (*play.values(), *keep.values())]
        assert [body.status_code for body in bodies] == [200] * 3
        assert len({body.content for body in bodies}) == 3
        return list(play), list(keep), keep["S"]["mediaUri"].partition("?")[0]

    (play, keep, path), _ = in_virtual_time(scenario, recording=AT_ONCE, organization=AUDIO)
    assert (play, keep) == (["0", "1"], ["S"])
    assert path.endswith("/.._My%20call.webm")


@pytest.mark.parametrize("state", ["ARCHIVED", "DELETED", "RESTORING", "UPLOADING", "ERROR"])
def test_the_reply_for_a_recording_without_media_has_its_state_and_null_at_once(state: Any) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = first(simulator)
        simulator.organization.change(recording.id, file_state=state)
        return (await http.get(path_of(recording))).json()

    body, _ = in_virtual_time(scenario)
    assert (body["fileState"], body["mediaUris"], body["outputSizeInBytes"]) == (state, None, 0)
    assert (body["startTime"], body["endTime"]) == (None, None)
    assert ("archiveDate" in body, "deleteDate" in body) == (state == "ARCHIVED", state == "DELETED")


def test_media_uris_can_be_null_for_an_available_recording_and_present_for_a_restored_one() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = first(simulator)
        simulator.organization.change(recording.id, parts=0)
        without = (await http.get(path_of(recording))).json()
        simulator.organization.change(recording.id, parts=1, file_state="RESTORED")
        return (
            without["fileState"],
            without["mediaUris"],
            list((await http.get(path_of(recording))).json()["mediaUris"]),
        )

    assert in_virtual_time(scenario, recording=AT_ONCE)[0] == ("AVAILABLE", None, ["0"])


@pytest.mark.parametrize("needed", [False, True])
def test_text_can_have_media_only_with_a_download(needed: bool) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = path_of(first(simulator))
        keep = (await http.get(path, params={"download": "true"})).json()["mediaUris"]
        return (await http.get(path)).json()["mediaUris"] is None, keep is None

    settings = RecordingSettings(transcode_seconds=0.0, text_needs_download=needed)
    organization = OrganizationSettings(recordings=(1, 1), media=("email",))
    assert in_virtual_time(scenario, recording=settings, organization=organization)[0] == (needed, False)


def test_unknown_recordings_and_conversations_are_not_found() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording, other = first(simulator), simulator.organization.conversation_at(1).id
        strangers = Simulator().organization.conversation_at(0).id
        paths = [
            f"/api/v2/conversations/{recording.conversation_id}/recordings/{strangers}",
            f"/api/v2/conversations/{other}/recordings/{recording.id}",
            f"/api/v2/conversations/{recording.id}/recordings/{recording.id}",
            f"/api/v2/conversations/{recording.conversation_id.upper()}/recordings",
            "/api/v2/conversations/nobody/recordings",
            "/api/v2/conversations/nobody/recordingmetadata",
        ]
        return [(await http.get(path)).json()["code"] for path in paths]

    codes, _ = in_virtual_time(scenario)
    assert codes == ["not.found"] * 2 + ["conversation.not.found"] * 4


def test_an_orphan_is_served_after_an_empty_202_and_only_with_its_permission() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        orphan_id = simulator.organization.orphan_ids()[0]
        path = f"/api/v2/orphanrecordings/{orphan_id}/media"
        early = await http.get(path)
        assert (early.status_code, early.content) == (202, b"")
        await clock.sleep(5.0)
        late = await http.get(path)
        assert (late.json()["id"], list(late.json()["mediaUris"])) == (orphan_id, ["0"])
        assert "X-Amz-Expires=3600" in late.json()["mediaUris"]["0"]["mediaUri"]
        simulator.organization.change(orphan_id, file_state="ARCHIVED")
        assert (await http.get(path)).json()["mediaUris"] is None
        return (await http.get("/api/v2/orphanrecordings/nobody/media")).json()["code"]

    client = OAuthClient("demo-client", "demo-secret", frozenset({"recording:orphan:view"}))
    styles = {"orphan-recording": "s3"}
    assert in_virtual_time(scenario, clients=(client,), url_styles=styles)[0] == "not.found"


def test_the_recording_settings_contain_the_lifetime_of_urls() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        body = (await http.get("/api/v2/recording/settings")).json()
        reply = (await http.get(path_of(first(simulator)))).json()
        http.headers.pop("Authorization")
        url = reply["mediaUris"]["0"]["mediaUri"]
        await clock.sleep(300.0 - 1.0)
        early = (await http.get(url)).status_code
        await clock.sleep(1.0)
        return body, early, (await http.get(url)).status_code

    settings = RecordingSettings(transcode_seconds=0.0, url_minutes=5)
    (body, early, late), _ = in_virtual_time(scenario, recording=settings)
    assert (body["recordingPlaybackUrlTtl"], body["recordingBatchDownloadUrlTtl"]) == (5, 60)
    assert (early, late) == (200, 403)


@pytest.mark.parametrize(
    "wrong", [{"transcode_seconds": -1.0}, {"spread": -0.1}, {"estimate_factor": -1.0}, {"url_minutes": 0}]
)
def test_impossible_recording_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RecordingSettings(**wrong)
