"""What to ask Genesys; an endpoint of your own is one class with one method, see `Endpoint`."""

from .base import Assignment, Endpoint, read_json, require_json, share_of
from .document import Document
from .download import Download
from .media_storage import MediaStorage
from .message_media import MessageMedia
from .orphan_recording import OrphanRecording
from .recording import Recording
from .recording_batch import RecordingBatch
from .transcript import Transcript

__all__ = [
    "Assignment",
    "Document",
    "Download",
    "Endpoint",
    "MediaStorage",
    "MessageMedia",
    "OrphanRecording",
    "Recording",
    "RecordingBatch",
    "Transcript",
    "read_json",
    "require_json",
    "share_of",
]
