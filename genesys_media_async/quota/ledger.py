"""The account's book: the permits taken, answered and returned."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from .permit import Permit
    from .shortcut import Shortcut

MAX_STEPS = 4_096
"""The permits of a larger limit return in so many steps a window, since to remember each needs too much memory."""


_AT = attrgetter("at")


class Charge(Struct, gc=False):
    """Permits that return a window after `at`: what was answered after `answered_before`, up to the next charge."""

    at: float
    answered_before: int


class Ledger:
    """
    Permits in three counts that only grow: taken (and not cancelled), answered, returned.

    A permit is charged from when it is taken until a window after its reply. The newest charge has whatever is answered
    until the next: so most replies are booked by counting them. `QuotaAccount.complete` does that itself, and begins
    the newest charge, since a call costs more.
    """

    __slots__ = (
        "_shortcut", "answered", "charges", "counted_by", "forgiven_until", "latency", "plain_until", "returned",
        "seconds", "step", "taken",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float, shortcut: Shortcut) -> None:
        self._shortcut = shortcut
        self.seconds = seconds
        self.step = seconds / MAX_STEPS if limit > MAX_STEPS else 0.0
        self.taken = 0
        self.answered = 0
        self.returned = 0

        self.charges: deque[Charge] = deque()
        """What is answered and has not returned, the oldest first."""

        self.latency = 0.0
        """The average latency in seconds; one reply that stalls counts little."""

        self.plain_until = -math.inf
        """
        Every reply until then belongs to the newest charge, and one after it is charged after that.

        Minus infinity if there is no charge, or a count may show that a reply belongs to an older one: see `book`.
        """

        self.counted_by = -math.inf
        """The server had counted all that was taken before; that is charged no longer than a window from then."""

        self.forgiven_until = -math.inf
        """A permit that is taken before rests on such a count."""

    @property
    def in_flight(self) -> int:
        """How many permits are taken and not answered."""
        return self.taken - self.answered

    @property
    def charged(self) -> int:
        """How many are answered and had not returned when `used` was last called."""
        return self.answered - self.returned

    @property
    def next_return(self) -> float:
        """When the next permits return; infinity if none is answered."""
        return self.charges[0].at + self.seconds if self.charges else math.inf

    def used(self, now: float) -> int:
        """
        Return how many permits are charged at `now`, those in flight included.

        What is due returns first. Nothing may be learnt from this book before it is brought up to date in this way:
        else a reader of the state would change what the account learns.
        """
        charges = self.charges
        while charges and charges[0].at + self.seconds <= now:
            charges.popleft()
            self.returned = charges[0].answered_before if charges else self.answered
        if not charges:
            self.plain_until = -math.inf
        return self.taken - self.returned

    def max_counted(self, permit: Permit) -> int:
        """Return the highest count that the reply to `permit` can carry if no others use the token."""
        return self.taken - permit.decision.returned

    def note_counted(self, now: float) -> None:
        """Note that the server has counted all that was taken before `now`; minus infinity if nothing is certain."""
        self.counted_by = now
        self.plain_until = -math.inf

    def book(self, taken_at: float, now: float) -> None:
        """Note any reply."""
        if not self.answered:
            self.latency = now - taken_at
        if taken_at < self.counted_by < now:
            self._charge_from_count(now)
        else:
            self._charge(now)
            if self.counted_by == -math.inf:
                self.plain_until = self.charges[-1].at
        self.answered += 1

    def _charge_from_count(self, now: float) -> None:
        """Charge a permit from when a count proved that the server had counted its request, not from its reply."""
        # A step that is over must take no more.
        self.used(now)
        self._charge(self.counted_by)
        if now >= self.forgiven_until:
            self._shortcut.close()
        self.forgiven_until = now + self.seconds

    def _charge(self, at: float) -> None:
        """Charge a permit for a window from `at`, or, if the limit is large, from up to a step later, never earlier."""
        charges, latest = self.charges, at + self.step
        index = len(charges)
        if charges and at <= charges[-1].at:
            index = index - 1 if charges[-1].at <= latest else bisect_left(charges, at, key=_AT)
        if index == len(charges) or charges[index].at > latest:
            before = charges[index].answered_before if index < len(charges) else self.answered
            charges.insert(index, Charge(latest, before))
        for later in islice(charges, index + 1, None):
            later.answered_before += 1
        self._shortcut.end_by(self.next_return)

    def answered_since(self, time: float) -> int:
        """Return how many of the charged permits were answered after `time`."""
        index = bisect_right(self.charges, time, key=_AT)
        return self.answered - self.charges[index].answered_before if index < len(self.charges) else 0
