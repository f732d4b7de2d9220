"""Transcripts of speech and text analytics: of one communication, or of each of its recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import NotFound, quotable
from .base import read_json, share_of
from .get import get, judged

if TYPE_CHECKING:
    from ..errors import GenesysMediaError
    from ..models import DownloadUrl, MediaRequest
    from ..transports import HttpReply
    from .base import Assignment

ONE = "the permissions recording:recording:view and speechAndTextAnalytics:data:view"
ALL = "one of the permissions recording:recording:view and recording:recordingSegment:view"


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


class Transcript:
    """
    Asks `GET /api/v2/speechandtextanalytics/conversations/{conversationId}/communications/{communicationId}/…`.

    That is `transcripturl`, for which the OAuth client needs the permissions `recording:recording:view` and
    `speechAndTextAnalytics:data:view`; or, with `all_recordings`, `transcripturls`, for which it needs
    `recording:recording:view` or `recording:recordingSegment:view`. The latter's media ids are those of the recordings.
    """

    action = "transcript"
    forms = ("conversationId/communicationId",)
    batch_size = 1

    def __init__(self, *, all_recordings: bool = False) -> None:
        self._all_recordings = all_recordings

    def __repr__(self) -> str:
        return f"<Transcript{' of each recording' if self._all_recordings else ''}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], assignment: Assignment) -> None:
        """Ask for the transcripts of one communication."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> list[tuple[str | None, DownloadUrl | GenesysMediaError]]:
            if not self._all_recordings:
                return [(None, judged(read_json(_ONE, reply).url, request, assignment.rule, sent_at))]
            transcripts = read_json(_ALL, reply).urls
            if not transcripts:
                raise NotFound(
                    "The communication has no transcripts.",
                    code="no_transcripts",
                    advice="It was not recorded or not transcribed, or the OAuth client may not see its division.",
                )
            return [
                (quotable(each.recording.id, 128), judged(each.url, request, assignment.rule, sent_at))
                for each in transcripts
            ]

        conversation_id, communication_id = request.parts
        path = (
            f"/api/v2/speechandtextanalytics/conversations/{conversation_id}/communications/{communication_id}"
            f"/transcripturl{'s' if self._all_recordings else ''}"
        )
        permission = ALL if self._all_recordings else ONE
        answer = await get(
            assignment, request, path, self.action, read, permission=permission, longest_reply=1024 * 1024
        )
        if answer.error is not None:
            await assignment.tell(request, share_of(answer, answer.error))
        for media_id, came in answer.value or ():
            await assignment.tell(request, share_of(answer, came), media_id=media_id)
