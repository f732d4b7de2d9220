"""Operations: their paths and their permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import OAuthClient, RecordingSettings, Simulator, SimulatorSettings
from genesys_media_async.simulator.operations import Operation, Router
from tests.support.batch_jobs import BATCH
from tests.support.virtual_simulators import SETTINGS, TRANSCRIPT, ask, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


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
        ("/api/v2/analytics/conversations/details/jobs/availability", (), "missing.permissions"),
        (SETTINGS, (), None),
    ],
)
def test_each_family_requires_its_permissions(path: str, permissions: tuple[str, ...], code: str | None) -> None:
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


def test_a_job_and_a_download_url_require_permissions() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        job = await http.post(BATCH, json={"batchDownloadRequestList": [{"conversationId": "c"}]})
        return job.json()["code"], job.json()["message"], (await ask(http)).json()["code"]

    (code, message, other), _ = in_virtual_time(scenario, **permitted())
    assert (code, other) == ("missing.any.permissions", "missing.permissions")
    assert message.endswith(
        "at least one of the following permissions assigned: recording:recording:view, "
        "recording:recordingSegment:view, recording:snippetRecording:view, recording:screenRecording:view"
    )


def test_the_list_of_recordings_can_refuse_with_a_message_of_its_own() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(f"/api/v2/conversations/{simulator.organization.conversation_at(0).id}/recordings")
        return reply.status_code, reply.json()["message"]

    refusal: Any = "recording.recording.view.permission.check.failed"
    outcome, _ = in_virtual_time(scenario, recording=RecordingSettings(list_refusal=refusal), **permitted())
    assert outcome == (403, "The recording:recording:view permission is required.")


def test_the_permissions_of_an_operation_are_a_setting() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return (await http.get(SETTINGS)).status_code, (await ask(http)).status_code

    wanted = {"getRecordingSettings": frozenset({"a:b:c"}), "postMediaStorageFileDownloadUrl": frozenset({"a:b:c"})}
    assert in_virtual_time(scenario, operation_permissions=wanted, **permitted())[0] == (403, 403)
    assert in_virtual_time(scenario, operation_permissions=wanted, **permitted("a:b:c"))[0] == (200, 200)
    with pytest.raises(ValueError, match="unknown operation: getNothing; the operations are getAnalytics"):
        Simulator(SimulatorSettings(operation_permissions={"getNothing": frozenset()}))


def test_a_fixed_segment_of_a_path_takes_precedence_over_an_id() -> None:
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
