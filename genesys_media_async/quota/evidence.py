"""What replies have taught: how much room there is, and which limit is in force."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .caution import CAREFUL_WINDOWS, Caution
from .ceiling import Ceiling
from .count import Count
from .headers import LEAK_MARGIN, HeaderKind, HeaderTrust
from .window import MAX_STRIKES, Window

if TYPE_CHECKING:
    from .headers import Reading
    from .ledger import Ledger
    from .permit import Permit
    from .shortcut import Shortcut

SLACK = 4.0
"""Seconds by which a window's end, as a 429 shows it, may miss what was known: rounding, and the guard second."""

KEPT_BACK = 0.03
"""The part of the limit that is left to others, on top of what they took, when a refusal reveals them."""


class Evidence:
    """
    What replies have taught, part by part, and the two answers that follow: `room` and `allowed`.

    The room is that of the window, where one is known; else that of the newest count, where headers carry one; else
    what is safe in any case.
    """

    __slots__ = (
        "_ceiling", "_count", "_ledger", "_limit", "_seconds", "_shortcut", "allowed", "caution", "headers",
        "refused_at", "window",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float, ledger: Ledger, shortcut: Shortcut) -> None:
        self._limit = limit
        self._seconds = seconds
        self._ledger = ledger
        self._shortcut = shortcut
        self._ceiling = Ceiling(limit, seconds)
        self._count = Count(limit, seconds, ledger, shortcut)
        self.window = Window(limit, seconds, ledger, shortcut)
        self.headers = HeaderTrust(limit)
        self.caution = Caution(seconds, shortcut)

        self.allowed = limit
        """The limit in force."""

        self.refused_at = -math.inf
        """When the last refusal arrived that taught something."""

    @property
    def next_raise(self) -> float:
        """When the limit rises by itself; infinity if it is not lowered."""
        return self._ceiling.next_raise

    def follows_window(self) -> bool:
        """Return whether a fixed window is known, by headers or by a refusal."""
        window = self.window
        if window.strikes >= MAX_STRIKES or window.ends_at == math.inf:
            return False
        return window.ends_by_refusal or self.headers.follows_windows

    def is_window_over(self, now: float) -> bool:
        """Return whether the known window has ended, so that a probe may open the next."""
        return self.is_after_end(now) and (not self.headers.has_misled or self._ledger.used(now) < self.allowed)

    def is_after_end(self, time: float) -> bool:
        """Return whether a time is not before the end of the known window."""
        return time >= self.window.ends_at and self.follows_window()

    def is_first_of_next_window(self, permit: Permit) -> bool:
        """Return whether a request was sent after the end of the current window, and no other opened the next."""
        return self.is_after_end(permit.taken_at) and permit.decision.window == self.window.number

    def polls_from(self, now: float) -> float:
        """Return when a request may be sent without room, to read the newest count; infinity if never."""
        if self._ledger.in_flight or not self.headers.follows_counts:
            return math.inf
        is_safe = self._ledger.used(now) < self.allowed
        if self.headers.has_misled and not is_safe:
            return math.inf
        return self._count.polls_from(is_careful=is_safe and now < self.caution.until)

    def room(self, now: float) -> int:
        """Return how many permits there are at `now`; fewer than one if there is none."""
        if now >= self._ceiling.next_raise:
            self._ceiling.raise_if_due(now)
            self._update_limit()
        limit = self.allowed
        safe = limit - self._ledger.used(now)
        room = self._room_as_shown(now, limit, safe)
        return min(safe, room) if self.headers.has_misled else room

    def _room_as_shown(self, now: float, limit: int, safe: int) -> int:
        careful = now < self.caution.until
        if self.follows_window():
            if now >= self.window.ends_at:
                return 0 if careful else safe
            inside = self.window.room(limit)
            return inside if careful else max(safe, inside)
        if self.headers.follows_counts:
            counted = self._count.room(limit)
            return counted - LEAK_MARGIN if careful else max(safe, counted - self._count.lag)
        return safe

    def learn(self, permit: Permit, now: float, reading: Reading | None, *, latency: float) -> None:
        """Learn from the reply to a request, whose quota headers are `reading`; `latency` is the average."""
        self.caution.forget(permit)
        if self.headers.kind is not HeaderKind.BROKEN:
            if reading is not None:
                self._learn_from_headers(permit, now, reading, latency)
                return
            if self.headers.note_none():
                self._disbelieve()
        if self.is_first_of_next_window(permit):
            self.window.open_next(now, now + self._seconds, latency=latency)

    def _learn_from_headers(self, permit: Permit, now: float, reading: Reading, latency: float) -> None:
        ledger, window, headers = self._ledger, self.window, self.headers
        headers.unread = 0
        ledger.used(now)
        if not (1 <= reading.count <= reading.allowed and 0 <= reading.reset <= self._seconds + 2):
            self._disbelieve()
            return
        if now >= self.caution.until and reading.count == ledger.max_counted(permit) and not headers.has_misled:
            # As high as it can be while nobody else is there: all that were under way have been counted by now.
            ledger.note_counted(now)
        in_window = permit.decision.window == window.number
        # A reply that comes after the end may still be of this window: then most of `reset` is gone.
        if in_window and (now < window.ends_at or window.ends_at == math.inf or reading.reset < self._seconds / 2):
            self._compare(permit, now, reading)
        if headers.advertise(reading.allowed):
            self._update_limit()
        if headers.kind is HeaderKind.WINDOW and window.strikes < MAX_STRIKES:
            self._follow_window(permit, now, reading, latency)
        if headers.kind is HeaderKind.LEAKY:
            self._read_count(permit, now, reading)
        elif (
            in_window and permit.decision.window == window.number and headers.is_proven and window.find_others(reading)
        ):
            self.caution.extend(now, CAREFUL_WINDOWS - 1)

    def _compare(self, permit: Permit, now: float, reading: Reading) -> None:
        """Hold the count against our own requests that must be in it."""
        missing = self.window.missing(permit, reading)
        if missing > 0:
            leaked = (now - self.window.opened_at) * self._limit / self._seconds
            if missing > leaked + LEAK_MARGIN:
                self._disbelieve()
                return
            if self.headers.kind is HeaderKind.WINDOW:
                self._count_without_windows(lag=0 if now >= self.window.ends_at else LEAK_MARGIN)
        if self.headers.prove():
            self._update_limit()
            self._shortcut.close()

    def _follow_window(self, permit: Permit, now: float, reading: Reading, latency: float) -> None:
        is_first = self.is_first_of_next_window(permit)
        lag = self.window.follow(permit, now, reading, latency=latency, is_first=is_first)
        if lag is not None:
            self._count_without_windows(lag=lag)

    def _read_count(self, permit: Permit, now: float, reading: Reading) -> None:
        is_careful = now < self.caution.until
        if self._count.read(permit, now, reading, allowed=self.headers.allowed, is_careful=is_careful):
            self.caution.extend(now, CAREFUL_WINDOWS - 1)

    def _count_without_windows(self, *, lag: int) -> None:
        self.headers.become(HeaderKind.LEAKY)
        self._count.lag = lag
        self.window.end_at(math.inf)
        self.caution.probe = None

    def _disbelieve(self) -> None:
        self.headers.become(HeaderKind.BROKEN)
        self._update_limit()
        self._shortcut.close()

    def _update_limit(self) -> None:
        before = self.allowed
        self.allowed = min(self._ceiling.value, self.headers.allowed if self.headers.is_proven else self._limit)
        if self.allowed != before:
            self._shortcut.close()

    def learn_from_refusal(self, permit: Permit, now: float, *, paused_until: float, has_retry_after: bool) -> None:
        """Learn from a 429 that pauses all requests until `paused_until`."""
        self._ledger.used(now)
        is_soon_again = now - self.refused_at < self._seconds / 2
        self.refused_at = now
        # A short pause is the trickle of a bucket or a sliding window, or the very end of a fixed one.
        shows_end = has_retry_after and paused_until - now > SLACK
        if permit.decision.is_probe:
            if shows_end:
                self.window.strike()
            self.window.end_at(paused_until)
        elif self.headers.follows_counts:
            self._count.leave_room_for_a_poll(now)
        else:
            self._explain(now, paused_until, shows_end=shows_end, is_soon_again=is_soon_again)
        self._update_limit()

    def _explain(self, now: float, paused_until: float, *, shows_end: bool, is_soon_again: bool) -> None:
        """Find the cause of a refusal: a window that is not where it was thought to be, or a lower limit."""
        window = self.window
        if self.headers.is_proven and not window.used_by_others:
            self._disbelieve()
        follows = self.follows_window()
        is_elsewhere = abs(paused_until - window.ends_at) > SLACK
        is_too_early = window.own < self._ceiling.value / 2 < self._ledger.charged
        if follows and (is_elsewhere or is_too_early):
            window.give_up()
        else:
            opened_by_us = paused_until + SLACK / 2 >= self._ledger.next_return
            own = window.own + window.used_by_others if follows else self._ledger.charged
            is_late = own > self._ceiling.value // 2
            # One refusal out of turn may be anything; a second soon after it is no accident, and one after most of the
            # limit is spent, with a pause as short as a bucket's, hardly.
            sure = follows or (shows_end and opened_by_us) or (is_soon_again and is_late)
            if sure or is_soon_again or (is_late and not shows_end):
                self._ceiling.lower(own, now, sure=sure, kept_back=0 if follows else int(self._limit * KEPT_BACK))
        if shows_end and window.strikes < MAX_STRIKES:
            window.end_at(paused_until)
            window.ends_by_refusal = not self.headers.follows_windows
