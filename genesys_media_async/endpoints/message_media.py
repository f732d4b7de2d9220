"""Media files in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import APIStatusError, sanitized
from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import get, or_raise, validated

if TYPE_CHECKING:
    from ..models import DownloadUrl, MediaRequest
    from ..transports.base import HttpReply
    from .base import EndpointContext


class _Media(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    url: str | None = Field(default=None, repr=False)
    name: str | None = None
    mediaType: str | None = None  # noqa: N815
    status: str | None = None


_MEDIA = TypeAdapter(_Media)


class MessageMedia(Endpoint):
    """
    Asks `GET …/messages/media/{mediaId}` below a communication of a message conversation.

    The whole path is `/api/v2/conversations/messages/{conversationId}/communications/{communicationId}/messages/media/`
    and the media's id. Genesys documents no permission for it.
    """

    action = "message_media"
    id_formats = ("conversationId/communicationId/mediaId",)
    permission = "the permission that the message names"
    probe = Probe(
        "GET",
        f"/api/v2/conversations/messages/{MISSING_ID}/communications/{MISSING_ID}/messages/media/{MISSING_ID}",
    )
    batch_size = 1

    def __repr__(self) -> str:
        return "<MessageMedia>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Ask for the URL of one media file."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            media = read_json(_MEDIA, reply)
            if media.url is None or media.status in {"uploading", "invalid"}:
                raise _without_url(media.status)
            return or_raise(
                validated(
                    media.url,
                    request,
                    context.rule,
                    sent_at,
                    content_type=media.mediaType,
                    file_name=media.name,
                )
            )

        conversation_id, communication_id, media_id = request.parts
        communication = f"{conversation_id}/communications/{communication_id}"
        path = f"/api/v2/conversations/messages/{communication}/messages/media/{media_id}"
        await context.report(request, await get(context, request, path, self.action, read))


def _without_url(status: str | None) -> APIStatusError:
    match status:
        case "uploading":
            return APIStatusError(
                "The media file is still being uploaded.",
                code="media_uploading",
                retryable=True,
                advice="Ask again in some minutes.",
            )
        case "invalid":
            return APIStatusError(
                "Genesys found the media file invalid.", code="media_invalid", advice="Remove it from the input."
            )
        case _:
            return APIStatusError(
                f"The media file has no URL; its status is {sanitized(status or 'not told', 40)}.",
                code="no_url",
                retryable=True,
                advice="Ask again later.",
            )
