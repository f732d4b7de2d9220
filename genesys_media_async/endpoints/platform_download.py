"""Downloads: the URL that the platform would redirect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import get, or_raise, validated

if TYPE_CHECKING:
    from ..models import DownloadUrl, MediaRequest
    from ..transports.base import HttpReply
    from .base import EndpointContext


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    url: str = Field(repr=False)


_REPLY = TypeAdapter(_Reply)


class PlatformDownload(Endpoint):
    """
    Asks `GET /api/v2/downloads/{downloadId}` to name the signed URL instead of redirecting to it.

    Where a redirect comes all the same, the URL is its Location, which is not followed: the bearer token must not go
    there. Genesys documents no permission for it.
    """

    action = "download"
    id_formats = ("downloadId",)
    permission = "the permission that the message names"
    probe = Probe("GET", f"/api/v2/downloads/{MISSING_ID}?issueRedirect=false&redirectToAuth=false")
    batch_size = 1

    def __repr__(self) -> str:
        return "<PlatformDownload>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Ask for the URL of one download."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            url = reply.headers["location"] if reply.status >= 300 else read_json(_REPLY, reply).url
            return or_raise(validated(url.strip(), request, context.rule, sent_at))

        path = f"/api/v2/downloads/{request.file_id}?issueRedirect=false&redirectToAuth=false"
        answer = await get(context, request, path, self.action, read, redirects=True)
        await context.report(request, answer)
