"""The quota headers of a reply, and how far they are believed."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.quota.headers import PROOFS, HeaderKind, HeaderTrust, Reading
from genesys_media_async.quota.permit import Permit

NAMES = ["inin-ratelimit-count", "inin-ratelimit-allowed", "inin-ratelimit-reset"]


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(NAMES), st.text()),
        st.one_of(
            st.text(), st.integers().map(str), st.sampled_from(["1_0", "٣", " 7 ", "+5", "1e3", "nan", "9" * 5_000])
        ),
    )
)
@example({})
@example(dict.fromkeys(NAMES, "9" * 5_000))
@example(dict.fromkeys(NAMES, "9" * 4_000))
@settings(deadline=None, max_examples=200)
def test_reading_headers_never_raises_and_gives_whole_numbers_or_nothing(headers: dict[str, str]) -> None:
    reading = Reading.from_headers(headers)
    if reading is not None:
        assert all(type(each) is int for each in (reading.count, reading.allowed, reading.reset))
        QuotaAccount(300, 60).complete(Permit(0), 1, reading)


@pytest.mark.parametrize("missing", NAMES)
def test_two_headers_of_three_are_no_reading(missing: str) -> None:
    whole = {"inin-ratelimit-count": "7", "inin-ratelimit-allowed": "300", "inin-ratelimit-reset": "61"}
    assert Reading.from_headers(whole) == Reading(7, 300, 61)
    assert Reading.from_headers({name: value for name, value in whole.items() if name != missing}) is None
    assert Reading.from_headers(whole | {missing: "many"}) is None


class TestTrust:
    def test_needs_ten_proofs(self) -> None:
        trust = HeaderTrust(300)
        assert [trust.prove() for _ in range(PROOFS + 1)] == [False] * (PROOFS - 1) + [True, False]
        assert (trust.is_proven, trust.follows_windows, trust.follows_counts) == (True, True, False)

    @pytest.mark.parametrize(
        ("kind", "proven", "windows", "counts"),
        [
            (HeaderKind.WINDOW, True, True, False),
            (HeaderKind.LEAKY, True, False, True),
            (HeaderKind.BROKEN, False, False, False),
        ],
    )
    def test_depends_on_the_kind_of_headers(self, kind: HeaderKind, proven: bool, windows: bool, counts: bool) -> None:
        trust = HeaderTrust(300)
        trust.become(kind)
        assert not trust.is_proven
        for _ in range(PROOFS):
            trust.prove()
        assert (trust.is_proven, trust.follows_windows, trust.follows_counts) == (proven, windows, counts)

    def test_ends_after_ten_replies_without_headers(self) -> None:
        trust = HeaderTrust(300)
        assert [trust.note_none() for _ in range(PROOFS)] == [False] * (PROOFS - 1) + [True]

    def test_takes_an_advertised_limit_only_if_it_is_lower(self) -> None:
        trust = HeaderTrust(300)
        assert [trust.advertise(allowed) for allowed in (300, 300, 180, 1_000)] == [True, False, True, True]
        assert trust.allowed == 300
        assert trust.advertise(180)
        assert trust.allowed == 180
