"""
Pre-signed URLs: making them, and telling a good one from one that is old or was changed.

The expiry is epoch seconds and the signature an HMAC-SHA256 over the path and the expiry, as object stores do it.
"""

from __future__ import annotations

import hmac
import zlib
from enum import Enum
from urllib.parse import parse_qs, quote

MEDIA_PREFIX = "/media/"
DOCUMENT_PREFIX = "document-"
DOCUMENT_TYPE = "application/pdf"

_EXTENSIONS = {
    "audio/wav": "wav",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/webm": "webm",
    "video/mp4": "mp4",
    "application/pdf": "pdf",
}


class Verdict(Enum):
    """What a signed URL is worth."""

    GOOD = "good"
    UNSIGNED = "unsigned"
    CHANGED = "changed"
    EXPIRED = "expired"


class Signer:
    """Signs paths and judges the signatures; two signers agree only when they share the key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<Signer>"

    def sign(self, path: str, expires_at: int) -> str:
        """Return path and query of a URL that is good until `expires_at`, in epoch seconds."""
        return f"{path}?Expires={expires_at}&Signature={self._signature(path, str(expires_at))}"

    def judge(self, path: str, query: str, wall: float) -> Verdict:
        """Say what a URL is worth at a wall clock time; `path` as it was signed, `query` as it came."""
        fields = parse_qs(query, keep_blank_values=True)
        expires, signature = fields.get("Expires", []), fields.get("Signature", [])
        if len(expires) != 1 or len(signature) != 1:
            return Verdict.UNSIGNED
        if not hmac.compare_digest(self._signature(path, expires[0]).encode(), signature[0].encode()):
            return Verdict.CHANGED
        return Verdict.GOOD if wall < int(expires[0]) else Verdict.EXPIRED

    def _signature(self, path: str, expires: str) -> str:
        return hmac.digest(self._key, f"{path}\n{expires}".encode(), "sha256").hex()


def content_type_of(file_id: str, content_types: tuple[str, ...]) -> str:
    """Return a file's content type, the same for an id every time."""
    if file_id.startswith(DOCUMENT_PREFIX):
        return DOCUMENT_TYPE
    return content_types[zlib.crc32(file_id.encode()) % len(content_types)]


def file_name_of(file_id: str, content_type: str) -> str:
    """Return a file's name."""
    return f"{file_id}.{_EXTENSIONS.get(content_type, 'bin')}"


def media_path(file_id: str, file_name: str) -> str:
    """Return the path under which a file is served, in the one spelling that is signed."""
    return f"{MEDIA_PREFIX}{quote(file_id, safe='')}/{quote(file_name, safe='')}"
