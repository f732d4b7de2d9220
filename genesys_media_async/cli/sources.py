"""The sources of URLs: the name of each, and the endpoint it stands for."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Final, get_args

from ..endpoints.document import Document
from ..endpoints.media_storage import MediaStorage
from ..endpoints.message_media import MessageMedia
from ..endpoints.platform_download import PlatformDownload
from ..endpoints.recordings.orphan_recording import OrphanRecording
from ..endpoints.recordings.recording import Format, Recording
from ..endpoints.recordings.recording_batch import RecordingBatch
from ..endpoints.transcript import Transcript
from .exit_codes import usage_error
from .options import unknown_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..endpoints.base import Endpoint

DEFAULT_SOURCE: Final = "media-storage"
BATCH: Final = "recording-batch"

SOURCES: Final[Mapping[str, type[Endpoint]]] = {
    "media-storage": MediaStorage,
    BATCH: RecordingBatch,
    "recording": Recording,
    "document": Document,
    "platform-download": PlatformDownload,
    "orphan-recording": OrphanRecording,
    "transcript": Transcript,
    "message-media": MessageMedia,
}

TRANSCODING: Final[Mapping[str, Callable[[Format], Endpoint]]] = {
    "recording": Recording,
    "orphan-recording": OrphanRecording,
}
"""The sources whose media can be transcoded to a format."""

MEDIA_FORMATS: Final[Mapping[str, Format]] = {each: each for each in get_args(Format)}


def endpoint_for(name: str, media_format: str | None, *, resubmit: bool = True) -> Endpoint:
    """Return the endpoint of a source. Raises `CommandFailed` for an option that is not valid or does not apply."""
    if not resubmit:
        if name != BATCH:
            raise usage_error("--no-resubmit", f"it applies to --source {BATCH} only.")
        return RecordingBatch(resubmit=False)
    if media_format is None:
        return SOURCES[name]()
    make = TRANSCODING.get(name)
    if make is None:
        raise usage_error("--media-format", f"it applies to --source {' and '.join(TRANSCODING)} only.")
    known = MEDIA_FORMATS.get(media_format.upper())
    if known is None:
        raise unknown_value("--media-format", media_format, MEDIA_FORMATS)
    return make(known)


def source_table() -> str:
    """Return the sources, the formats of their ids, and what the OAuth client needs, for a help page."""
    width = max(map(len, SOURCES)) + 2
    lines: list[str] = []
    for name, each in SOURCES.items():
        lines.append(f"  {name:<{width}}{' or '.join(each.id_formats)}")
        needs = wrap(f"needs {each.permission}", 76 - width)
        lines += [f"  {'':<{width}}{line}" for line in needs]
    return "\n".join(lines)
