"""
Recordings one by one or by conversation, orphan recordings, and the organization's recording settings.

The first request for a format starts its transcoding; the reply to it, and to every request until the end, is a 202.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..operations import Call, Operation, Refused
from .permissions import VIEW_PERMISSIONS
from .times import iso

if TYPE_CHECKING:
    from ..family_settings import Family
    from ..messages import Reply
    from ..organization import Conversation, Organization, Recording
    from ..settings import SimulatorSettings
    from .storage import MediaUrls
    from .transcoding import Transcoder

ORPHAN_PERMISSION = "recording:orphan:view"
PATH = "/api/v2/conversations/{conversationId}/recordings"
METADATA_PATH = "/api/v2/conversations/{conversationId}/recordingmetadata"
REGION = "us-east-1"
LIST_WAIT_MS = 5000

_NO_FILE_NAME = re.compile(r"[/\\\0]")
_AUDIO_TYPES = {
    "WAV": "audio/wav",
    "WEBM": "audio/webm",
    "WAV_ULAW": "audio/wav",
    "OGG_VORBIS": "audio/ogg",
    "OGG_OPUS": "audio/ogg",
    "MP3": "audio/mpeg",
}
NO_FORMAT = "NONE"
FORMATS = (*_AUDIO_TYPES, NO_FORMAT)
_TEXT_TYPES = {"EML": "message/rfc822", "ZIP": "application/zip"}
# The type of a recording before any transcoding.
_ORIGINAL_TYPES = {
    "audio": "audio/ogg",
    "screen": "video/mp4",
    "chat": "application/json",
    "messaging": "application/json",
    "email": "application/json",
}
_SUBTYPES = {"audio": "Trunk", "screen": "Screen"}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The media that a request wants: the format for each medium, for a download or not, the file name, the family."""

    formats: dict[str, str]
    family: Family = "recording"
    download: bool = False
    file_name: str | None = None


