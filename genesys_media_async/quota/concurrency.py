"""How many requests may be in flight."""

from __future__ import annotations

import math

MIN_IN_FLIGHT = 4
SPENDING_SHARE = 0.1
"""As many requests are kept in flight as spend the limit within this share of the window; more would gain nothing,
and each of them can be a 429."""

RELEASE = 8
"""After a pause, and in a window that only a refusal showed, one more is kept in flight for each so many replies."""

LAST_PERMITS = 6
"""While permits are given out carefully, and headers describe no window, one is in flight for each so many left."""

LATENCY_WEIGHT = 0.1
"""How much of each latency goes into the average."""


class Concurrency:
    """
    The bound on requests in flight, by Little's law from the average latency.

    `QuotaAccount.complete` keeps `latency` and `needed` up to date itself, since a call costs more than the sum.
    """

    __slots__ = ("answered_at_refusal", "latency", "limit", "needed", "spending_time")

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.spending_time = seconds * SPENDING_SHARE

        self.latency = 0.0
        """The average latency in seconds; one reply that stalls counts little."""

        self.needed = 0.0
        """So many in flight, at that latency, spend the limit in their share of the window."""

        self.answered_at_refusal = -limit
        """How many requests had been answered when the last was refused."""

    def at_full_speed(self) -> int:
        """Return the bound while nothing calls for care."""
        return max(MIN_IN_FLIGHT, math.ceil(self.needed))

    def late_in_window(self, room: int) -> int:
        """Return the bound in a window that headers describe: others may have taken some of its last permits."""
        return min(self.at_full_speed(), max(1, room // 2))

    def after_refusal(self, room: int, replies: int) -> int:
        """Return the bound after a refusal and so many replies: a slow start, and a slow end."""
        most = max(MIN_IN_FLIGHT, self.at_full_speed() // 2)
        return min(most, replies // RELEASE + 1, max(1, room // LAST_PERMITS))
