"""Downloads of the platform: the URL that it would redirect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import get_when_ready, or_raise, validated

if TYPE_CHECKING:
    from ..models import DownloadUrl, MediaRequest
    from ..transports.base import HttpReply
    from .base import EndpointContext


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    url: str = Field(repr=False)


_REPLY = TypeAdapter(_Reply)
_QUERY = "issueRedirect=false&redirectToAuth=false"


class PlatformDownload(Endpoint):
    """
    The signed URL that `GET /api/v2/downloads/{downloadId}` would redirect to.

    The request asks for the URL instead of a redirect. If a redirect comes all the same, its Location is the URL; it is
    not followed, since the bearer token must not be sent there. Genesys documents no permission for this operation.
    """

    action = "download"
    id_formats = ("downloadId",)
    permission = "the permission that the message names"
    probe = Probe("GET", f"/api/v2/downloads/{MISSING_ID}?{_QUERY}")

    def __repr__(self) -> str:
        return "<PlatformDownload>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URL of one download."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            url = reply.headers["location"] if reply.status >= 300 else read_json(_REPLY, reply).url
            return or_raise(validated(url.strip(), request, context.rule, sent_at))

        path = f"/api/v2/downloads/{request.file_id}?{_QUERY}"
        result = await get_when_ready(self, context, request, path, read, redirects=True)
        await context.report(request, result)
