"""URLs for tests of validation, and the code with which a rule rejects them."""

from __future__ import annotations

from typing import Any

from genesys_media_async.endpoints.validation import check
from genesys_media_async.models import DownloadUrl, MediaRequest
from genesys_media_async.settings.policies import ValidationRule

SIGNED = "https://media.example.com/recordings/a.wav?X-Signature=canary-signature"
REQUEST = MediaRequest("f-1", expires_in=3_600)


def answer(url: str = SIGNED, **changes: Any) -> DownloadUrl:
    known: dict[str, Any] = {"expires_in": 3_600, "content_type": "audio/wav", "file_name": "a.wav", **changes}
    return DownloadUrl(url=url, ends_at=1_900_000_000.0, **known)


def reason(url: DownloadUrl, request: MediaRequest = REQUEST, **rule: Any) -> str | None:
    refused = check(url, request, ValidationRule(**rule))
    return None if refused is None else refused.code
