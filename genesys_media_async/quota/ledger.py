"""The account's book: the permits taken, answered and returned."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .permit import Permit
    from .shortcut import Shortcut

MAX_STEPS = 4_096
"""The permits of a larger limit return in so many steps a window, since to remember each needs too much memory."""


@dataclass(slots=True)
class Charge:
    """So many permits that return a window after `at`."""

    at: float
    permits: int


class Ledger:
    """
    Permits in three counts that only grow: taken (and not cancelled), answered, returned.

    A permit is charged from when it is taken until a window after its reply. `QuotaAccount.complete` books the common
    charge, the newest, itself, since a call costs more than the booking.
    """

    __slots__ = (
        "_shortcut", "answered", "charges", "counted_by", "forgiven_until", "newest", "returned", "seconds", "step",
        "taken",
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

        self.newest = Charge(-math.inf, 0)
        """The last of the charges; if there is none, the last there was."""

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
            self.returned += charges.popleft().permits
        return self.taken - self.returned

    def max_counted(self, permit: Permit) -> int:
        """Return the highest count that the reply to `permit` can carry if no others use the token."""
        return self.taken - permit.returned

    def charge(self, at: float) -> None:
        """Charge a permit for a window from `at`, or, if the limit is large, from up to a step later, never earlier."""
        charges, latest = self.charges, at + self.step
        index = len(charges)
        if charges and at <= charges[-1].at:
            index = index - 1 if charges[-1].at <= latest else bisect_left(charges, at, key=attrgetter("at"))
            if charges[index].at <= latest:
                charges[index].permits += 1
                return
        charges.insert(index, Charge(latest, 1))
        self.newest = charges[-1]
        self._shortcut.end_by(self.next_return)

    def charge_from_count(self, now: float) -> None:
        """Charge a permit from when a count proved that the server had counted its request, not from its reply."""
        # A step that is over must take no more.
        self.used(now)
        self.charge(self.counted_by)
        self.forgiven_until = now + self.seconds

    def answered_since(self, time: float) -> int:
        """Return how many of the charged permits were answered after `time`."""
        permits = 0
        for charge in reversed(self.charges):
            if charge.at <= time:
                break
            permits += charge.permits
        return permits
