"""The quota headers of a reply, and how far the headers of this server are believed."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNT_HEADER = "inin-ratelimit-count"
ALLOWED_HEADER = "inin-ratelimit-allowed"
RESET_HEADER = "inin-ratelimit-reset"

PROOFS = 10
"""Readings that must agree with our own counts before headers are followed, and replies without any that end it."""

ROUNDING = 1.0
"""Seconds by which `reset` may be more than what is left of the window."""

LEAK_MARGIN = 3
"""Requests by which the headers of anything but a fixed window may lag behind, or that others may send until a count
gets here; they are kept back, but for polls."""


class _Numbers(dict[str, int]):
    """A cache from text to number: thousands of replies carry the same few limits and resets."""

    MAX_SIZE = 256

    def __missing__(self, text: str) -> int:
        number = int(text)
        if len(self) >= self.MAX_SIZE:
            self.clear()
        self[text] = number
        return number


_NUMBERS = _Numbers()


class Reading(Struct, frozen=True, gc=False):
    """
    The quota headers of one reply.

    `count` requests of `allowed` are used, the one replied to included; the window ends within `reset` seconds. The
    headers were announced as removed, may be missing and may be wrong.
    """

    count: int
    allowed: int
    reset: int

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Reading | None:
        """Read `inin-ratelimit-count`, `-allowed` and `-reset`; None unless all three are whole numbers."""
        count = headers.get(COUNT_HEADER)
        if count is None:
            return None
        try:
            return cls(int(count), _NUMBERS[headers[ALLOWED_HEADER]], _NUMBERS[headers[RESET_HEADER]])
        except (KeyError, ValueError):
            return None


class HeaderKind(Enum):
    """What the headers describe: a fixed window, a count that leaks meanwhile, or nothing that can be believed."""

    WINDOW = auto()
    LEAKY = auto()
    BROKEN = auto()


class HeaderTrust:
    """How far headers are believed. It starts at "a fixed window", unproven, and never returns to an earlier kind."""

    __slots__ = (
        "_limit", "_proofs", "advertised", "allowed", "follows_counts", "follows_windows", "has_misled", "is_proven",
        "kind", "unread",
    )  # fmt: skip

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._proofs = 0
        self.kind = HeaderKind.WINDOW

        self.is_proven = False
        """Whether headers are followed at all: as a window's, or as counts."""

        self.follows_windows = False
        self.follows_counts = False

        self.unread = 0
        """Replies without headers in a row."""

        self.has_misled = False
        """Whether a permit that rested on headers was refused."""

        self.advertised = 0
        """The limit in the newest headers."""

        self.allowed = limit
        """The advertised limit, or the configured one if that is lower."""

    def advertise(self, allowed: int) -> bool:
        """Note the limit in a reply; return whether it differs from the one before."""
        if allowed == self.advertised:
            return False
        self.advertised = allowed
        self.allowed = min(self._limit, allowed)
        return True

    def prove(self) -> bool:
        """Note a reading that agrees with our own counts; return whether this one was the last that was needed."""
        self._proofs += 1
        self._update()
        return self._proofs == PROOFS

    def note_none(self) -> bool:
        """Note a reply without headers; return whether there are none any more."""
        self.unread += 1
        return self.unread >= PROOFS

    def become(self, kind: HeaderKind) -> None:
        """Change what the headers are believed to describe."""
        self.kind = kind
        self._update()

    def _update(self) -> None:
        self.is_proven = self._proofs >= PROOFS and self.kind is not HeaderKind.BROKEN
        self.follows_windows = self.is_proven and self.kind is HeaderKind.WINDOW
        self.follows_counts = self.is_proven and self.kind is HeaderKind.LEAKY
