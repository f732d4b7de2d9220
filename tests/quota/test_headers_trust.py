"""Quota headers are followed once they have been proven, as what they have been proven to be."""

from __future__ import annotations

import pytest

from genesys_media_async.quota.headers import PROOFS, HeaderKind, HeaderTrust


def following(trust: HeaderTrust) -> tuple[bool, bool, bool]:
    return trust.is_proven, trust.follows_windows, trust.follows_counts


def test_headers_are_not_followed_before_their_last_proof() -> None:
    trust = HeaderTrust(300)
    assert following(trust) == (False, False, False)
    assert not trust.has_misled
    for _ in range(PROOFS - 1):
        assert not trust.prove()
        assert following(trust) == (False, False, False)
    assert trust.prove()
    assert following(trust) == (True, True, False)
    assert not trust.prove()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (HeaderKind.WINDOW, (True, True, False)),
        (HeaderKind.LEAKY, (True, False, True)),
        (HeaderKind.BROKEN, (False, False, False)),
    ],
)
def test_proven_headers_are_followed_as_what_they_are(kind: HeaderKind, expected: tuple[bool, bool, bool]) -> None:
    trust = HeaderTrust(300)
    for _ in range(PROOFS):
        trust.prove()
    trust.become(kind)
    assert following(trust) == expected
