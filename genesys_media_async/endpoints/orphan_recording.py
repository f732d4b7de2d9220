"""Orphan recordings: those that have lost their conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import ApiError, quotable
from .base import read_json, share_of
from .get import PATIENCE, check_patience, get, judged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..errors import GenesysMediaError
    from ..models import DownloadUrl, MediaRequest
    from ..transports import HttpReply
    from .base import Assignment

PERMISSION = "recording:orphan:view"
LONGEST_REPLY = 16 * 1024 * 1024
"""Bytes; a recording carries its waveform and its annotations along."""

_REPAIRS = {
    "ARCHIVED": (False, "Have it restored in Genesys Cloud, then ask again."),
    "DELETED": (False, "It is gone for good: remove it from the input."),
    "UPLOADING": (True, "Ask again in some minutes."),
    "RESTORING": (True, "Ask again later; it can take hours."),
    "ERROR": (False, "Give Genesys's support the id of the recording."),
}


class _Media(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    mediaUri: str | None = Field(default=None, repr=False)  # noqa: N815


class _Recording(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    fileState: str | None = None  # noqa: N815
    mediaUris: dict[str, _Media] | None = None  # noqa: N815


_RECORDING = TypeAdapter(_Recording)


class OrphanRecording:
    """
    Asks `GET /api/v2/orphanrecordings/{orphanId}/media`, again while it is being transcoded.

    Each of its parts has a URL; where there are several, the media id is `orphanId/part`. The OAuth client needs the
    permission `recording:orphan:view`.

    `format_id` is what Genesys transcodes it to (WAV, WEBM, WAV_ULAW, OGG_VORBIS, OGG_OPUS, MP3, NONE; its own default
    is WEBM), `media_formats` are those that will all do, and win over it. `download` asks for a file to keep, named
    `file_name`. `patience` is in seconds. Raises `SettingsError` for a patience that is none.
    """

    action = "orphan_recording"
    forms = ("orphanId",)
    batch_size = 1

    def __init__(
        self,
        *,
        format_id: str | None = None,
        media_formats: Sequence[str] = (),
        download: bool = False,
        file_name: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        wanted = {
            "formatId": format_id,
            "mediaFormats": ",".join(media_formats),
            "download": "true" if download else None,
            "fileName": file_name,
        }
        self._query = urlencode({name: text for name, text in wanted.items() if text})
        self._file_name = file_name
        self._patience = check_patience(patience)

    def __repr__(self) -> str:
        return f"<OrphanRecording {self._query or 'as it is'}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], assignment: Assignment) -> None:
        """Ask for all parts of one orphan recording."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> dict[str, DownloadUrl | GenesysMediaError]:
            recording = read_json(_RECORDING, reply)
            if not recording.mediaUris:
                raise _without_media(recording.fileState)
            return {
                part: judged(media.mediaUri or "", request, assignment.rule, sent_at, file_name=self._file_name)
                for part, media in recording.mediaUris.items()
            }

        answer = await get(
            assignment,
            request,
            f"/api/v2/orphanrecordings/{request.file_id}/media?{self._query}".rstrip("?"),
            self.action,
            read,
            permission=f"the permission {PERMISSION}",
            patience=self._patience,
            longest_reply=LONGEST_REPLY,
        )
        if answer.error is not None:
            await assignment.tell(request, share_of(answer, answer.error))
        parts = answer.value or {}
        for part, came in parts.items():
            media_id = f"{request.file_id}/{quotable(part, 40)}" if len(parts) > 1 else None
            await assignment.tell(request, share_of(answer, came), media_id=media_id)


def _without_media(file_state: str | None) -> ApiError:
    retryable, advice = _REPAIRS.get(
        file_state or "", (False, "It may be empty; a file to keep may be had all the same.")
    )
    code = f"recording_{file_state.lower()}" if file_state in _REPAIRS else "no_playable_media"
    words = f"The orphan recording has no media to be had; its file state is {quotable(file_state or 'not told', 40)}."
    return ApiError(words, code=code, retryable=retryable, advice=advice)
