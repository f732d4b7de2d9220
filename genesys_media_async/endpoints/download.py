"""Downloads: the URL that the platform would redirect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .base import read_json
from .get import accepted, get, judged

if TYPE_CHECKING:
    from ..models import DownloadUrl, MediaRequest
    from ..transports import HttpReply
    from .base import Assignment


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    url: str = Field(repr=False)


_REPLY = TypeAdapter(_Reply)


class Download:
    """
    Asks `GET /api/v2/downloads/{downloadId}` to name the signed URL instead of redirecting to it.

    Where a redirect comes all the same, the URL is its Location, which is not followed: the bearer token must not go
    there. Genesys documents no permission for it.
    """

    action = "download"
    forms = ("downloadId",)
    batch_size = 1

    def __repr__(self) -> str:
        return "<Download>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], assignment: Assignment) -> None:
        """Ask for the URL of one download."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            url = reply.headers["location"] if reply.status >= 300 else read_json(_REPLY, reply).url
            return accepted(judged(url.strip(), request, assignment.rule, sent_at))

        path = f"/api/v2/downloads/{request.file_id}?issueRedirect=false&redirectToAuth=false"
        answer = await get(assignment, request, path, self.action, read, redirects=True)
        await assignment.tell(request, answer)