class Recordings:
    """Serves the recordings of conversations, and orphan recordings."""

    def __init__(
        self, settings: SimulatorSettings, organization: Organization, urls: MediaUrls, transcoder: Transcoder
    ) -> None:
        self._settings = settings
        self._organization = organization
        self._urls = urls
        self._transcoder = transcoder

    def __repr__(self) -> str:
        return "<Recordings>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the operations of recordings, of their metadata, of orphans and of the recording settings."""
        view = VIEW_PERMISSIONS
        refusal = self._settings.recording.list_refusal
        return (
            Operation("getConversationRecording", "GET", f"{PATH}/{{recordingId}}", "recording", self._one, view),
            Operation("getConversationRecordings", "GET", PATH, "recording", self._all, view, refusal=refusal),
            Operation("getConversationRecordingmetadata", "GET", METADATA_PATH, "recording", self._metadata, view),
            Operation(
                "getConversationRecordingmetadataRecordingId",
                "GET",
                f"{METADATA_PATH}/{{recordingId}}",
                "recording",
                self._one_metadata,
                view,
            ),
            Operation(
                "getOrphanrecordingMedia",
                "GET",
                "/api/v2/orphanrecordings/{orphanId}/media",
                "orphan-recording",
                self._orphan,
                all_of=(ORPHAN_PERMISSION,),
            ),
            Operation(
                "getRecordingSettings", "GET", "/api/v2/recording/settings", "recording", self._recording_settings
            ),
        )

    def _one(self, call: Call) -> Reply:
        wanted = _wanted(call, "recording")
        recording = self._find(call)
        remaining = self._remaining(recording, wanted, call.now)
        if remaining > 0:
            return self._transcoding(call, {**self._described(recording), **self._estimate(remaining)}, remaining)
        return call.reply(self._played(recording, wanted, call, call.wall))

    def _all(self, call: Call) -> Reply:
        wanted = _Wanted(_formats(call, {}))
        wait = call.positive("maxWaitMs", LIST_WAIT_MS) / 1000
        call.flag("includePauseAnnotationsForScreenRecordings", default=False)
        recordings = self._organization.recordings_of(self._conversation(call))
        remaining = max((self._remaining(recording, wanted, call.now) for recording in recordings), default=0.0)
        if not self._settings.recording.long_poll:
            wait = 0.0
        if remaining > wait:
            return self._transcoding(call, None, remaining, delay=wait)
        wall = call.wall + remaining
        return call.reply([self._played(recording, wanted, call, wall) for recording in recordings], delay=remaining)

    def _metadata(self, call: Call) -> Reply:
        return call.reply([_metadata(each) for each in self._organization.recordings_of(self._conversation(call))])

    def _one_metadata(self, call: Call) -> Reply:
        return call.reply(_metadata(self._find(call)))

    def _orphan(self, call: Call) -> Reply:
        wanted = _wanted(call, "orphan-recording")
        recording = self._organization.orphan(call.ids[0])
        if recording is None:
            raise Refused("not.found")
        remaining = self._remaining(recording, wanted, call.now)
        if remaining > 0:
            return self._transcoding(call, None, remaining)
        return call.reply(self._played(recording, wanted, call, call.wall))

    def _recording_settings(self, call: Call) -> Reply:
        return call.reply(
            {
                "maxSimultaneousStreams": 1,
                "maxConfigurableScreenRecordingStreams": 4,
                "regionalRecordingStorageEnabled": False,
                "recordingPlaybackUrlTtl": self._settings.recording.url_minutes,
                "recordingBatchDownloadUrlTtl": self._settings.batch.url_minutes,
                "stopRecordingWhenOnlyExternalParticipants": False,
            }
        )

    def _conversation(self, call: Call) -> Conversation:
        conversation = self._organization.conversation(call.ids[0])
        if conversation is None:
            raise Refused("conversation.not.found")
        return conversation

    def _find(self, call: Call) -> Recording:
        self._conversation(call)
        recording = self._organization.recording(*call.ids)
        if recording is None:
            raise Refused("not.found")
        return recording

    def _remaining(self, recording: Recording, wanted: _Wanted, now: float) -> float:
        """Return the seconds until a recording is transcoded as wanted; 0 without media."""
        chosen = wanted.formats[recording.media]
        if not recording.playable or chosen == NO_FORMAT:
            return 0.0
        seconds = recording.transcode_seconds
        if seconds is None:
            seconds = self._settings.recording.transcode_seconds
        return self._transcoder.remaining(f"{recording.id} {chosen} {wanted.download}", seconds, now)

    def _transcoding(self, call: Call, body: object, remaining: float, *, delay: float = 0.0) -> Reply:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if self._settings.recording.retry_after_on_202 and math.isfinite(remaining):
            headers = ((b"Retry-After", b"%d" % math.ceil(remaining)),)
        if body is None:
            return call.empty(202, *headers, delay=delay)
        return call.reply(body, *headers, status=202, delay=delay)

    def _estimate(self, remaining: float) -> dict[str, int]:
        factor = self._settings.recording.estimate_factor
        if factor is None or math.isinf(remaining):
            return {}
        return {"estimatedTranscodeTimeMs": math.ceil(remaining * factor * 1000)}

    def _played(self, recording: Recording, wanted: _Wanted, call: Call, wall: float) -> dict[str, object]:
        uris = self._media_uris(recording, wanted, call, wall)
        duration = round((recording.ended_at - recording.started_at) * 1000)
        size = self._settings.media_bytes if uris is not None else 0
        media = {"mediaUris": uris, "outputDurationMs": duration if uris is not None else 0, "outputSizeInBytes": size}
        return {**self._described(recording), **media}

    def _media_uris(
        self, recording: Recording, wanted: _Wanted, call: Call, wall: float
    ) -> dict[str, dict[str, str]] | None:
        """Return the URLs of all parts: one for each channel, or a single file for a download."""
        is_text = recording.media not in _SUBTYPES
        if not recording.playable or (is_text and self._settings.recording.text_needs_download and not wanted.download):
            return None
        content_type = _content_type(recording.media, wanted.formats[recording.media])
        merged = wanted.download
        keys = ["S"] if merged else [str(part) for part in range(recording.parts)]
        return {
            key: {
                "mediaUri": self._urls.url(
                    wanted.family,
                    call.origin,
                    f"{recording.id}-{key}",
                    content_type,
                    signed_at=wall,
                    minutes=self._settings.recording.url_minutes,
                    name=wanted.file_name,
                )
            }
            for key in keys
        }

    def _described(self, recording: Recording) -> dict[str, object]:
        playable = recording.playable
        return {
            **_common(recording),
            "startTime": iso(recording.started_at) if playable else None,
            "endTime": iso(recording.ended_at) if playable else None,
            "mediaUris": None,
            "recordingFileRole": "CUSTOMER_EXPERIENCE",
            "creationTime": iso(recording.ended_at),
            "users": [],
            "selfUri": f"{PATH.format(conversationId=recording.conversation_id)}/{recording.id}",
        }


