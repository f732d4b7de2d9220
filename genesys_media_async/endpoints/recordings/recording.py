"""Recordings one by one, or all recordings of a conversation, transcoded as requested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...errors import GenesysMediaError, SettingsError, sanitized
from ..base import MISSING_ID, Endpoint, Probe, read_json
from ..polled_get import TIMEOUT, get_when_ready
from ..polling import check_timeout
from ..validation import check
from .failures import never_transcoded, no_recordings, without_media, without_url
from .url_lifetime import UrlLifetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...api.calls import CallResult
    from ...models import DownloadUrl, MediaRequest
    from ...transports.base import HttpReply
    from ..base import EndpointContext

MAX_REPLY_SIZE = 16 * 1024 * 1024
"""Bytes; a recording includes its waveform and its annotations, and a conversation has many recordings."""

VIEW_PERMISSIONS: Final = (
    "one of the permissions recording:recording:view, recording:recordingSegment:view, "
    "recording:snippetRecording:view and recording:screenRecording:view"
)

Format = Literal["WAV", "WEBM", "WAV_ULAW", "OGG_VORBIS", "OGG_OPUS", "MP3", "NONE"]
"""The formats for transcoding; NONE leaves the recording as it is, which takes no time."""


class _MediaUri(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    mediaUri: str | None = Field(default=None, repr=False)  # noqa: N815


class RecordingBody(BaseModel):
    """
    The members of a recording that are used.

    Follows `Recording` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    id: str
    fileState: str | None = None  # noqa: N815
    mediaUris: dict[str, _MediaUri] | None = None  # noqa: N815

    def media(self) -> Iterator[tuple[str, str | GenesysMediaError]]:
        """Yield each medium: its part of the media id, empty for the only one, and its URL or the error."""
        if not self.mediaUris:
            yield "", without_media(self.fileState)
            return
        for key, medium in self.mediaUris.items():
            part = f"/{sanitized(key, 40)}" if len(self.mediaUris) > 1 else ""
            yield part, medium.mediaUri or without_url("A medium of the recording")


class _Transcoding(BaseModel):
    """The body of a 202."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    estimatedTranscodeTimeMs: float | None = Field(default=None, ge=0, le=1e12)  # noqa: N815


class _Found(NamedTuple):
    """The recordings in the reply to a request sent at `sent_at` (seconds since 1970)."""

    recordings: list[RecordingBody]
    sent_at: float


def media_query(
    format_id: Format | None, media_formats: Sequence[Format], *, download: bool, file_name: str | None
) -> str:
    """Return the query for media in a format, empty without options. Raises `SettingsError`."""
    chosen = (() if format_id is None else (format_id,), media_formats)
    for setting, formats in zip(("format_id", "media_formats"), chosen, strict=True):
        if isinstance(formats, str) or not set(formats) <= set(get_args(Format)):
            raise SettingsError(
                f"{setting}: {formats!r} is not valid.", advice=f"Formats are {', '.join(get_args(Format))}."
            )
    if file_name is not None and not (download and file_name.isprintable() and file_name.strip()):
        raise SettingsError(
            f"file_name: {file_name!r} is not valid.",
            advice="It needs download=True, and has to be one line of text.",
        )
    wanted = {
        "formatId": format_id,
        "mediaFormats": ",".join(media_formats),
        "download": "true" if download else None,
        "fileName": file_name,
    }
    return urlencode({name: value for name, value in wanted.items() if value})


class Recording(Endpoint):
    """
    The URLs of recordings by `GET /api/v2/conversations/{conversationId}/recordings/{recordingId}`.

    Ids are `conversationId/recordingId`, or a `conversationId` for all recordings of the conversation, by the same path
    without `recordingId`. While Genesys transcodes them they are polled, for up to `timeout` seconds, at times that
    follow its estimate. Genesys keeps a request for a conversation open for up to 5 s while it transcodes, so the
    settings' `timeout` has to be longer. Each medium has a URL: one for each channel if they are recorded separately.

    `format_id` is the format (Genesys's default: WEBM). `media_formats` are several, in the order of preference, and
    take precedence over it. `download` requests a file to keep, with the name `file_name`; it works for single
    recordings only. Replies name no content type, so a rule with `content_types` other than `*/*` rejects every URL.

    Raises `SettingsError` for an option that is not valid.
    """

    action = "recording"
    id_formats: tuple[str, ...] = ("conversationId/recordingId", "conversationId")
    permission = VIEW_PERMISSIONS
    probe = Probe("GET", f"/api/v2/conversations/{MISSING_ID}/recordings/{MISSING_ID}")

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
        self._lifetime = UrlLifetime("recordingPlaybackUrlTtl")
        if download:
            self.id_formats = ("conversationId/recordingId",)

    def __repr__(self) -> str:
        return f"<Recording {self._query or 'as it is'}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URLs of one recording, or of one conversation's recordings."""
        (request,) = requests
        is_list = len(request.parts) == 1
        path = f"/api/v2/conversations/{request.parts[0]}/recordings" + ("" if is_list else f"/{request.parts[1]}")
        result = await get_when_ready(
            self,
            context,
            request,
            f"{path}?{self._query}" if self._query else path,
            _read_list if is_list else _read_one,
            timeout=self._timeout,
            max_reply_size=MAX_REPLY_SIZE,
            estimate=_estimate,
            never_ready=never_transcoded,
        )
        if result.error is not None:
            await context.report(request, result.with_outcome(result.error))
        elif result.value is not None:
            await self._report(request, result.value, result, context, is_list=is_list)

    async def _report(
        self,
        request: MediaRequest,
        found: _Found,
        result: CallResult[_Found],
        context: EndpointContext,
        *,
        is_list: bool,
    ) -> None:
        if not found.recordings:
            await context.report(request, result.with_outcome(no_recordings()))
        for recording in found.recordings:
            recording_id = f"{request.file_id}/{sanitized(recording.id, 128)}" if is_list else request.file_id
            for part, medium in recording.media():
                media_id = recording_id + part if is_list or part else None
                outcome = await self._validated(medium, found.sent_at, request, context)
                await context.report(request, result.with_outcome(outcome), media_id=media_id)

    async def _validated(
        self, medium: str | GenesysMediaError, sent_at: float, request: MediaRequest, context: EndpointContext
    ) -> DownloadUrl | GenesysMediaError:
        if isinstance(medium, GenesysMediaError):
            return medium
        url = await self._lifetime.signed_url(medium, context, sent_at=sent_at, file_name=self._file_name)
        return check(url, request, context.rule) or url


_ONE = TypeAdapter(RecordingBody)
_LIST = TypeAdapter(list[RecordingBody])


def _read_one(reply: HttpReply, sent_at: float) -> _Found:
    return _Found([read_json(_ONE, reply)], sent_at)


def _read_list(reply: HttpReply, sent_at: float) -> _Found:
    return _Found(read_json(_LIST, reply), sent_at)


def _estimate(reply: HttpReply) -> float | None:
    """Return Genesys's estimate of the seconds that a transcoding still takes."""
    try:
        estimate = _Transcoding.model_validate_json(reply.body).estimatedTranscodeTimeMs
    except ValidationError:
        return None
    return None if estimate is None else estimate / 1_000
