"""
Pre-signed URLs: making them, and telling a good one from one that is old or was changed.

They look like those of the object store that Genesys keeps recordings in, or of its distribution, and carry their
expiry where these do. The signature is an HMAC-SHA256 over the path and what says when the URL expires.
"""

from __future__ import annotations

import base64
import hmac
import json
import zlib
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

if TYPE_CHECKING:
    from .family_settings import UrlStyle

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
    "application/json": "json",
    "application/zip": "zip",
    "message/rfc822": "eml",
    "image/png": "png",
}
_TYPES = {extension: content_type for content_type, extension in _EXTENSIONS.items()}

_S3_DATE = "%Y%m%dT%H%M%SZ"
_S3_SIGNED = ("X-Amz-Date", "X-Amz-Expires")
# How CloudFront writes base64 in a URL.
_POLICY_ALPHABET = str.maketrans("+=/", "-_~")
_BASE64_ALPHABET = str.maketrans("-_~", "+=/")


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

    def sign(self, path: str, expires_at: int, *, style: UrlStyle = "cloudfront", life: int = 0) -> str:
        """Return path and query of a URL that is good until `expires_at`, in epoch seconds, `life` from its signing."""
        if style == "cloudfront":
            return f"{path}?Expires={expires_at}&Signature={self._signature(path, str(expires_at))}"
        if style == "s3":
            return f"{path}?{self._s3_query(path, expires_at - life, life)}"
        policy = _policy(path, expires_at)
        return f"{path}?Policy={policy}&Signature={self._signature(path, policy)}&Key-Pair-Id=SIMULATOR"

    def judge(self, path: str, query: str, wall: float) -> Verdict:
        """Say what a URL is worth at a wall clock time; `path` as it was signed, `query` as it came."""
        fields = parse_qs(query, keep_blank_values=True)
        signed: tuple[str, ...] = _S3_SIGNED
        signature = "X-Amz-Signature"
        if signature not in fields:
            signed, signature = ("Policy" if "Policy" in fields else "Expires",), "Signature"
        if any(len(fields.get(name, ())) != 1 for name in (*signed, signature)):
            return Verdict.UNSIGNED
        values = [fields[name][0] for name in signed]
        if not hmac.compare_digest(self._signature(path, *values).encode(), fields[signature][0].encode()):
            return Verdict.CHANGED
        return Verdict.GOOD if wall < _expiry(signed[0], values) else Verdict.EXPIRED

    def _s3_query(self, path: str, signed_at: int, life: int) -> str:
        date = datetime.fromtimestamp(signed_at, UTC).strftime(_S3_DATE)
        credential = f"SIMULATOR%2F{date[:8]}%2Fus-east-1%2Fs3%2Faws4_request"
        return (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}&X-Amz-Expires={life}"
            f"&X-Amz-SignedHeaders=host&X-Amz-Signature={self._signature(path, date, str(life))}"
        )

    def _signature(self, path: str, *values: str) -> str:
        return hmac.digest(self._key, "\n".join((path, *values)).encode(), "sha256").hex()


def _policy(path: str, expires_at: int) -> str:
    condition = {"DateLessThan": {"AWS:EpochTime": expires_at}}
    statement = json.dumps({"Statement": [{"Resource": path, "Condition": condition}]}, separators=(",", ":"))
    return base64.b64encode(statement.encode()).decode().translate(_POLICY_ALPHABET)


def _expiry(name: str, values: list[str]) -> int:
    """Return the expiry in epoch seconds; only of values whose signature is good, so that they can be read."""
    if name == "Expires":
        return int(values[0])
    if name == "Policy":
        statement = json.loads(base64.b64decode(values[0].translate(_BASE64_ALPHABET)))
        return int(statement["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"])
    date, life = values
    return int(datetime.strptime(date, _S3_DATE).replace(tzinfo=UTC).timestamp()) + int(life)


def content_type_of(file_id: str, content_types: tuple[str, ...]) -> str:
    """Return a file's content type, the same for an id every time."""
    if file_id.startswith(DOCUMENT_PREFIX):
        return DOCUMENT_TYPE
    return content_types[zlib.crc32(file_id.encode()) % len(content_types)]


def content_type_of_name(file_name: str) -> str | None:
    """Return the content type that a file's name stands for; None when its ending is unknown."""
    return _TYPES.get(file_name.rpartition(".")[2])


def file_name_of(file_id: str, content_type: str) -> str:
    """Return a file's name."""
    return f"{file_id}.{_EXTENSIONS.get(content_type, 'bin')}"


def media_path(file_id: str, file_name: str) -> str:
    """Return the path under which a file is served, in the one spelling that is signed."""
    return f"{MEDIA_PREFIX}{quote(file_id, safe='')}/{quote(file_name, safe='')}"
