"""
Pre-signed URLs: how they are signed and checked.

They have the form, and the place of the expiry, of the object store that holds Genesys's recordings or of its
distribution. The signature is an HMAC-SHA256 of the path and the parameters of the expiry.
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
# CloudFront's form of base64 in a URL.
_POLICY_ALPHABET = str.maketrans("+=/", "-_~")
_BASE64_ALPHABET = str.maketrans("-_~", "+=/")


class Verdict(Enum):
    """The result of checking a signed URL."""

    GOOD = "good"
    UNSIGNED = "unsigned"
    CHANGED = "changed"
    EXPIRED = "expired"


class Signer:
    """Signs paths and checks signatures; two signers accept each other's only with the same key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "<Signer>"

    def sign(self, path: str, expires_at: int, *, style: UrlStyle = "cloudfront", lifetime: int = 0) -> str:
        """Return path and query of a URL that expires at `expires_at` (epoch seconds), `lifetime` after its signing."""
        if style == "cloudfront":
            return f"{path}?Expires={expires_at}&Signature={self._signature(path, str(expires_at))}"
        if style == "s3":
            return f"{path}?{self._s3_query(path, expires_at - lifetime, lifetime)}"
        policy = _policy(path, expires_at)
        return f"{path}?Policy={policy}&Signature={self._signature(path, policy)}&Key-Pair-Id=SIMULATOR"

    def check(self, path: str, query: str, wall: float) -> Verdict:
        """Check a URL at a wall clock time, with `path` as it was signed and `query` as it was received."""
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

    def _s3_query(self, path: str, signed_at: int, lifetime: int) -> str:
        date = datetime.fromtimestamp(signed_at, UTC).strftime(_S3_DATE)
        credential = f"SIMULATOR%2F{date[:8]}%2Fus-east-1%2Fs3%2Faws4_request"
        return (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}&X-Amz-Expires={lifetime}"
            f"&X-Amz-SignedHeaders=host&X-Amz-Signature={self._signature(path, date, str(lifetime))}"
        )

    def _signature(self, path: str, *values: str) -> str:
        return hmac.digest(self._key, "\n".join((path, *values)).encode(), "sha256").hex()


def _policy(path: str, expires_at: int) -> str:
    condition = {"DateLessThan": {"AWS:EpochTime": expires_at}}
    statement = json.dumps({"Statement": [{"Resource": path, "Condition": condition}]}, separators=(",", ":"))
    return base64.b64encode(statement.encode()).decode().translate(_POLICY_ALPHABET)


def _expiry(name: str, values: list[str]) -> int:
    """Return the expiry in epoch seconds; the values need no checks because their signature is good."""
    if name == "Expires":
        return int(values[0])
    if name == "Policy":
        statement = json.loads(base64.b64decode(values[0].translate(_BASE64_ALPHABET)))
        return int(statement["Statement"][0]["Condition"]["DateLessThan"]["AWS:EpochTime"])
    date, lifetime = values
    return int(datetime.strptime(date, _S3_DATE).replace(tzinfo=UTC).timestamp()) + int(lifetime)


def content_type_of(file_id: str, content_types: tuple[str, ...]) -> str:
    """Return a file's content type, always the same for one id."""
    if file_id.startswith(DOCUMENT_PREFIX):
        return DOCUMENT_TYPE
    return content_types[zlib.crc32(file_id.encode()) % len(content_types)]


def content_type_of_name(file_name: str) -> str | None:
    """Return the content type of a file's name; None for an unknown extension."""
    return _TYPES.get(file_name.rpartition(".")[2])


def file_name_of(file_id: str, content_type: str) -> str:
    """Return a file's name."""
    return f"{file_id}.{_EXTENSIONS.get(content_type, 'bin')}"


def media_path(file_id: str, file_name: str) -> str:
    """Return the path of a file, in the spelling that is signed."""
    return f"{MEDIA_PREFIX}{quote(file_id, safe='')}/{quote(file_name, safe='')}"
