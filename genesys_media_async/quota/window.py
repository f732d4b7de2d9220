"""The fixed window that the server is thought to count in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .headers import LEAK_MARGIN, ROUNDING

if TYPE_CHECKING:
    from .headers import Reading
    from .ledger import Ledger
    from .permit import Permit
    from .shortcut import Shortcut

MAX_STRIKES = 2
"""So many windows that did not open when they should have end the belief in fixed windows."""


class Window:
    """The current window: its number, its end, and what was counted in it. The end is never later than `ends_at`."""

    __slots__ = (
        "_ledger", "_limit", "_seconds", "_shortcut", "_struck", "answered_before", "count_at_opening",
        "ends_at", "ends_by_refusal", "kept", "known_reset", "number", "opened_at", "strikes", "used_by_others",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float, ledger: Ledger, shortcut: Shortcut) -> None:
        self._limit = limit
        self._seconds = seconds
        self._ledger = ledger
        self._shortcut = shortcut
        self._struck = False
        self.number = 0
        self.opened_at = 0.0
        self.ends_at = math.inf

        self.ends_by_refusal = False
        """Whether only a refusal showed the end, and no headers."""

        self.known_reset: int | None = None
        """A reply with this `reset` cannot bring the end nearer."""

        self.answered_before = 0
        """How many requests were answered before the window opened."""

        self.count_at_opening = 0
        """How many requests of others were in the count when it opened."""

        self.used_by_others = 0
        self.strikes = 0

        self.kept = 0
        """How many windows opened when they should, since the last that did not."""

    @property
    def own(self) -> int:
        """How many of our requests were answered in this window."""
        return self._ledger.answered - self.answered_before

    def room(self, limit: int) -> int:
        """Return how many permits are left until the window ends."""
        return limit - self._ledger.in_flight - self.own - self.used_by_others

    def missing(self, permit: Permit, reading: Reading) -> int:
        """Return how many of our requests that must be in a count are not in it."""
        return self.count_at_opening + permit.answered_in_window + 1 - reading.count

    def end_at(self, ends_at: float) -> None:
        """Move the end."""
        self.ends_at = ends_at
        self.known_reset = None
        self._shortcut.close()

    def strike(self) -> None:
        """Note that a window did not open when it should have."""
        self.strikes += 1
        self._struck = True
        self.kept = 0

    def give_up(self) -> None:
        """Forget the window: what was counted since it was thought to open was no window's."""
        self.answered_before = self._ledger.answered
        self.end_at(math.inf)
        self.strike()

    def open_next(self, now: float, ends_at: float, *, latency: float, count: int = 0) -> None:
        """Open the next window, by a reply at `now` that `count` requests are counted in."""
        self._ledger.used(now)
        if self.number and self.own >= self._limit // 4:
            if not self._struck:
                self.strikes = 0
                self.kept += 1
            self._struck = False
        # What was answered after the old window's end may have been counted in the new one already. That end is known
        # up to a second too late, since it is rounded up; the count shows how many of those in between are meant.
        certain = self._ledger.answered_since(self.ends_at)
        near = self._ledger.answered_since(self.ends_at - ROUNDING - latency)
        self.number += 1
        self.opened_at = now
        self.end_at(ends_at)
        self.answered_before = self._ledger.answered - max(certain, min(near, count))
        self.used_by_others = 0

    def follow(self, permit: Permit, now: float, reading: Reading, *, latency: float, is_first: bool) -> int | None:
        """
        Take the end from a reply's headers, and open the next window if `is_first`: the request came after the end.

        Return None, or, if these are no fixed windows, the number of requests by which their counts may lag behind.
        """
        ends_at = now + reading.reset
        if self.ends_at == math.inf:
            self.end_at(ends_at)
        elif is_first:
            if ends_at < self.ends_at + self._seconds - 2 * ROUNDING - latency:
                # Fixed windows end a whole window apart, or more: these are none.
                self.strikes = MAX_STRIKES
                return 0 if reading.reset <= 2 * ROUNDING else LEAK_MARGIN
            self._open_or_strike(now, reading, latency)
        elif permit.decision.window == self.number and ends_at < self.ends_at:
            # A whole number of seconds from every reply: the least of them is the end to a fraction of a second.
            self.end_at(ends_at)
        if ends_at >= self.ends_at:
            self.known_reset = reading.reset
        return None

    def _open_or_strike(self, now: float, reading: Reading, latency: float) -> None:
        if reading.count > self._limit // 4 + 2 and reading.count > self.own // 2:
            self.strike()
            self.end_at(now + max(1, reading.reset))
        else:
            self.open_next(now, now + reading.reset, latency=latency, count=reading.count)
            self.count_at_opening = reading.count - self.own

    def find_others(self, reading: Reading) -> bool:
        """Take the requests of others from a count; return whether there are more than were known."""
        own = self.own if self.strikes < MAX_STRIKES else self._ledger.charged
        others = reading.count - self._ledger.in_flight - own
        if others <= self.used_by_others:
            return False
        self.used_by_others = others
        self._shortcut.close()
        return True
