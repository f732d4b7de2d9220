"""The recordings of a conversation as a list, and their metadata: long polls, lifetimes and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from genesys_media_async.simulator import Fault, OrganizationSettings, RecordingSettings, Simulator
from tests.support.recordings import AT_ONCE, AUDIO, STEADY, first, list_path, path_of
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


def test_the_list_waits_for_its_transcoding_up_to_the_requested_time() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path, seen = list_path(first(simulator)), []
        for query in ({"maxWaitMs": "1000"}, {"maxWaitMs": "1000"}, {}, {}):
            began = clock.monotonic()
            reply = await http.get(path, params=query)
            seen.append((reply.status_code, len(reply.content) > 0, round(clock.monotonic() - began, 3)))
        return seen, (await http.get(path)).json()

    (seen, listed), _ = in_virtual_time(scenario, recording=STEADY, organization=AUDIO)
    assert seen == [(202, False, 1.0), (202, False, 1.0), (200, True, 2.0), (200, True, 0.0)]
    assert [list(each["mediaUris"]) for each in listed] == [["0"], ["0"]]


def test_the_lifetime_of_a_lists_urls_begins_after_its_wait() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(list_path(first(simulator)))
        uri = reply.json()[0]["mediaUris"]["0"]["mediaUri"]
        return int(parse_qs(urlsplit(uri).query)["Expires"][0]) - int(clock.wall())

    settings = RecordingSettings(transcode_seconds=4.0, spread=0.0, url_minutes=2)
    life, took = in_virtual_time(scenario, recording=settings, organization=AUDIO)
    assert life == 120
    assert took == pytest.approx(4.0)


def test_the_list_can_reply_without_waiting() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        reply = await http.get(list_path(first(simulator)))
        return reply.status_code, reply.content

    settings = RecordingSettings(long_poll=False)
    outcome, took = in_virtual_time(scenario, recording=settings, organization=AUDIO)
    assert (outcome, took) == ((202, b""), 0.0)


def test_a_conversation_without_recordings_has_an_empty_list() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        conversation = simulator.organization.conversation_at(0)
        reply = await http.get(f"/api/v2/conversations/{conversation.id}/recordings")
        return reply.status_code, reply.json()

    assert in_virtual_time(scenario, organization=OrganizationSettings(recordings=(0, 0)))[0] == (200, [])


@pytest.mark.parametrize("query", [{"maxWaitMs": "0"}, {"maxWaitMs": "x"}, {"formatId": "EML"}])
def test_the_parameters_of_the_list_are_checked(query: dict[str, str]) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        return (await http.get(list_path(first(simulator)), params=query)).json()["code"]

    assert in_virtual_time(scenario)[0] == "invalid.value"


def test_metadata_lists_the_recordings_without_any_url() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        recording = first(simulator)
        path = f"/api/v2/conversations/{recording.conversation_id}/recordingmetadata"
        listed, one = (await http.get(path)).json(), (await http.get(f"{path}/{recording.id}")).json()
        wanted = simulator.organization.recordings_of(simulator.organization.conversation_at(0))
        assert [each["id"] for each in listed] == [each.id for each in wanted]
        assert one == listed[0]
        return one

    one, took = in_virtual_time(scenario)
    assert took == 0.0
    assert "mediaUris" not in one
    assert one["fileState"] == "AVAILABLE"


@pytest.mark.parametrize("fault", [Fault.EMPTY_URL, Fault.OVERSIZED_BODY, Fault.TRUNCATED_JSON, Fault.SERVER_ERROR_503])
def test_api_faults_happen_to_recordings_and_their_lists(fault: Fault) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(fault, fault)
        single, listed = await http.get(path_of(first(simulator))), await http.get(list_path(first(simulator)))
        assert simulator.counts.faults == {fault: 2}
        return single, listed

    (single, listed), _ = in_virtual_time(scenario, recording=AT_ONCE)
    if fault is Fault.EMPTY_URL:
        assert single.json()["mediaUris"]["0"] == listed.json()[0]["mediaUris"]["0"] == {"mediaUri": ""}
    elif fault is Fault.OVERSIZED_BODY:
        assert min(len(single.content), len(listed.content)) > 64 * 1024
    elif fault is Fault.TRUNCATED_JSON:
        assert not single.content.endswith(b"}")
        assert not listed.content.endswith(b"]")
    else:
        assert (single.status_code, listed.status_code) == (503, 503)
