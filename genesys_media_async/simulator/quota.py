"""
The quota of one token: whether a request is allowed, and the seconds until the next one is.

Pure and synchronous; `now` is in seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from .messages import Headers
    from .settings import Quota


SIGNIFICANT_DECIMALS = 6
"""Decimals of a second that are significant: a window's end minus the current time has rounding errors."""


@dataclass(frozen=True, slots=True)
class Charge:
    """
    The decision on one request.

    `count` is the number of requests that the current window has allowed. `reset_in` is the number of seconds until the
    window has room again: at the end of a fixed window, or when the oldest request leaves a sliding one.
    """

    allowed: bool
    count: int
    reset_in: float


class QuotaWindow(Protocol):
    """One way of counting requests; none counts a refused request."""

    def charge(self, now: float) -> Charge:
        """Allow or refuse a request."""
        ...


class FixedWindow:
    """A window that opens with the first request; after its end the next request opens another."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._count = 0
        self._closes_at = -math.inf

    def __repr__(self) -> str:
        return f"<FixedWindow {self._count}/{self._quota.limit}>"

    def charge(self, now: float) -> Charge:
        """Allow or refuse a request."""
        if now >= self._closes_at:
            self._closes_at = now + self._quota.seconds
            self._count = 0
        allowed = self._count < self._quota.limit
        if allowed:
            self._count += 1
        return Charge(allowed, self._count, self._closes_at - now)


class AlignedWindow:
    """
    A window that begins at whole multiples of its length on the wall clock.

    `phase` is the difference between the wall clock and the monotonic clock. It is taken once, so the windows do not
    follow when the machine's date is set.
    """

    def __init__(self, quota: Quota, phase: float = 0.0) -> None:
        self._quota = quota
        self._phase = phase
        self._count = 0
        self._number = -1

    def __repr__(self) -> str:
        return f"<AlignedWindow {self._count}/{self._quota.limit}>"

    def charge(self, now: float) -> Charge:
        """Allow or refuse a request."""
        number = math.floor((now + self._phase) / self._quota.seconds)
        if number != self._number:
            self._number = number
            self._count = 0
        allowed = self._count < self._quota.limit
        if allowed:
            self._count += 1
        return Charge(allowed, self._count, (number + 1) * self._quota.seconds - self._phase - now)


class SlidingWindow:
    """A window that looks back from each request over its length."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._leaving: deque[float] = deque()

    def __repr__(self) -> str:
        return f"<SlidingWindow {len(self._leaving)}/{self._quota.limit}>"

    def charge(self, now: float) -> Charge:
        """Allow or refuse a request."""
        while self._leaving and self._leaving[0] <= now:
            self._leaving.popleft()
        allowed = len(self._leaving) < self._quota.limit
        if allowed:
            self._leaving.append(now + self._quota.seconds)
        return Charge(allowed, len(self._leaving), self._leaving[0] - now)


def open_window(quota: Quota, *, phase: float = 0.0) -> QuotaWindow:
    """Return an unused window of the quota's kind; `phase` as in `AlignedWindow`."""
    if quota.kind == "fixed":
        return FixedWindow(quota)
    if quota.kind == "aligned":
        return AlignedWindow(quota, phase)
    return SlidingWindow(quota)


def retry_after(charge: Charge, rounding: Literal["down", "up"]) -> int:
    """
    Return the Retry-After of a refused request: whole seconds, at least 1.

    Rounded down, a client that waits exactly this long can be a fraction of a second early. Users of Genesys Cloud
    report that, and its tutorials add a second.
    """
    remaining = round(charge.reset_in, SIGNIFICANT_DECIMALS)
    return max(1, math.floor(remaining) if rounding == "down" else math.ceil(remaining))


def quota_headers(quota: Quota, charge: Charge) -> Headers:
    """Return the `inin-ratelimit-*` headers; published traces show a reset one second after the window's end."""
    return (
        (b"inin-ratelimit-count", b"%d" % charge.count),
        (b"inin-ratelimit-allowed", b"%d" % quota.limit),
        (b"inin-ratelimit-reset", b"%d" % (math.floor(round(charge.reset_in, SIGNIFICANT_DECIMALS)) + 1)),
    )
