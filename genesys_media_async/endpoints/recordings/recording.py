"""Recordings one by one, or all of a conversation at once, transcoded as asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...api.calls import Call, CallResult
from ...api.replies import retry_after_of
from ...errors import GenesysMediaError, SettingsError, sanitized
from ..base import MISSING_ID, Endpoint, Probe, read_json
from ..polling import Polling, check_patience
from ..validation import check
from .failures import VIEW_PERMISSION, never_transcoded, no_recordings, without_media, without_url
from .url_lifetime import UrlLife

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...models import DownloadUrl, MediaRequest
    from ...transports.base import HttpReply
    from ..base import EndpointContext

MAX_REPLY_SIZE = 16 * 1024 * 1024
"""Bytes; a recording carries its waveform and its annotations along, and a conversation has many recordings."""

MIN_PAUSE, MAX_PAUSE = 1.0, 30.0

Format = Literal["WAV", "WEBM", "WAV_ULAW", "OGG_VORBIS", "OGG_OPUS", "MP3", "NONE"]
"""What a recording can be transcoded to; NONE leaves it as it was recorded, which takes no time."""


class _MediaUri(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    mediaUri: str | None = Field(default=None, repr=False)  # noqa: N815


class RecordingBody(BaseModel):
    """
    A recording, as far as it is used.

    Follows `Recording` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    id: str
    fileState: str | None = None  # noqa: N815
    mediaUris: dict[str, _MediaUri] | None = None  # noqa: N815

    def media(self) -> Iterator[tuple[str, str | GenesysMediaError]]:
        """Yield what there is: each medium's own part of its id, empty if it is the only one, and its URL."""
        if not self.mediaUris:
            yield "", without_media(self.fileState)
            return
        for key, medium in self.mediaUris.items():
            part = f"/{sanitized(key, 40)}" if len(self.mediaUris) > 1 else ""
            yield part, medium.mediaUri or without_url("A medium of the recording")


