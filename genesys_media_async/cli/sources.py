"""Where the command gets URLs from: the name of each source, and the endpoint it stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

from ..endpoints.base import Endpoint
from ..endpoints.document import Document
from ..endpoints.media_storage import MediaStorage
from ..endpoints.message_media import MessageMedia
from ..endpoints.platform_download import PlatformDownload
from ..endpoints.recordings.orphan_recording import OrphanRecording
from ..endpoints.recordings.recording import Format, Recording
from ..endpoints.recordings.recording_batch import RecordingBatch
from ..endpoints.transcript import Transcript
from .exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_SOURCE: Final = "media-storage"


@dataclass(frozen=True, slots=True)
class Source:
    """How to make an endpoint; `takes_format` says whether it has any use for the media format it is given."""

    endpoint: Callable[[Format | None], Endpoint]
    takes_format: bool = False


SOURCES: Final[Mapping[str, Source]] = {
    "media-storage": Source(lambda _: MediaStorage()),
    "recording-batch": Source(lambda _: RecordingBatch()),
    "recording": Source(Recording, takes_format=True),
    "document": Source(lambda _: Document()),
    "download": Source(lambda _: PlatformDownload()),
    "orphan-recording": Source(OrphanRecording, takes_format=True),
    "transcript": Source(lambda _: Transcript()),
    "message-media": Source(lambda _: MessageMedia()),
}

FORMATS: Final[Mapping[str, Format]] = {each: each for each in get_args(Format)}


def check_source(name: str) -> str:
    """Return the name of a source, or raise `CommandFailed` with all that there are."""
    if name not in SOURCES:
        raise CommandFailed(ExitCode.USAGE, f"--source: {name!r} is none; the sources are {', '.join(SOURCES)}.")
    return name


def endpoint_for(name: str, media_format: str | None) -> Endpoint:
    """Return the endpoint of a source. Raises `CommandFailed` for an option that cannot be."""
    source = SOURCES[check_source(name)]
    if media_format is None:
        return source.endpoint(None)
    if not source.takes_format:
        able = ", ".join(name for name, each in SOURCES.items() if each.takes_format)
        raise CommandFailed(ExitCode.USAGE, f"--media-format: it is of use with --source {able} only.")
    known = FORMATS.get(media_format.upper())
    if known is None:
        raise CommandFailed(
            ExitCode.USAGE, f"--media-format: {media_format!r} is none; the formats are {', '.join(FORMATS)}."
        )
    return source.endpoint(known)


def explain_sources() -> str:
    """Return the list of sources with the forms of their ids, for a help page."""
    width = max(map(len, SOURCES)) + 2
    id_formats = {name: " or ".join(source.endpoint(None).id_formats) for name, source in SOURCES.items()}
    return "\n".join(f"  {name:<{width}}{each}" for name, each in id_formats.items())
