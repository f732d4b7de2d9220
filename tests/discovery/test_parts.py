"""The queries that cover an interval: every day belongs to one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.discovery.parts import MAX_QUERY, parts_of

DAY = timedelta(days=1)


@given(
    begin=st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)),
    length=st.timedeltas(timedelta(milliseconds=1), 100 * DAY),
    days=st.integers(0, 100),
)
def test_each_start_from_the_look_back_on_belongs_to_exactly_one_part(
    begin: datetime, length: timedelta, days: int
) -> None:
    begin = begin.replace(tzinfo=UTC)
    end = begin + length
    midnight = datetime.combine(begin, datetime.min.time(), UTC)
    parts = list(parts_of(begin, end, days * DAY))

    assert parts[0].starts_from == midnight - days * DAY
    assert all(earlier.end == later.starts_from for earlier, later in pairwise(parts))
    assert parts[-1].end == end
    for part in parts:
        assert timedelta() < part.end - part.begin <= MAX_QUERY
        # A query finds what starts on the days that its interval touches: those of the part, and no earlier ones.
        assert datetime.combine(part.begin, datetime.min.time(), UTC) == part.starts_from
        assert part.active_since == (begin if part.end <= midnight else None)
        assert part.has(part.starts_from)
        assert not part.has(part.end)


def test_a_look_back_ends_at_the_first_day_there_is() -> None:
    begin = datetime(1, 1, 3, 5, tzinfo=UTC)
    assert next(parts_of(begin, begin + DAY, 7 * DAY)).starts_from == datetime(1, 1, 1, tzinfo=UTC)
