"""
The quota of one token: whether this request may pass, and how long until the next may.

Pure and synchronous; told the time in seconds on one clock that never goes back.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from .messages import Headers
    from .settings import Quota


NOISE_DIGITS = 6
"""Decimals of a second that mean something: a window's end less the time now can miss the true value by rounding."""


@dataclass(frozen=True, slots=True)
class Charge:
    """
    What became of one request.

    `count` is how many were allowed in the window now open, `reset_in` the seconds until there is room again: the end
    of a fixed window, the oldest request's leaving of a sliding one.
    """

    allowed: bool
    count: int
    reset_in: float


class QuotaWindow(Protocol):
    """One way of counting; a refused request is not counted by any."""

    def charge(self, now: float) -> Charge:
        """Let a request through or refuse it."""
        ...


class FixedWindow:
    """Opens with the first request, lasts its time, and is over; the next request opens another."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._count = 0
        self._closes_at = -math.inf

    def __repr__(self) -> str:
        return f"<FixedWindow {self._count}/{self._quota.limit}>"

    def charge(self, now: float) -> Charge:
        """Let a request through or refuse it."""
        if now >= self._closes_at:
            self._closes_at = now + self._quota.seconds
            self._count = 0
        allowed = self._count < self._quota.limit
        if allowed:
            self._count += 1
        return Charge(allowed, self._count, self._closes_at - now)


class AlignedWindow:
    """
    Begins at whole multiples of its length on the wall clock.

    `phase` is what to add to the times it is told to get the wall clock's, taken once: the date may be set later, and
    the windows do not follow.
    """

    def __init__(self, quota: Quota, phase: float = 0.0) -> None:
        self._quota = quota
        self._phase = phase
        self._count = 0
        self._number = -1

    def __repr__(self) -> str:
        return f"<AlignedWindow {self._count}/{self._quota.limit}>"

    def charge(self, now: float) -> Charge:
        """Let a request through or refuse it."""
        number = math.floor((now + self._phase) / self._quota.seconds)
        if number != self._number:
            self._number = number
            self._count = 0
        allowed = self._count < self._quota.limit
        if allowed:
            self._count += 1
        return Charge(allowed, self._count, (number + 1) * self._quota.seconds - self._phase - now)


class SlidingWindow:
    """Looks back from each request over the time of the window."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._leaving: deque[float] = deque()

    def __repr__(self) -> str:
        return f"<SlidingWindow {len(self._leaving)}/{self._quota.limit}>"

    def charge(self, now: float) -> Charge:
        """Let a request through or refuse it."""
        while self._leaving and self._leaving[0] <= now:
            self._leaving.popleft()
        allowed = len(self._leaving) < self._quota.limit
        if allowed:
            self._leaving.append(now + self._quota.seconds)
        return Charge(allowed, len(self._leaving), self._leaving[0] - now)


def open_window(quota: Quota, *, phase: float = 0.0) -> QuotaWindow:
    """Return an unused window of the kind that the quota asks for; `phase` as in `AlignedWindow`."""
    if quota.kind == "fixed":
        return FixedWindow(quota)
    if quota.kind == "aligned":
        return AlignedWindow(quota, phase)
    return SlidingWindow(quota)


def retry_after(charge: Charge, rounding: Literal["down", "up"]) -> int:
    """
    Return the whole seconds that a refused client is told to wait, at least 1.

    Rounded down, waiting exactly so long can be a fraction too early: users of Genesys Cloud report just that, and its
    own tutorials add a second.
    """
    left = round(charge.reset_in, NOISE_DIGITS)
    return max(1, math.floor(left) if rounding == "down" else math.ceil(left))


def quota_headers(quota: Quota, charge: Charge) -> Headers:
    """Return the `inin-ratelimit-*` headers; published traces show the reset one second beyond the window."""
    return (
        (b"inin-ratelimit-count", b"%d" % charge.count),
        (b"inin-ratelimit-allowed", b"%d" % quota.limit),
        (b"inin-ratelimit-reset", b"%d" % (math.floor(round(charge.reset_in, NOISE_DIGITS)) + 1)),
    )
