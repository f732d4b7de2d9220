"""The lifetime of a signed URL whose reply does not name it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from ..models import DownloadUrl

if TYPE_CHECKING:
    from ..models import ExpirySource

DEFAULT_URL_LIFETIME = 3_600.0
"""Seconds; the value of the platform's own settings until they are changed."""

MAX_EXPIRY = datetime(9_999, 1, 1, tzinfo=UTC).timestamp()


def signed_url(
    url: str,
    *,
    sent_at: float,
    default_lifetime: float,
    known_from: ExpirySource = "default",
    file_name: str | None = None,
    content_type: str | None = None,
) -> DownloadUrl:
    """
    Return the URL from the reply to a request that was sent at `sent_at` (seconds since 1970), with its expiry.

    The expiry is read from the URL: `X-Amz-Date` with `X-Amz-Expires` (AWS Signature Version 4,
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html) or `Expires` (CloudFront,
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html).
    A URL without it lives `default_lifetime` seconds, which are known from `known_from`.
    """
    ends_at = _ends_at(url)
    if ends_at is not None:
        known_from = "url"
    else:
        ends_at = sent_at + default_lifetime
    return DownloadUrl(
        url=url,
        ends_at=ends_at,
        expires_in=max(0, math.floor(ends_at - sent_at)),
        file_name=file_name,
        content_type=content_type,
        expiry_source=known_from,
    )


def has_expiry(url: str) -> bool:
    """Return whether `signed_url` can read the expiry from the URL."""
    return _ends_at(url) is not None


def _ends_at(url: str) -> float | None:
    try:
        query = {name.lower(): values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    except ValueError:
        return None
    try:
        if "x-amz-date" in query:
            signed_at = datetime.strptime(query["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            ends_at = signed_at.timestamp() + int(query["x-amz-expires"])
        else:
            ends_at = float(int(query["expires"]))
    except (KeyError, ValueError, OverflowError):
        return None
    return ends_at if 0 < ends_at < MAX_EXPIRY else None
