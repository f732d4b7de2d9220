"""
How many requests may be sent, and when: the quota of one token as a pure state machine, told the time.

Nobody outside Genesys knows whether its windows are fixed or slide, nor when in an exchange a request is counted. So
the account rests on what is safe in any case, and goes beyond it only on evidence:

    by itself    a permit is charged from when it is taken until a window after its reply: whatever the server does, no
                 window of its can hold more than the limit
    by headers   where the `inin-ratelimit-*` headers agree with our own counts, they tell what others use of the token
                 and when the window ends; the first request after that is a probe, and its reply opens the next window;
                 where no window ends, the newest count tells what is left, beside others less a margin
    by refusals  a 429 pauses everybody; it tells when the window ends, and, if it comes early, of a lower limit or of
                 others; from then on permits are given out more carefully, and the limit learnt is raised again slowly

Headers that contradict what we know are not believed again. Those that gave a permit beyond what is safe in any case,
and it was refused, are believed from then on only where they hold back: so whoever is alone, and knows the limit, gets
no 429 for anything sent later than a window after the first, whatever the headers say.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from .values import value

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_PATIENCE = 2.0
"""Seconds after which a probe whose reply is late no longer holds the others back."""

CAREFUL_WINDOWS = 10
"""For so many windows after a 429, or a sign of others, permits are given out carefully."""

LEAST_IN_FLIGHT = 4
SPENDING_SHARE = 0.1
"""As many requests are kept in flight as spend the limit within this share of the window; more would gain nothing,
and each of them can be a 429."""

RELEASE = 8
"""After a pause, and in a window that only a refusal told of, one more is kept in flight for each so many replies."""

LAST_PERMITS = 6
"""While permits are given out carefully, and headers tell of no window, one is in flight for each so many left."""

PROOFS = 10
"""Readings that must agree with our counts before headers are acted upon."""

STRIKES = 2
"""So many windows that did not open when they should have end the belief in fixed windows."""

SLACK = 4.0
"""Seconds by which the end of a window as told by a 429 may miss what was known: rounding, and the guard second."""

ROUNDING = 1.0
"""Seconds by which `reset` may be more than what is left of the window."""

LEAK_MARGIN = 3
"""Requests by which the headers of anything but a fixed window may lag behind, or that others may send until a count
gets here; they are kept back, but for polls."""

SIGNS = 3
"""So many counts in a row, each higher than our own requests can account for, are a sign of others."""

WINDOWS_KEPT = 2
"""So many windows must have opened when a refusal had told before the next is spent at full speed."""

KEPT_BACK = 0.03
"""The part of the limit that is left to others, on top of what they took, when they come to be known by a refusal."""

POLL_INTERVAL = 1.0
RAISE_WAIT, LONGEST_RAISE_WAIT = 2, 32
SURE_STEP, UNSURE_STEP = 0.01, 0.02
LATENCY_WEIGHT = 0.1


@value
class Reading:
    """
    What the headers of one reply say of the token's quota.

    `count` requests of `allowed` are used, the one replied to included; the window ends within `reset` seconds. The
    headers were announced as removed, may be missing and may be wrong.
    """

    count: int
    allowed: int
    reset: int

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Reading | None:
        """Read `inin-ratelimit-count`, `-allowed` and `-reset`; None unless all three are whole numbers."""
        try:
            return cls(
                int(headers["inin-ratelimit-count"]),
                int(headers["inin-ratelimit-allowed"]),
                int(headers["inin-ratelimit-reset"]),
            )
        except (KeyError, ValueError):
            return None


@value
class Permit:
    """
    One request's permit, and what was known when it was taken.

    `is_on_trust` says that it was given on the word of the headers alone, beyond what is safe without them.
    """

    taken_at: float
    window: int
    answered_in_window: int
    answered: int
    left: int
    is_probe: bool
    is_on_trust: bool = False


@dataclass(frozen=True, slots=True)
class QuotaState:
    """
    The quota at one moment; times are seconds from then, and None where nothing is known or nothing is to be said.

    `used` counts what our own requests are charged, `foreign` what others are known to have used of the current
    window, `allowed` is the limit in force: the one named, or a lower one learnt. `waiting` counts the callers without
    a permit.
    """

    used: int
    allowed: int | None
    foreign: int
    resets_in: float | None
    paused_for: float | None
    waiting: int = 0


class PauseOnly:
    """The account of a token without a limit: permits are counted and never short, but a 429 still pauses everybody."""

    def __init__(self) -> None:
        self._in_flight = 0
        self._paused_until = -math.inf

    def __repr__(self) -> str:
        return f"<PauseOnly {self._in_flight} in flight>"

    @property
    def paused_until(self) -> float:
        """Nothing is sent before; minus infinity if there was never a pause."""
        return self._paused_until

    @property
    def allowed(self) -> int | None:
        """No limit."""
        return None

    def state(self, now: float) -> QuotaState:
        """Return what can be said at `now`."""
        return QuotaState(
            used=self._in_flight,
            allowed=None,
            foreign=0,
            resets_in=None,
            paused_for=self._paused_until - now if now < self._paused_until else None,
        )

    def take(self, now: float) -> Permit | None:
        """Return a permit, unless there is a pause."""
        if now < self._paused_until:
            return None
        self._in_flight += 1
        return Permit(now, 0, 0, 0, 0, is_probe=False)

    def next_chance(self, now: float) -> float:
        """Return when `take` will succeed."""
        return max(now, self._paused_until)

    def give_back(self, permit: Permit) -> None:  # noqa: ARG002
        """Take the permit of a request back that was not sent."""
        self._in_flight -= 1

    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None:  # noqa: ARG002
        """Take the permit of a request back whose reply is in."""
        self._in_flight -= 1

    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool:  # noqa: ARG002
        """Let nobody send for `pause` seconds; returns whether that is longer than was known before."""
        self._in_flight -= 1
        longer = now + pause > self._paused_until
        self._paused_until = max(self._paused_until, now + pause)
        return longer


class _Trust(Enum):
    """How far headers are believed: as a window's, as those of a bucket that leaks meanwhile, or not at all."""

    WINDOW = auto()
    LEAKY = auto()
    BROKEN = auto()


