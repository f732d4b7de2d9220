"""Media files in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import OAuthClient
from tests.support.virtual_simulators import bare_get, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.simulator import Simulator

MESSAGE_MEDIA = "/api/v2/conversations/messages/{}/communications/{}/messages/media/{}"


@pytest.mark.parametrize("status", ["valid", "uploading", "invalid"])
def test_a_media_file_in_a_message_has_a_url_when_it_is_valid(status: Any) -> None:
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


@pytest.mark.parametrize(
    ("permission", "status"),
    [("conversation:message:view", 404), ("conversation:webmessaging:view", 404), ("recording:recording:view", 403)],
)
def test_a_media_file_in_a_message_takes_one_of_two_permissions(permission: str, status: int) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> int:
        return (await http.get(MESSAGE_MEDIA.format("a", "b", "c"))).status_code

    clients = (OAuthClient("demo-client", "demo-secret", permissions=frozenset({permission})),)
    assert in_virtual_time(scenario, clients=clients)[0] == status
