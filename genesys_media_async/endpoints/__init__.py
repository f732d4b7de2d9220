"""What to ask Genesys; an endpoint of your own is one class with one method, see `Endpoint`."""

from .base import Assignment, Endpoint, read_json, require_json, share_of
from .media_storage import MediaStorage
from .recording import Recording
from .recording_batch import RecordingBatch

__all__ = [
    "Assignment",
    "Endpoint",
    "MediaStorage",
    "Recording",
    "RecordingBatch",
    "read_json",
    "require_json",
    "share_of",
]
