"""Media files of messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import APIStatusError, sanitized
from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import get_when_ready, or_raise, validated

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


def _path(conversation_id: str, communication_id: str, media_id: str) -> str:
    communication = f"{conversation_id}/communications/{communication_id}"
    return f"/api/v2/conversations/messages/{communication}/messages/media/{media_id}"


class MessageMedia(Endpoint):
    """
    The URL of a media file in a message conversation, by `GET …/messages/media/{mediaId}`.

    The path begins with `/api/v2/conversations/messages/{conversationId}/communications/{communicationId}`. The
    permissions are those in the documentation of the official .NET SDK 270.
    """

    action = "message_media"
    id_formats = ("conversationId/communicationId/mediaId",)
    permission = "one of the permissions conversation:message:view and conversation:webmessaging:view"
    probe = Probe("GET", _path(MISSING_ID, MISSING_ID, MISSING_ID))

    def __repr__(self) -> str:
        return "<MessageMedia>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URL of one media file."""
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

        path = _path(*request.parts)
        await context.report(request, await get_when_ready(self, context, request, path, read))


def _without_url(status: str | None) -> APIStatusError:
    match status:
        case "uploading":
            return APIStatusError(
                "The media file is still being uploaded.",
                code="media_uploading",
                retryable=True,
                advice="Try again in some minutes.",
            )
        case "invalid":
            return APIStatusError(
                "Genesys considers the media file invalid.", code="media_invalid", advice="Remove it from the input."
            )
        case _:
            return APIStatusError(
                f"The media file has no URL; its status is {sanitized(status or 'unknown', 40)}.",
                code="no_url",
                retryable=True,
                advice="Try again later.",
            )
