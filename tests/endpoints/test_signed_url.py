"""The expiry of a signed URL, from the URL itself or from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.endpoints.signed_url import has_expiry, signed_url

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC).timestamp()
HOST = "https://media.example.com/a"
PLAIN = f"{HOST}?Signature=s"


@pytest.mark.parametrize(
    ("query", "lifetime"),
    [
        ("X-Amz-Date=20260301T120000Z&X-Amz-Expires=3600&X-Amz-Signature=s", 3_600),
        ("X-Amz-Date=20260301T115900Z&X-Amz-Expires=120", 60),
        ("x-amz-date=20260301T120000Z&x-amz-expires=7", 7),
        (f"Expires={int(NOW) + 90}&Signature=s&Key-Pair-Id=k", 90),
        # Its time is over.
        (f"Expires={int(NOW) - 90}", 0),
        ("X-Amz-Date=20260301T110000Z&X-Amz-Expires=60", 0),
    ],
)
def test_a_signed_url_has_its_own_expiry(query: str, lifetime: int) -> None:
    url = signed_url(f"{HOST}?{query}", sent_at=NOW, default_lifetime=1.0)
    assert (url.expires_in, url.expiry_source) == (lifetime, "url")
    assert lifetime == 0 or url.expires_at.timestamp() == NOW + lifetime
    assert has_expiry(url.url)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "Signature=s",
        "Policy=e30_&Signature=s",
        "Expires=soon",
        "Expires=",
        "Expires=-5",
        f"Expires={10**12}",
        f"Expires=1{'0' * 5_000}",
        "X-Amz-Expires=60",
        "X-Amz-Date=20260301T120000Z",
        "X-Amz-Date=yesterday&X-Amz-Expires=60",
        "X-Amz-Date=20260301T120000Z&X-Amz-Expires=never",
    ],
)
def test_a_url_without_an_expiry_has_the_default_lifetime(query: str) -> None:
    url = signed_url(f"{HOST}?{query}", sent_at=NOW, default_lifetime=120.0, known_from="settings")
    assert (url.expires_in, url.expiry_source) == (120, "settings")
    assert url.expires_at.timestamp() == NOW + 120
    assert not has_expiry(url.url)


@given(st.text() | st.builds("https://a.example/?Expires={}".format, st.text()))
def test_any_text_has_an_expiry(text: str) -> None:
    assert signed_url(text, sent_at=NOW, default_lifetime=60.0).expires_in >= 0
