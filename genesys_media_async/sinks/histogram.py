"""A distribution of numbers in bounded memory."""

from __future__ import annotations

from collections import Counter
from itertools import repeat
from math import ceil, exp2, isfinite, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_GROWTH = log2(1.05)
_SMALLEST = 1e-6


class Histogram:
    """
    A distribution of positive numbers in buckets 5 % wide; a percentile is at most one bucket off.

    Memory does not grow with the count: there are 518 buckets from a microsecond to a day.
    """

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.total = 0.0
        self.largest = 0.0

    @property
    def count(self) -> int:
        """How many numbers were added."""
        return self._buckets.total()

    def add(self, values: Sequence[float]) -> None:
        """Add numbers; one below a microsecond counts as a microsecond, and one that is not finite is left out."""
        total = sum(values)
        if not isfinite(total):
            values = [value for value in values if isfinite(value)]
            total = sum(values)
        self.total += total
        self.largest = max([self.largest, *values])
        if min(values, default=1.0) < _SMALLEST:
            values = [max(value, _SMALLEST) for value in values]
        # Without a line of Python for each value: there is one for each id.
        self._buckets.update(map(ceil, map(float.__truediv__, map(log2, values), repeat(_GROWTH))))

    def percentile(self, percent: float) -> float | None:
        """Return the number that `percent` of all do not exceed (its bucket's upper edge); None if there are none."""
        wanted = ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(self.largest, exp2(bucket * _GROWTH))
        return None
