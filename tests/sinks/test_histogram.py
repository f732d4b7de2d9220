"""`Histogram`: percentiles in bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.sinks.histogram import Histogram


class TestHistogram:
    @given(
        parts=st.lists(st.lists(st.floats(1e-5, 1e5), max_size=50), max_size=8).filter(any),
        percent=st.sampled_from([1, 50, 90, 95, 99, 99.9, 100]),
    )
    @settings(deadline=None, max_examples=150)
    def test_a_percentile_is_at_most_one_bucket_off(self, parts: list[list[float]], percent: float) -> None:
        histogram = Histogram()
        for part in parts:
            histogram.add(part)
        values = [value for part in parts for value in part]
        rank = next(rank for rank in range(1, len(values) + 1) if rank >= len(values) * percent / 100)
        true = sorted(values)[rank - 1]
        found = histogram.percentile(percent)
        assert found is not None
        assert true * (1 - 1e-9) <= found <= true * 1.0500001
        assert histogram.count == len(values)
        assert histogram.total == pytest.approx(sum(values))
        assert histogram.largest == max(values)

    def test_nothing_zero_and_tiny_numbers_are_accepted(self) -> None:
        histogram = Histogram()
        histogram.add([])
        assert histogram.percentile(50) is None
        histogram.add([0.0])
        assert histogram.percentile(50) == 0.0
        histogram.add([1e-12])
        assert histogram.percentile(100) == pytest.approx(1e-12)

    def test_a_percentile_is_never_above_the_largest_number(self) -> None:
        histogram = Histogram()
        histogram.add([1.01])
        assert histogram.percentile(99) == 1.01