class _Ceiling:
    """
    The limit as refusals taught it: lowered at once, raised a little after some windows without one.

    A refusal that surely told of a lower limit is remembered for ever longer; one that may have been the work of others
    counts half, and is forgotten soon. A little is kept back, unless the same count was refused before: it is a limit.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self.value = limit
        self._refused_at_count: float = math.inf
        self._raise_at = math.inf
        self._raise_wait = RAISE_WAIT
        self._step = 1

    @property
    def next_raise(self) -> float:
        return self._raise_at

    def raise_if_due(self, now: float) -> None:
        if now >= self._raise_at:
            self.value = min(self._limit, self.value + self._step)
            self._raise_at = now + self._window * self._raise_wait if self.value < self._limit else math.inf

    def lower(self, count: int, now: float, *, sure: bool, kept_back: int) -> None:
        """Note that a request was refused when `count` of our own were counted."""
        to = count - 1 - (kept_back if count < self._refused_at_count else 0)
        self._refused_at_count = count
        if not sure:
            to = math.ceil((to + self.value) / 2) - kept_back
        if not 0 < to < self.value:
            return
        self.value = to
        if sure:
            self._step = max(1, int(self._limit * SURE_STEP))
            self._raise_at = now + self._window * (self._raise_wait + 0.5)
            self._raise_wait = min(LONGEST_RAISE_WAIT, 2 * self._raise_wait)
        else:
            self._step = max(1, int(self._limit * UNSURE_STEP))
            self._raise_wait = RAISE_WAIT
            self._raise_at = now + self._window * self._raise_wait


class QuotaAccount:
    """
    The permits of one token: `limit` requests in any window of `seconds`.

    `take` before sending; then `spend` once the reply is in (or can no longer come), `refuse` if it was a 429, or
    `give_back` if nothing was sent. All times are monotonic seconds.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._window = seconds
        self._in_flight = 0
        self._spent: deque[float] = deque()
        self._answered = 0
        self._latency: float | None = None
        self._paused_until = -math.inf
        self._careful_until = -math.inf
        self._blocked = False
        self._probe: Permit | None = None
        self._ceiling = _Ceiling(limit, seconds)
        self._refused_at = -math.inf
        self._answered_at_refusal = -limit

        # The window that the server is thought to count in. Its end is never later than `_ends_at`.
        self._number = 0
        self._opened_at = 0.0
        self._ends_at = math.inf
        self._own = 0
        self._foreign = 0
        self._strikes = 0
        self._struck = False
        self._windows_kept = 0
        self._ends_by_refusal = False

        self._trust = _Trust.WINDOW
        self._proofs = 0
        self._untold = 0
        self._was_misled = False
        self._allowed = limit
        self._in_force = limit
        self._count_at_opening = 0

        # What is left by the newest count, where no window ends, and how many of our own permits had come back by then.
        self._credit = -math.inf
        self._credit_from = -math.inf
        self._read_at = -math.inf
        self._left = 0
        self._left_at_reading = 0
        self._lag = LEAK_MARGIN
        self._signs = 0

        # All that were taken before had been counted by then: they are charged no longer than a window from it.
        self._counted_by = -math.inf
        self._forgiven_until = -math.inf

    def __repr__(self) -> str:
        return f"<QuotaAccount {self._in_flight} in flight, {len(self._spent)} spent, of {self._limit}>"

    @property
    def paused_until(self) -> float:
        """Nothing is sent before; minus infinity if there was never a pause."""
        return self._paused_until

    @property
    def allowed(self) -> int:
        """The limit in force: the one named, or a lower one that headers or refusals taught."""
        return self._in_force

    def state(self, now: float) -> QuotaState:
        """Return what can be said of the quota at `now`."""
        known = self._follows_windows() and now < self._ends_at
        return QuotaState(
            used=self.used(now),
            allowed=self.allowed,
            foreign=self._foreign if known else 0,
            resets_in=self._ends_at - now if known else None,
            paused_for=self._paused_until - now if now < self._paused_until else None,
        )

    def used(self, now: float) -> int:
        """Return how many permits are charged at `now`, those in flight included."""
        while self._spent and self._spent[0] + self._window <= now:
            self._spent.popleft()
            self._left += 1
        return self._in_flight + len(self._spent)

    def take(self, now: float) -> Permit | None:
        """Charge one permit and return it, if there is one."""
        if now < self._paused_until:
            return None
        room, careful, window_over = self._room(now), self._is_careful(now), self._is_window_over(now)
        if self._is_probing(now) and (careful or (window_over and room <= 0)):
            return None
        if room <= 0 and not window_over:
            self._blocked = True
            return self._poll(now)
        if self._in_flight >= self._most_in_flight(now, room):
            return None
        is_probe = window_over or (self._blocked and careful and not self._counts_leak())
        self._blocked = False
        return self._issue(now, is_probe=is_probe)

    def next_chance(self, now: float) -> float:
        """Return when `take` may next succeed: `now` if it would already, infinity if only a reply can tell."""
        if now < self._paused_until:
            return self._paused_until
        room, window_over = self._room(now), self._is_window_over(now)
        if self._probe is not None and self._is_probing(now) and (self._is_careful(now) or (window_over and room <= 0)):
            return self._probe.taken_at + PROBE_PATIENCE
        if room > 0 or window_over:
            if self._in_flight < self._most_in_flight(now, room):
                return now
            return self._careful_until if self._is_careful(now) else math.inf
        if now >= self._polls_from(now):
            return now
        chances = [self._ceiling.next_raise, self._careful_until, self._polls_from(now)]
        if self._spent:
            chances.append(self._spent[0] + self._window)
        if self._follows_windows():
            chances.append(self._ends_at)
        return min((chance for chance in chances if chance > now), default=math.inf)

    def give_back(self, permit: Permit) -> None:
        """Nothing was sent: the permit is free at once."""
        self._return(permit)
        self._credit += 1

    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        """Note that the reply to a request is in, and what its headers say: the permit is free a window from now."""
        self._return(permit)
        if permit.taken_at < self._counted_by < now and not self._was_misled:
            insort(self._spent, self._counted_by)
            self._forgiven_until = now + self._window
        else:
            self._spent.append(now)
        self._answered += 1
        self._own += 1
        self._note_latency(now - permit.taken_at)
        self._untold = 0 if reading is not None else self._untold + 1
        if self._untold >= PROOFS:
            self._trust = _Trust.BROKEN
            self._update_limit()
        if reading is not None and self._trust is not _Trust.BROKEN:
            self._learn(permit, now, reading)
            self._update_limit()
        elif self._is_first_of_next_window(permit):
            self._open_window(now, now + self._window)

    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool:
        """
        Note a 429: nobody sends for `pause` seconds, the guard second included.

        `told` says that Genesys named the time, so that it says something of the window, too. Returns whether the pause
        lasts longer than was known before.
        """
        self._return(permit)
        self._credit += 1
        already_paused, until = now < self._paused_until, now + pause
        longer = until > self._paused_until
        self._paused_until = max(self._paused_until, until)
        self._careful_until = max(self._careful_until, now + CAREFUL_WINDOWS * self._window)
        self._was_misled |= permit.is_on_trust
        # Those that were on their way when the pause began say nothing new, however late they are told.
        if not already_paused and permit.taken_at >= self._refused_at:
            self._blocked = True
            self._answered_at_refusal = self._answered
            self._learn_from_refusal(permit, now, told=told)
            self._update_limit()
        return longer

    def _update_limit(self) -> None:
        self._in_force = min(self._ceiling.value, self._allowed if self._is_proven() else self._limit)

    def _issue(self, now: float, *, is_probe: bool) -> Permit:
        is_safe = self._in_flight + len(self._spent) < self._in_force and now >= self._forgiven_until
        is_on_trust = not is_safe and not self._ends_by_refusal
        permit = Permit(now, self._number, self._own, self._answered, self._left, is_probe, is_on_trust)
        if is_probe and not self._is_probing(now):
            self._probe = permit
        self._in_flight += 1
        self._credit -= 1
        return permit

    def _poll(self, now: float) -> Permit | None:
        """Spend one of the margin on looking whether a bucket has been refilled, or a window has slid."""
        return self._issue(now, is_probe=False) if now >= self._polls_from(now) else None

    def _polls_from(self, now: float) -> float:
        if self._in_flight or not self._counts_leak():
            return math.inf
        is_safe = self.used(now) < self._in_force
        if self._was_misled and not is_safe:
            return math.inf
        has_room = self._credit >= LEAK_MARGIN - 1
        if self._is_careful(now) and is_safe and self._left > self._left_at_reading:
            # A permit of our own has come back: in a sliding window there is a slot for it, in a bucket a moment later.
            later = max(POLL_INTERVAL, 2 * self._window / self._limit)
            return -math.inf if has_room else self._read_at + later
        # Headers without lag are a sliding window's, and nothing but what comes back makes room in that.
        return self._read_at + POLL_INTERVAL if has_room and self._lag else math.inf

    def _counts_leak(self) -> bool:
        return self._trust is _Trust.LEAKY and self._proofs >= PROOFS

    def _room(self, now: float) -> int:
        if now >= self._ceiling.next_raise:
            self._ceiling.raise_if_due(now)
            self._update_limit()
        limit = self._in_force
        safe = limit - self.used(now)
        room = self._room_as_told(now, limit, safe)
        return min(safe, room) if self._was_misled else room

    def _room_as_told(self, now: float, limit: int, safe: int) -> int:
        careful = now < self._careful_until
        if self._follows_windows():
            if now >= self._ends_at:
                return 0 if careful else safe
            inside = limit - self._in_flight - self._own - self._foreign
            return inside if careful else max(safe, inside)
        if self._counts_leak():
            credit = max(-limit, min(self._credit, limit))
            return math.floor(credit) - LEAK_MARGIN if careful else max(safe, math.floor(credit) - self._lag)
        return safe

    def _most_in_flight(self, now: float, room: int) -> int:
        needed = self._limit * (self._latency or 0.0) / (self._window * SPENDING_SHARE)
        most = max(LEAST_IN_FLIGHT, math.ceil(needed))
        if now >= self._careful_until or self._counts_leak():
            return most
        if self._follows_windows() and not self._ends_by_refusal:
            # The last permits of a window go out a few at a time, since others may have taken some of them.
            return min(most, max(1, room // 2))
        most = max(LEAST_IN_FLIGHT, most // 2)
        released = self._answered - self._answered_at_refusal
        if self._follows_windows() and self._windows_kept < WINDOWS_KEPT:
            released = min(released, self._own)
        return min(most, released // RELEASE + 1, max(1, room // LAST_PERMITS))

    def _is_careful(self, now: float) -> bool:
        return now < self._careful_until

    def _is_proven(self) -> bool:
        return self._trust is not _Trust.BROKEN and self._proofs >= PROOFS

    def _follows_windows(self) -> bool:
        if self._strikes >= STRIKES or self._ends_at == math.inf:
            return False
        return self._ends_by_refusal or (self._trust is _Trust.WINDOW and self._is_proven())

    def _is_window_over(self, now: float) -> bool:
        if now < self._ends_at or not self._follows_windows():
            return False
        return not self._was_misled or self.used(now) < self._in_force

    def _is_probing(self, now: float) -> bool:
        return self._probe is not None and now < self._probe.taken_at + PROBE_PATIENCE

    def _return(self, permit: Permit) -> None:
        self._in_flight -= 1
        if permit is self._probe:
            self._probe = None

    def _note_latency(self, latency: float) -> None:
        # One reply that stalls says little about the next.
        if self._latency is None:
            self._latency = latency
        else:
            self._latency += LATENCY_WEIGHT * (min(latency, 4 * self._latency + 0.01) - self._latency)

    def _is_first_of_next_window(self, permit: Permit) -> bool:
        return self._follows_windows() and permit.window == self._number and permit.taken_at >= self._ends_at

    def _open_window(self, now: float, ends_at: float, count: int = 0) -> None:
        if self._number and self._own >= self._limit // 4:
            if not self._struck:
                self._strikes = 0
                self._windows_kept += 1
            self._struck = False
        # What was answered after the old window's end may have been counted in the new one already. That end is known
        # up to a second too late, rounded up as it is told; how many of those between are meant, the count says.
        certain = near = 0
        for answered_at in reversed(self._spent):
            if answered_at <= self._ends_at - ROUNDING - (self._latency or 0.0):
                break
            near += 1
            certain += answered_at > self._ends_at
        self._number += 1
        self._opened_at, self._ends_at = now, ends_at
        self._own, self._foreign = max(certain, min(near, count)), 0

    def _learn(self, permit: Permit, now: float, reading: Reading) -> None:
        sane = 1 <= reading.count <= reading.allowed and 0 <= reading.reset <= self._window + 2
        if not sane:
            self._trust = _Trust.BROKEN
            return
        if now >= self._careful_until and reading.count == self.used(now) + self._left - permit.left:
            # As high as it can be while nobody else is there: all that were under way have been counted by now.
            self._counted_by = now
        in_window = permit.window == self._number
        # A reply that comes after the end may still be of this window: then most of `reset` is gone.
        if in_window and (now < self._ends_at or self._ends_at == math.inf or reading.reset < self._window / 2):
            self._compare(permit, now, reading)
        if self._trust is _Trust.BROKEN:
            return
        self._allowed = min(self._limit, reading.allowed)
        if self._trust is _Trust.WINDOW and self._strikes < STRIKES:
            self._follow_window(permit, now, reading)
        if self._trust is _Trust.LEAKY:
            self._take_credit(permit, now, reading)
            return
        if in_window and permit.window == self._number and self._is_proven():
            self._look_for_others(now, reading)

    def _compare(self, permit: Permit, now: float, reading: Reading) -> None:
        """Hold the count against our own requests that must be in it."""
        missing = self._count_at_opening + permit.answered_in_window + 1 - reading.count
        if missing > 0:
            leaked = (now - self._opened_at) * self._limit / self._window
            if missing > leaked + LEAK_MARGIN:
                self._trust = _Trust.BROKEN
                return
            if self._trust is _Trust.WINDOW:
                self._count_without_windows(lag=0 if now >= self._ends_at else LEAK_MARGIN)
        self._proofs += 1

    def _count_without_windows(self, *, lag: int) -> None:
        self._trust = _Trust.LEAKY
        self._lag = lag
        self._ends_at = math.inf
        self._probe = None

    def _take_credit(self, permit: Permit, now: float, reading: Reading) -> None:
        if permit.taken_at >= self._credit_from:
            self._credit_from, self._read_at, self._left_at_reading = permit.taken_at, now, self._left
            # What was under way beside this request may or may not be in its count.
            beside = self._in_flight + self._answered - 1 - permit.answered
            credit = self._allowed - reading.count - beside
            self._credit = credit if self._is_careful(now) else max(self._credit, credit)
            # Our own permits are charged longer than any server counts the requests: what is above that are others.
            self._signs = self._signs + 1 if reading.count > self.used(now) + self._left - permit.left else 0
            if self._signs >= SIGNS:
                self._careful_until = max(self._careful_until, now + (CAREFUL_WINDOWS - 1) * self._window)

    def _follow_window(self, permit: Permit, now: float, reading: Reading) -> None:
        ends_at = now + reading.reset
        if self._ends_at == math.inf:
            self._ends_at = ends_at
        elif self._is_first_of_next_window(permit):
            if ends_at < self._ends_at + self._window - 2 * ROUNDING - (self._latency or 0.0):
                # Fixed windows end a whole window apart, or more: these are none.
                self._strikes = STRIKES
                self._count_without_windows(lag=0 if reading.reset <= 2 * ROUNDING else LEAK_MARGIN)
            elif reading.count > self._limit // 4 + 2 and reading.count > self._own // 2:
                self._strike()
                self._ends_at = now + max(1, reading.reset)
            else:
                self._open_window(now, ends_at, reading.count)
                self._count_at_opening = reading.count - self._own
        elif permit.window == self._number and now < self._ends_at:
            # A whole number of seconds from every reply: the least of them is the end to a fraction of a second.
            self._ends_at = min(self._ends_at, ends_at)

    def _look_for_others(self, now: float, reading: Reading) -> None:
        own = self._own if self._strikes < STRIKES else len(self._spent)
        foreign = reading.count - self._in_flight - own
        if foreign > self._foreign:
            self._foreign = foreign
            self._careful_until = max(self._careful_until, now + (CAREFUL_WINDOWS - 1) * self._window)

    def _learn_from_refusal(self, permit: Permit, now: float, *, told: bool) -> None:
        soon_again = now - self._refused_at < self._window / 2
        self._refused_at = now
        # A short pause is the trickle of a bucket or a sliding window, or the very end of a fixed one.
        tells_end = told and self._paused_until - now > SLACK
        if permit.is_probe:
            if tells_end:
                self._strike()
            self._ends_at = self._paused_until
            return
        if self._counts_leak():
            # Others were faster. After the pause there will be room for a poll.
            self._credit, self._credit_from, self._read_at = LEAK_MARGIN - 1, now, now
            return
        if self._trust is not _Trust.BROKEN and self._is_proven() and not self._foreign:
            self._trust = _Trust.BROKEN
        follows = self._follows_windows()
        elsewhere = abs(self._paused_until - self._ends_at) > SLACK
        too_early = self._own < self._ceiling.value / 2 < len(self._spent)
        if follows and (elsewhere or too_early):
            # What was counted since the window was thought to open was no window's.
            self._own = 0
            self._ends_at = math.inf
            self._strike()
        else:
            own = self._own + self._foreign if follows else len(self._spent)
            opened_by_us = bool(self._spent) and self._paused_until + SLACK / 2 >= self._spent[0] + self._window
            late = own > self._ceiling.value // 2
            # One refusal out of turn may be anything; a second soon after it is no accident, and one after most of the
            # limit is spent, with a pause as short as a bucket's, hardly.
            sure = follows or (tells_end and opened_by_us) or (soon_again and late)
            if sure or soon_again or (late and not tells_end):
                self._ceiling.lower(own, now, sure=sure, kept_back=0 if follows else int(self._limit * KEPT_BACK))
        if tells_end and self._strikes < STRIKES:
            self._ends_at = self._paused_until
            self._ends_by_refusal = not (self._trust is _Trust.WINDOW and self._is_proven())

    def _strike(self) -> None:
        self._strikes += 1
        self._struck = True
        self._windows_kept = 0
