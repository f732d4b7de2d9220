"""Media files in messages: the URL of one file of a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..operations import Call, Operation, Refused
from .permissions import MESSAGE_MEDIA_PERMISSIONS

if TYPE_CHECKING:
    from ..messages import Reply
    from ..organization import Organization
    from ..settings import SimulatorSettings
    from .storage import MediaUrls

PATH = "/api/v2/conversations/messages/{conversationId}/communications/{communicationId}/messages/media/{mediaId}"
CONTENT_TYPE = "image/png"


class MessageMedia:
    """Serves the URLs of media files in messages."""

    def __init__(self, settings: SimulatorSettings, organization: Organization, urls: MediaUrls) -> None:
        self._settings = settings
        self._organization = organization
        self._urls = urls

    def __repr__(self) -> str:
        return "<MessageMedia>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operation."""
        name = "getConversationsMessageCommunicationMessagesMediaMediaId"
        return (Operation(name, "GET", PATH, "message-media", self._media, MESSAGE_MEDIA_PERMISSIONS),)

    def _media(self, call: Call) -> Reply:
        conversation_id, communication_id, media_id = call.ids
        conversation = self._organization.conversation(conversation_id)
        if (
            conversation is None
            or communication_id != conversation.communication_id
            or media_id != self._organization.message_media_id(conversation)
        ):
            raise Refused("not.found")
        path = PATH.format(conversationId=conversation_id, communicationId=communication_id, mediaId=media_id)
        body: dict[str, object] = {
            "id": media_id,
            "name": f"{media_id}.png",
            "mediaType": CONTENT_TYPE,
            "contentLengthBytes": self._settings.media_bytes,
            "status": self._settings.message_media_status,
            "conversationId": conversation_id,
            "communicationId": communication_id,
            "selfUri": path,
        }
        if self._settings.message_media_status == "valid":
            body["url"] = self._urls.url("message-media", call.origin, media_id, CONTENT_TYPE, signed_at=call.wall)
        return call.reply(body)
