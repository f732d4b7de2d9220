"""Transcripts of speech and text analytics, of one communication or of each of its recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import NotFoundError, sanitized
from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import get_when_ready, validated

if TYPE_CHECKING:
    from ..errors import GenesysMediaError
    from ..models import DownloadUrl, MediaRequest
    from ..transports.base import HttpReply
    from .base import EndpointContext

_START = "/api/v2/speechandtextanalytics/conversations"


class _One(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    url: str = Field(repr=False)


class _Recording(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    id: str


class _Transcript(_One):
    recording: _Recording


class _All(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    urls: list[_Transcript] | None = None


_ONE, _ALL = TypeAdapter(_One), TypeAdapter(_All)


class Transcript(Endpoint):
    """
    The URL of a communication's transcript, by `GET …/transcripturl`.

    With `all_recordings`, the URLs of the transcripts of all its recordings, by `GET …/transcripturls`; then media ids
    are the ids of the recordings. The path begins with
    `/api/v2/speechandtextanalytics/conversations/{conversationId}/communications/{communicationId}`.
    """

    action = "transcript"
    id_formats = ("conversationId/communicationId",)
    permission = "the permissions recording:recording:view and speechAndTextAnalytics:data:view"
    probe = Probe("GET", f"{_START}/{MISSING_ID}/communications/{MISSING_ID}/transcripturl")

    def __init__(self, *, all_recordings: bool = False) -> None:
        self._all_recordings = all_recordings
        if all_recordings:
            self.permission = "one of the permissions recording:recording:view and recording:recordingSegment:view"

    def __repr__(self) -> str:
        return f"<Transcript{' of each recording' if self._all_recordings else ''}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URLs of one communication's transcripts."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> list[tuple[str | None, DownloadUrl | GenesysMediaError]]:
            if not self._all_recordings:
                return [(None, validated(read_json(_ONE, reply).url, request, context.rule, sent_at))]
            transcripts = read_json(_ALL, reply).urls
            if not transcripts:
                raise NotFoundError(
                    "The communication has no transcripts.",
                    code="no_transcripts",
                    advice="It was not recorded or not transcribed, or the OAuth client may not see its division.",
                )
            return [
                (sanitized(each.recording.id, 128), validated(each.url, request, context.rule, sent_at))
                for each in transcripts
            ]

        conversation_id, communication_id = request.parts
        plural = "s" if self._all_recordings else ""
        path = f"{_START}/{conversation_id}/communications/{communication_id}/transcripturl{plural}"
        result = await get_when_ready(self, context, request, path, read, max_reply_size=1024 * 1024)
        if result.error is not None:
            await context.report(request, result.with_outcome(result.error))
        for media_id, outcome in result.value or ():
            await context.report(request, result.with_outcome(outcome), media_id=media_id)
