"""Delays: the curve, its jitter, and the Retry-After header."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.api.retry import (
    MAX_RETRY_AFTER,
    curve,
    jittered,
    parse_retry_after,
    point,
)
from tests.support.randomness import Steady

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
            ("7", 7),
            (" 7 ", 7),
            ("007", 7),
            ("1.5", 1.5),
            ("86400", 86_400),
            (http_date(90), 90),
            (http_date(86_400), 86_400),
            # RFC 850 and asctime, which RFC 9110 still has recipients understand.
            ("Wednesday, 15-Nov-23 00:00:00 GMT", 1_700_006_400 - WALL),
            ("Wed Nov 15 00:00:00 2023", 1_700_006_400 - WALL),
            ("Wed Nov 15 00:00:00 2023 ", 1_700_006_400 - WALL),
            ("wed, 15 nov 2023 00:00:00 gmt", 1_700_006_400 - WALL),
        ],
    )
    def test_is_read_as_seconds_from_now(self, value: str, seconds: float) -> None:
        assert wait_by(value) == pytest.approx(seconds)

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
            "+7",
            "7 seconds",
            "NaN",
            "Infinity",
            "7; 8",
            "7, 8",
            "Mon, 32 Jan 2024 00:00:00 GMT",
            "Mon, 01 Jan 10000 00:00:00 GMT",
            "Mon, 01 Jan 2024 25:00:00 GMT",
        ],
    )
    def test_that_is_unreadable_counts_as_missing(self, value: str | None) -> None:
        assert wait_by(value) is None

    @pytest.mark.parametrize(
        "value",
        [
            "0",
            "0.0",
            "-0",
            "-3",
            "86401",
            "99999999999",
            "9" * 5_000,
            http_date(0),
            http_date(-90),
            http_date(86_401),
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Tuesday, 14-Nov-23 22:13:20 GMT",
        ],
    )
    def test_that_makes_no_sense_counts_as_missing(self, value: str) -> None:
        assert wait_by(value) is None

    @pytest.mark.parametrize("zone", ["BST", "CET", "EST", "+0100", "-0500", "+0000", "UTC", "Z", "", "GMT+1", "+9999"])
    def test_as_a_date_of_another_zone_than_gmt_counts_as_missing(self, zone: str) -> None:
        assert wait_by(f"Wed, 15 Nov 2023 00:00:00 {zone}".strip()) is None
        assert wait_by(f"Wednesday, 15-Nov-23 00:00:00 {zone}".strip()) is None

    def test_as_a_date_counts_from_the_replys_own_date(self) -> None:
        headers = {"retry-after": http_date(3_590), "date": http_date(3_560)}
        assert parse_retry_after(headers, wall=WALL) == 30
        assert parse_retry_after(headers | {"date": "yesterday"}, wall=WALL) == 3_590
        assert parse_retry_after(headers | {"retry-after": "7"}, wall=WALL) == 7

    @given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, ?[0-9]{1,3} [A-Z][a-z]{2} [0-9:+ -]{0,24}(GMT)?")))
    @example("Mon, 1 Jan 1 00:00:00 -0001")
    @example("Mon, 01 Jan 2024 00:00:60 GMT")
    @settings(deadline=None, max_examples=300)
    def test_never_raises_and_is_never_beyond_a_day(self, value: str) -> None:
        seconds = wait_by(value)
        assert seconds is None or 0 < seconds <= MAX_RETRY_AFTER

    @given(st.integers(1, 86_400))
    @settings(deadline=None, max_examples=50)
    def test_as_a_date_means_the_same_as_in_seconds(self, seconds: int) -> None:
        date = format_datetime(datetime.fromtimestamp(WALL, UTC) + timedelta(seconds=seconds), usegmt=True)
        assert wait_by(date) == wait_by(str(seconds)) == seconds


def wait_by(value: str | None) -> float | None:
    return parse_retry_after({} if value is None else {"retry-after": value}, wall=WALL)
