"""The endpoints of Genesys Cloud; derive one of your own from `Endpoint`."""

from ..api.calls import Call, CallResult
from .base import Endpoint, EndpointContext, Probe, read_json, require_json
from .document import Document
from .media_storage import MediaStorage
from .message_media import MessageMedia
from .platform_download import PlatformDownload
from .recordings.orphan_recording import OrphanRecording
from .recordings.recording import Recording
from .recordings.recording_batch import RecordingBatch
from .transcript import Transcript

__all__ = [
    "Call",
    "CallResult",
    "Document",
    "Endpoint",
    "EndpointContext",
    "MediaStorage",
    "MessageMedia",
    "OrphanRecording",
    "PlatformDownload",
    "Probe",
    "Recording",
    "RecordingBatch",
    "Transcript",
    "read_json",
    "require_json",
]
