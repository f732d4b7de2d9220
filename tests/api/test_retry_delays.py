"""Delays: the curve, its jitter, and the Retry-After header."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.api.retry import (
    curve,
    jittered,
    parse_retry_after,
    point,
)
from tests.support.randomness import Steady

FOREVER = float("inf")
WALL = 1_700_000_000.0


class TestCurve:
    @pytest.mark.parametrize(
        ("base", "longest", "expected"),
        [
            (1, 30, (1, 2, 4, 8, 16, 30)),
            (0.5, 4, (0.5, 1, 2, 4)),
            (5, 5, (5,)),
            (10, 5, (5,)),
            (0, 30, (0,)),
            (1, 0, (0,)),
        ],
    )
    def test_doubles_up_to_the_maximum(self, base: float, longest: float, expected: tuple[float, ...]) -> None:
        assert curve(base, longest) == expected

    @given(st.floats(1e-3, 3_600), st.floats(1e-3, 3_600))
    @settings(deadline=None, max_examples=100)
    def test_never_falls_and_ends_with_the_maximum(self, base: float, longest: float) -> None:
        points = curve(base, longest)
        assert points[-1] == longest
        assert all(left < right <= 2 * left for left, right in pairwise(points))

    def test_can_grow_by_another_factor(self) -> None:
        assert curve(1.0, 10.0, 1.5) == (1.0, 1.5, 2.25, 3.375, 5.0625, 7.59375, 10.0)

    def test_has_a_delay_for_every_number(self) -> None:
        assert [point((1.0, 2.0, 3.0), number) for number in (1, 2, 3, 4, 10**6)] == [1.0, 2.0, 3.0, 3.0, 3.0]

    def test_is_jittered_by_a_share_of_the_delay(self) -> None:
        assert [jittered((1.0, 2.0), number, Steady(0.25)) for number in (1, 2, 3)] == [0.25, 0.5, 0.5]


def http_date(seconds_from_now: float) -> str:
    return format_datetime(datetime.fromtimestamp(WALL + seconds_from_now, UTC), usegmt=True)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("7", 7),
            (" 7 ", 7),
            ("007", 7),
            ("+7", 7),
            ("1.5", 1.5),
            ("-3", 0),
            ("-0", 0),
            ("99999999999", 99_999_999_999),
            ("9" * 5_000, FOREVER),
            (http_date(90), 90),
            (http_date(0), 0),
            (http_date(-90), 0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799 - WALL),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            # RFC 850 and asctime, which RFC 9110 still has recipients understand.
            ("Wednesday, 15-Nov-23 00:00:00 GMT", 1_700_006_400 - WALL),
            ("Wed Nov 15 00:00:00 2023", 1_700_006_400 - WALL),
            # A date of another zone, or of none.
            ("Wed, 15 Nov 2023 01:00:00 +0100", 1_700_006_400 - WALL),
            ("Wed, 15 Nov 2023 00:00:00", 1_700_006_400 - WALL),
        ],
    )
    def test_is_read_as_seconds_from_now(self, value: str, seconds: float) -> None:
        assert parse_retry_after(value, wall=WALL) == pytest.approx(seconds)

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "  ",
            "soon",
            "1e3",
            "1,5",
            "0x10",
            "٣",
            "7 seconds",
            "NaN",
            "Infinity",
            "7; 8",
            "Mon, 32 Jan 2024 00:00:00 GMT",
            "Mon, 01 Jan 10000 00:00:00 GMT",
            "Mon, 01 Jan 2024 25:00:00 GMT",
            "Mon, 01 Jan 2024 00:00:00 +9999",
        ],
    )
    def test_that_is_unreadable_counts_as_missing(self, value: str | None) -> None:
        assert parse_retry_after(value, wall=WALL) is None

    @given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, ?[0-9]{1,3} [A-Z][a-z]{2} [0-9:+ -]{0,24}(GMT)?")))
    @example("Mon, 1 Jan 1 00:00:00 -0001")
    @example("Mon, 01 Jan 2024 00:00:60 GMT")
    @settings(deadline=None, max_examples=300)
    def test_never_raises_and_is_never_negative(self, value: str) -> None:
        seconds = parse_retry_after(value, wall=WALL)
        assert seconds is None or seconds >= 0

    @given(st.integers(-(10**6), 10**7))
    @settings(deadline=None, max_examples=50)
    def test_as_a_date_means_the_same_as_in_seconds(self, seconds: int) -> None:
        date = format_datetime(datetime.fromtimestamp(WALL, UTC) + timedelta(seconds=seconds), usegmt=True)
        assert parse_retry_after(date, wall=WALL) == max(0, seconds)
