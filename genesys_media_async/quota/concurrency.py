"""How many requests may be in flight."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ledger import Ledger

MIN_IN_FLIGHT = 4
SPENDING_SHARE = 0.1
"""As many requests are kept in flight as spend the limit within this share of the window; more would gain nothing,
and each of them can be a 429."""

RELEASE = 8
"""After a pause, and in a window that only a refusal showed, one more is kept in flight for each so many replies."""

LAST_PERMITS = 6
"""While permits are given out carefully, and headers describe no window, one is in flight for each so many left."""


class Concurrency:
    """The bound on requests in flight, by Little's law from the average latency."""

    __slots__ = ("_ledger", "_limit", "_spending_time", "answered_at_refusal", "pace")

    def __init__(self, limit: int, seconds: float, ledger: Ledger) -> None:
        self._limit = limit
        self._ledger = ledger
        self._spending_time = seconds * SPENDING_SHARE

        self.pace = self._spending_time / limit * (1 + 1e-9)
        """While the average latency is more than this for each in flight, the bound at full speed is not reached. It is
        a hair too long, so that rounding can never allow one too many."""

        self.answered_at_refusal = -limit
        """How many requests had been answered when the last was refused."""

    def at_full_speed(self) -> int:
        """Return the bound while nothing calls for care: so many spend the limit in their share of the window."""
        return max(MIN_IN_FLIGHT, math.ceil(self._limit * self._ledger.latency / self._spending_time))

    def late_in_window(self, room: int) -> int:
        """Return the bound in a window that headers describe: others may have taken some of its last permits."""
        return min(self.at_full_speed(), max(1, room // 2))

    def after_refusal(self, room: int, replies: int) -> int:
        """Return the bound after a refusal and so many replies: a slow start, and a slow end."""
        most = max(MIN_IN_FLIGHT, self.at_full_speed() // 2)
        return min(most, replies // RELEASE + 1, max(1, room // LAST_PERMITS))
