"""Orphan recordings: recordings without a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ...errors import GenesysMediaError
from ..base import MISSING_ID, Endpoint, Probe, read_json
from ..polled_get import TIMEOUT, get_when_ready, validated
from ..polling import check_timeout
from .recording import MAX_REPLY_SIZE, RecordingBody, media_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...models import DownloadUrl, MediaRequest
    from ...transports.base import HttpReply
    from ..base import EndpointContext
    from .recording import Format

_BODY = TypeAdapter(RecordingBody)


class OrphanRecording(Endpoint):
    """
    The URLs of an orphan recording's parts by `GET /api/v2/orphanrecordings/{orphanId}/media`.

    If there are several parts, the media ids are `orphanId/part`. While the recording is being transcoded it is polled,
    for up to `timeout` seconds. The arguments are those of `Recording`.
    """

    action = "orphan_recording"
    id_formats = ("orphanId",)
    permission = "the permission recording:orphan:view"
    probe = Probe("GET", f"/api/v2/orphanrecordings/{MISSING_ID}/media")

    def __init__(
        self,
        format_id: Format | None = None,
        media_formats: Sequence[Format] = (),
        *,
        download: bool = False,
        file_name: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._query = media_query(format_id, media_formats, download=download, file_name=file_name)
        self._file_name = file_name
        self._timeout = check_timeout(timeout)

    def __repr__(self) -> str:
        return f"<OrphanRecording {self._query or 'as it is'}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URLs of all parts of one orphan recording."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> list[tuple[str, DownloadUrl | GenesysMediaError]]:
            return [
                (part, found if isinstance(found, GenesysMediaError) else checked(found, sent_at))
                for part, found in read_json(_BODY, reply).media()
            ]

        def checked(url: str, sent_at: float) -> DownloadUrl | GenesysMediaError:
            return validated(url, request, context.rule, sent_at, file_name=self._file_name)

        path = f"/api/v2/orphanrecordings/{request.file_id}/media"
        if self._query:
            path = f"{path}?{self._query}"
        result = await get_when_ready(
            self, context, request, path, read, timeout=self._timeout, max_reply_size=MAX_REPLY_SIZE
        )
        if result.error is not None:
            await context.report(request, result.with_outcome(result.error))
        for part, outcome in result.value or ():
            media_id = request.file_id + part if part else None
            await context.report(request, result.with_outcome(outcome), media_id=media_id)