def _metadata(recording: Recording) -> dict[str, object]:
    """Return the metadata of a recording, without its media."""
    path = METADATA_PATH.format(conversationId=recording.conversation_id)
    return {**_common(recording), "region": REGION, "selfUri": f"{path}/{recording.id}"}


def _common(recording: Recording) -> dict[str, object]:
    common: dict[str, object] = {
        "id": recording.id,
        "conversationId": recording.conversation_id,
        "startTime": iso(recording.started_at),
        "endTime": iso(recording.ended_at),
        "media": recording.media,
        "annotations": [],
        "fileState": recording.file_state,
        "maxAllowedRestorationsForOrg": 10000,
        "remainingRestorationsAllowedForOrg": 10000,
        "sessionId": recording.session_id,
    }
    if recording.media in _SUBTYPES:
        common["mediaSubtype"] = _SUBTYPES[recording.media]
    if recording.file_state == "ARCHIVED":
        common |= {"archiveDate": iso(recording.ended_at), "archiveMedium": "CLOUDARCHIVE"}
    if recording.file_state == "DELETED":
        common["deleteDate"] = iso(recording.ended_at)
    return common


def _wanted(call: Call, family: Family) -> _Wanted:
    texts = {
        "email": call.choice("emailFormatId", ("EML", NO_FORMAT), "EML"),
        "chat": call.choice("chatFormatId", ("ZIP", NO_FORMAT), "ZIP"),
        "messaging": call.choice("messageFormatId", ("ZIP", NO_FORMAT), "ZIP"),
    }
    file_name = _NO_FILE_NAME.sub("_", call.text("fileName", ""))
    return _Wanted(_formats(call, texts), family, call.flag("download", default=False), file_name or None)


def _formats(call: Call, texts: dict[str, str]) -> dict[str, str]:
    """Return the format wanted for each medium; the first of mediaFormats takes precedence over formatId."""
    chosen = call.choice("formatId", FORMATS, "WEBM")
    listed = [name for each in call.texts("mediaFormats") for name in each.split(",")]
    for name in listed:
        if name not in _AUDIO_TYPES:
            raise Refused("invalid.value", name, "string", ", ".join(_AUDIO_TYPES))
    audio = listed[0] if listed else chosen
    return {"audio": audio, "screen": audio, "chat": "ZIP", "messaging": "ZIP", "email": "EML", **texts}


def _content_type(media: str, chosen: str) -> str:
    if chosen == NO_FORMAT:
        return _ORIGINAL_TYPES[media]
    if media == "screen":
        return "video/mp4"
    return _AUDIO_TYPES[chosen] if media == "audio" else _TEXT_TYPES[chosen]
