"""Orphan recordings: those that have lost their conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ...errors import GenesysMediaError
from ..base import MISSING_ID, Endpoint, Probe, read_json
from ..polled_get import TIMEOUT, get, validated
from ..polling import check_patience
from .recording import MAX_REPLY_SIZE, RecordingBody, media_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...models import DownloadUrl, MediaRequest
    from ...transports.base import HttpReply
    from ..base import EndpointContext
    from .recording import Format

PERMISSION = "recording:orphan:view"

_BODY = TypeAdapter(RecordingBody)


class OrphanRecording(Endpoint):
    """
    Asks `GET /api/v2/orphanrecordings/{orphanId}/media`, again while it is being transcoded.

    Each of its parts has a URL; where there are several, the media id is `orphanId/part`. The OAuth client needs the
    permission `recording:orphan:view`. The arguments are those of `Recording`; `patience` is in seconds.
    """

    action = "orphan_recording"
    id_formats = ("orphanId",)
    permission = f"the permission {PERMISSION}"
    probe = Probe("GET", f"/api/v2/orphanrecordings/{MISSING_ID}/media")
    batch_size = 1

    def __init__(
        self,
        format_id: Format | None = None,
        media_formats: Sequence[Format] = (),
        *,
        download: bool = False,
        file_name: str | None = None,
        patience: float = TIMEOUT,
    ) -> None:
        self._query = media_query(format_id, media_formats, download=download, file_name=file_name)
        self._file_name = file_name
        self._patience = check_patience(patience)

    def __repr__(self) -> str:
        return f"<OrphanRecording {self._query or 'as it is'}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Ask for all parts of one orphan recording."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> list[tuple[str, DownloadUrl | GenesysMediaError]]:
            return [
                (part, came if isinstance(came, GenesysMediaError) else judge(came, sent_at))
                for part, came in read_json(_BODY, reply).media()
            ]

        def judge(url: str, sent_at: float) -> DownloadUrl | GenesysMediaError:
            return validated(url, request, context.rule, sent_at, file_name=self._file_name)

        path = f"/api/v2/orphanrecordings/{request.file_id}/media"
        answer = await get(
            context,
            request,
            f"{path}?{self._query}" if self._query else path,
            self.action,
            read,
            permission=f"the permission {PERMISSION}",
            patience=self._patience,
            max_reply_size=MAX_REPLY_SIZE,
        )
        if answer.error is not None:
            await context.report(request, answer.with_outcome(answer.error))
        for part, came in answer.value or ():
            await context.report(request, answer.with_outcome(came), media_id=request.file_id + part if part else None)
