"""Media files in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import ApiError, quotable
from .base import read_json
from .get import accepted, get, judged

if TYPE_CHECKING:
    from ..models import DownloadUrl, MediaRequest
    from ..transports import HttpReply
    from .base import Assignment


class _Media(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    url: str | None = Field(default=None, repr=False)
    name: str | None = None
    mediaType: str | None = None  # noqa: N815
    status: str | None = None


_MEDIA = TypeAdapter(_Media)


class MessageMedia:
    """
    Asks `GET …/messages/media/{mediaId}` below a communication of a message conversation.

    The whole path is `/api/v2/conversations/messages/{conversationId}/communications/{communicationId}/messages/media/`
    and the media's id. Genesys documents no permission for it.
    """

    action = "message_media"
    forms = ("conversationId/communicationId/mediaId",)
    batch_size = 1

    def __repr__(self) -> str:
        return "<MessageMedia>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], assignment: Assignment) -> None:
        """Ask for the URL of one media file."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            media = read_json(_MEDIA, reply)
            if media.url is None or media.status in {"uploading", "invalid"}:
                raise _without_url(media.status)
            return accepted(
                judged(
                    media.url,
                    request,
                    assignment.rule,
                    sent_at,
                    content_type=media.mediaType,
                    file_name=media.name,
                )
            )

        conversation_id, communication_id, media_id = request.parts
        communication = f"{conversation_id}/communications/{communication_id}"
        path = f"/api/v2/conversations/messages/{communication}/messages/media/{media_id}"
        await assignment.tell(request, await get(assignment, request, path, self.action, read))


def _without_url(status: str | None) -> ApiError:
    match status:
        case "uploading":
            return ApiError(
                "The media file is still being uploaded.",
                code="media_uploading",
                retryable=True,
                advice="Ask again in some minutes.",
            )
        case "invalid":
            return ApiError(
                "Genesys found the media file invalid.", code="media_invalid", advice="Remove it from the input."
            )
        case _:
            return ApiError(
                f"The media file has no URL; its status is {quotable(status or 'not told', 40)}.",
                code="no_url",
                retryable=True,
                advice="Ask again later.",
            )
