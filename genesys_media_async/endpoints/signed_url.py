"""When a signed URL ends, where the reply does not say so."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from ..models import DownloadUrl

if TYPE_CHECKING:
    from ..models import ExpirySource

DEFAULT_URL_LIFE = 3_600.0
"""Seconds that a URL lives where nothing says so: what the platform's own settings are unless they are changed."""

LATEST = datetime(9_999, 1, 1, tzinfo=UTC).timestamp()


def signed_url(
    url: str,
    *,
    sent_at: float,
    otherwise: float,
    known_from: ExpirySource = "default",
    file_name: str | None = None,
    content_type: str | None = None,
) -> DownloadUrl:
    """
    Return what is known of a URL that came in reply to a request sent at `sent_at` (seconds since 1970).

    Its end is read from the URL itself: `X-Amz-Date` with `X-Amz-Expires` (AWS Signature Version 4,
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html) or `Expires` (CloudFront,
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html).
    A URL that does not tell lives `otherwise` seconds, which is `known_from` somewhere else.
    """
    ends_at = _ends_at(url)
    if ends_at is not None:
        known_from = "url"
    else:
        ends_at = sent_at + otherwise
    return DownloadUrl(
        url=url,
        ends_at=ends_at,
        expires_in=max(0, math.floor(ends_at - sent_at)),
        file_name=file_name,
        content_type=content_type,
        expiry_source=known_from,
    )


def says_its_end(url: str) -> bool:
    """Whether `signed_url` can read from the URL when it ends."""
    return _ends_at(url) is not None


def _ends_at(url: str) -> float | None:
    try:
        said = {name.lower(): values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    except ValueError:
        return None
    try:
        if "x-amz-date" in said:
            signed_at = datetime.strptime(said["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            ends_at = signed_at.timestamp() + int(said["x-amz-expires"])
        else:
            ends_at = float(int(said["expires"]))
    except (KeyError, ValueError, OverflowError):
        return None
    return ends_at if 0 < ends_at < LATEST else None
