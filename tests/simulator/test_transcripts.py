"""Transcripts of conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genesys_media_async.simulator import OrganizationSettings, Simulator
from tests.support.virtual_simulators import TRANSCRIPT, bare_get, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


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