class _Transcoding(BaseModel):
    """What a 202 says; `seconds` is None if it says nothing."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    estimatedTranscodeTimeMs: float | None = Field(default=None, ge=0, le=1e12)  # noqa: N815


class _Seen(NamedTuple):
    """What came in reply to a request sent at `sent_at` (seconds since 1970)."""

    recordings: Sequence[RecordingBody] | None
    """None while they are being transcoded, for which `seconds` more are needed if that is known."""
    seconds: float | None
    sent_at: float


def media_query(
    format_id: Format | None, media_formats: Sequence[Format], *, download: bool, file_name: str | None
) -> str:
    """Return the query that asks for media in a format, empty if nothing is said. Raises `SettingsError`."""
    chosen = (() if format_id is None else (format_id,), media_formats)
    for setting, formats in zip(("format_id", "media_formats"), chosen, strict=True):
        if isinstance(formats, str) or not set(formats) <= set(get_args(Format)):
            raise SettingsError(
                f"{setting}: {formats!r} will not do.", advice=f"Formats are {', '.join(get_args(Format))}."
            )
    if file_name is not None and not (download and file_name.isprintable() and file_name.strip()):
        raise SettingsError(
            f"file_name: {file_name!r} will not do.",
            advice="It is a name in one line, of the file that download=True asks for.",
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
    Asks `GET /api/v2/conversations/{conversationId}/recordings/{recordingId}`, or the same without `recordingId`.

    Ids are `conversationId/recordingId`, or a `conversationId`, which stands for all recordings of the conversation.
    While Genesys transcodes them it is asked again, for up to `patience` seconds, at times that follow its estimate.
    A request for a conversation Genesys keeps for up to 5 s, as long as it transcodes; the settings' `timeout` has to
    be longer. Each medium has a URL: one for each channel, where they are kept apart.

    `format_id` is the format wanted (Genesys's default: WEBM), `media_formats` are several, in the order of
    preference, and win over it. `download` asks for a file to keep, whose name may be `file_name`; a whole conversation
    cannot be asked for in that way. Replies name no content type: a rule that does, other than by `*/*`, refuses them.

    Needs one of the permissions recording:recording:view, recording:recordingSegment:view,
    recording:snippetRecording:view and recording:screenRecording:view.
    """

    action = "recording"
    id_formats = ("conversationId/recordingId", "conversationId")
    permission = VIEW_PERMISSION
    probe = Probe("GET", f"/api/v2/conversations/{MISSING_ID}/recordings/{MISSING_ID}")
    batch_size = 1

    def __init__(
        self,
        format_id: Format | None = None,
        media_formats: Sequence[Format] = (),
        *,
        download: bool = False,
        file_name: str | None = None,
        patience: float = 600.0,
    ) -> None:
        query = media_query(format_id, media_formats, download=download, file_name=file_name)
        self._query = query
        self._file_name = file_name
        self._patience = check_patience(patience)
        self._life = UrlLife("recordingPlaybackUrlTtl")
        one, all_of_them = "conversationId/recordingId", "conversationId"
        self.forms = (one,) if download else (one, all_of_them)

    def __repr__(self) -> str:
        return f"<Recording {self._query or 'as it is'}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Ask for one recording, or one conversation's, until it is transcoded."""
        (request,) = requests
        is_list = len(request.parts) == 1
        path = f"/api/v2/conversations/{request.parts[0]}/recordings" + ("" if is_list else f"/{request.parts[1]}")
        read = _read_list if is_list else _read_one
        url = f"{path}?{self._query}" if self._query else path
        call = Call("GET", url, b"", request.file_id, self.action, read, max_reply_size=MAX_REPLY_SIZE)
        polling = Polling(context, key=request.file_id, patience=self._patience, shortest=MIN_PAUSE, longest=MAX_PAUSE)
        attempts = 0
        while True:
            answer = await context.call(call)
            attempts += answer.attempts
            answer = replace(answer, attempts=attempts)
            if answer.value is None or answer.value.recordings is not None:
                break
            if not await polling.pause(answer.value.seconds):
                await context.report(request, answer.with_outcome(never_transcoded(self._patience)))
                return
        if answer.error is not None:
            await context.report(request, answer.with_outcome(answer.error))
        elif answer.value is not None:
            await self._tell(request, answer.value, answer, context, is_list=is_list)

    async def _tell(
        self, request: MediaRequest, seen: _Seen, answer: CallResult[_Seen], context: EndpointContext, *, is_list: bool
    ) -> None:
        if not seen.recordings:
            await context.report(request, answer.with_outcome(no_recordings()))
        for recording in seen.recordings or ():
            recording_id = f"{request.file_id}/{sanitized(recording.id, 128)}" if is_list else request.file_id
            for part, came in recording.media():
                media_id = recording_id + part if is_list or part else None
                share = answer.with_outcome(await self._judged(came, seen.sent_at, request, context))
                await context.report(request, share, media_id=media_id)

    async def _judged(
        self, came: str | GenesysMediaError, sent_at: float, request: MediaRequest, context: EndpointContext
    ) -> DownloadUrl | GenesysMediaError:
        if isinstance(came, GenesysMediaError):
            return came
        url = await self._life.signed_url(came, context, sent_at=sent_at, file_name=self._file_name)
        return check(url, request, context.rule) or url


_ONE = TypeAdapter(RecordingBody)
_LIST = TypeAdapter(list[RecordingBody])


def _read_one(reply: HttpReply, sent_at: float) -> _Seen:
    return _transcoding(reply, sent_at) or _Seen([read_json(_ONE, reply)], None, sent_at)


def _read_list(reply: HttpReply, sent_at: float) -> _Seen:
    return _transcoding(reply, sent_at) or _Seen(read_json(_LIST, reply), None, sent_at)


def _transcoding(reply: HttpReply, sent_at: float) -> _Seen | None:
    if reply.status != 202:
        return None
    try:
        estimate = _Transcoding.model_validate_json(reply.body).estimatedTranscodeTimeMs
    except ValidationError:
        estimate = None
    told = (retry_after_of(reply, wall=sent_at), None if estimate is None else estimate / 1_000)
    return _Seen(None, max((each for each in told if each is not None), default=None), sent_at)
