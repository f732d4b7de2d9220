"""The newest count in the headers of a server whose window never ends: a bucket, or a sliding window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .headers import LEAK_MARGIN

if TYPE_CHECKING:
    from .headers import Reading
    from .ledger import Ledger
    from .permit import Permit
    from .shortcut import Shortcut

SIGNS = 3
"""So many counts in a row, each higher than our own requests can account for, are a sign of others."""

POLL_INTERVAL = 1.0
"""Seconds between requests that are sent only to read the count."""


class Count:
    """How many permits the newest count allows, and when to send a request only to read the next count."""

    __slots__ = (
        "_ledger", "_limit", "_read_at", "_returned_at_reading", "_seconds", "_sent_at", "_shortcut", "_signs",
        "_up_to", "lag",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float, ledger: Ledger, shortcut: Shortcut) -> None:
        self._limit = limit
        self._seconds = seconds
        self._ledger = ledger
        self._shortcut = shortcut
        self._up_to: float = -math.inf  # so many permits may ever be taken
        self._sent_at = -math.inf
        self._read_at = -math.inf
        self._returned_at_reading = 0
        self._signs = 0

        self.lag = LEAK_MARGIN
        """Requests by which a count may lag behind."""

    def room(self, limit: int) -> int:
        """Return how many permits the newest count leaves, at most `limit` either way."""
        return math.floor(max(-limit, min(self._up_to - self._ledger.taken, limit)))

    def read(self, permit: Permit, now: float, reading: Reading, *, allowed: int, is_careful: bool) -> bool:
        """Take the count of a reply, unless a later request was answered before; return whether there are others."""
        if permit.taken_at < self._sent_at:
            return False
        self._sent_at, self._read_at, self._returned_at_reading = permit.taken_at, now, self._ledger.returned
        # What was under way beside this request may or may not be in its count.
        up_to = permit.answered + 1 + allowed - reading.count
        if up_to > self._up_to:
            self._up_to = up_to
        elif up_to < self._up_to and is_careful:
            self._up_to = up_to
            self._shortcut.close()
        # Our own permits are charged longer than any server counts the requests: what is above that are others.
        self._signs = self._signs + 1 if reading.count > self._ledger.max_counted(permit) else 0
        return self._signs >= SIGNS

    def polls_from(self, *, is_careful: bool) -> float:
        """Return when a request may be sent only to read the count, if none is in flight; infinity if never."""
        has_room = self._up_to - self._ledger.taken >= LEAK_MARGIN - 1
        if is_careful and self._ledger.returned > self._returned_at_reading:
            # A permit of our own has returned: in a sliding window there is a slot for it, in a bucket a moment later.
            later = max(POLL_INTERVAL, 2 * self._seconds / self._limit)
            return -math.inf if has_room else self._read_at + later
        # Headers without lag are a sliding window's, and nothing but what returns makes room in that.
        return self._read_at + POLL_INTERVAL if has_room and self.lag else math.inf

    def leave_room_for_a_poll(self, now: float) -> None:
        """Note a refusal: others were faster. After the pause there is room for one poll."""
        self._up_to = self._ledger.taken + LEAK_MARGIN - 1
        self._sent_at = self._read_at = now
