"""What to ask Genesys; an endpoint of your own is one class with one method, see `Endpoint`."""

from .base import Assignment, Endpoint, require_json
from .media_storage import MediaStorage

__all__ = ["Assignment", "Endpoint", "MediaStorage", "require_json"]
