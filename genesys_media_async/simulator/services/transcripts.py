"""Transcripts of speech and text analytics: the URL for one communication, and those for all its recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..operations import Call, Operation, Refused
from .permissions import VIEW_PERMISSIONS

if TYPE_CHECKING:
    from ..messages import Reply
    from ..organization import Conversation, Organization
    from .storage import MediaUrls

PATH = "/api/v2/speechandtextanalytics/conversations/{conversationId}/communications/{communicationId}"
ANALYTICS_PERMISSION = "speechAndTextAnalytics:data:view"
CONTENT_TYPE = "application/json"


class Transcripts:
    """Serves the URLs of transcripts; a conversation without recordings has no transcript."""

    def __init__(self, organization: Organization, urls: MediaUrls) -> None:
        self._organization = organization
        self._urls = urls

    def __repr__(self) -> str:
        return "<Transcripts>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operations."""
        name = "getSpeechandtextanalyticsConversationCommunicationTranscripturl"
        both = (VIEW_PERMISSIONS[0], ANALYTICS_PERMISSION)
        return (
            Operation(name, "GET", f"{PATH}/transcripturl", "transcript", self._one, all_of=both),
            Operation(f"{name}s", "GET", f"{PATH}/transcripturls", "transcript", self._all, VIEW_PERMISSIONS[:2]),
        )

    def _one(self, call: Call) -> Reply:
        return call.reply({"url": self._url(self._conversation(call).communication_id, call)})

    def _all(self, call: Call) -> Reply:
        conversation = self._conversation(call)
        path = f"/api/v2/conversations/{conversation.id}"
        urls = [
            {
                "recording": {"id": recording.id, "selfUri": f"{path}/recordings/{recording.id}"},
                "url": self._url(recording.id, call),
            }
            for recording in self._organization.recordings_of(conversation)
        ]
        return call.reply(
            {
                "conversation": {"id": conversation.id, "selfUri": path},
                "communicationId": conversation.communication_id,
                "urls": urls,
            }
        )

    def _conversation(self, call: Call) -> Conversation:
        conversation = self._organization.conversation(call.ids[0])
        if conversation is None or conversation.recording_count == 0 or conversation.communication_id != call.ids[1]:
            raise Refused("not.found")
        return conversation

    def _url(self, of: str, call: Call) -> str:
        return self._urls.url("transcript", call.origin, f"transcript-{of}", CONTENT_TYPE, signed_at=call.wall)
