"""The body of a webhook: the event `media.url.generated` as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import escaped

if TYPE_CHECKING:
    from ..events import JsonScalar
    from ..models import Retrieved

EVENT_NAME = "media.url.generated"


def url_generated(result: Retrieved, *, at: float) -> dict[str, JsonScalar]:
    """Return the event for a result that was retrieved `at` (seconds since 1970, UTC), without the URL itself."""
    return {
        "event": EVENT_NAME,
        "fileId": result.file_id,
        **({} if result.media_id is None else {"mediaId": result.media_id}),
        "timestamp": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        "expiresAt": result.expires_at.isoformat(timespec="seconds"),
        "expiresIn": result.expires_in,
        "fileName": result.file_name,
        "contentType": result.content_type,
    }


def to_json(value: dict[str, JsonScalar]) -> bytes:
    """Return an object as compact JSON in UTF-8, in which nothing is unprintable."""
    return escaped(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).encode()
