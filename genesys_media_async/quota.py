"""
How many requests may be sent, and when: the quota of one token as a pure state machine, told the time.

Nobody outside Genesys knows whether its windows are fixed or slide, nor when in an exchange a request is counted. So
the account rests on what is safe in any case, and goes beyond it only on evidence:

    by itself    a permit is charged from when it is taken until a window after its reply: whatever the server does, no
                 window of its can hold more than the limit
    by headers   where the `inin-ratelimit-*` headers agree with our own counts, they tell what others use of the token
                 and when the window ends; the first request after that is a probe, and its reply opens the next window
    by refusals  a 429 pauses everybody; it tells when the window ends, and, if it comes early, of a lower limit or of
                 others; from then on permits are given out more carefully, and the limit learnt is raised again slowly

Headers that contradict what we know are not believed again.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

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

PROOFS = 10
"""Readings that must agree with our counts before headers are acted upon."""

STRIKES = 2
"""So many windows that did not open when they should have end the belief in fixed windows."""

SLACK = 4.0
"""Seconds by which the end of a window as told by a 429 may miss what was known: rounding, and the guard second."""

ROUNDING = 1.0
"""Seconds by which `reset` may be more than what is left of the window."""

LEAK_MARGIN = 3
"""Requests by which the headers of anything but a fixed window may lag behind; they are kept back, but for polls."""

POLL_INTERVAL = 1.0
LONGEST_RAISE_WAIT = 32
LATENCY_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True, eq=False)
class Permit:
    """One request's permit, and what was known when it was taken."""

    taken_at: float
    window: int
    answered_in_window: int
    answered: int
    is_probe: bool


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
        return Permit(now, 0, 0, 0, is_probe=False)

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
    The limit as refusals taught it: lowered at once, raised a little after ever more windows without one.

    Where a refusal was no sure sign of a lower limit it is at most halved, and raised in larger steps.
    """

    def __init__(self, limit: int, window: float) -> None:
        self._limit = limit
        self._window = window
        self.value = limit
        self._raise_at = math.inf
        self._raise_wait = 2
        self._step = 1

    @property
    def next_raise(self) -> float:
        return self._raise_at

    def raise_if_due(self, now: float) -> None:
        if now >= self._raise_at:
            self.value = min(self._limit, self.value + self._step)
            self._raise_at = now + self._window * self._raise_wait if self.value < self._limit else math.inf

    def lower(self, to: int, now: float, *, sure: bool) -> None:
        to = to if sure else max(to, self.value // 2)
        if not 0 < to < self.value:
            return
        self.value = to
        self._step = max(1, self._limit // (100 if sure else 10))
        self._raise_at = now + self._window * (self._raise_wait + 0.5)
        self._raise_wait = min(LONGEST_RAISE_WAIT, 2 * self._raise_wait)


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

        # The window that the server is thought to count in. Its end is never later than `_ends_at`.
        self._number = 0
        self._opened_at = 0.0
        self._ends_at = math.inf
        self._own = 0
        self._foreign = 0
        self._strikes = 0
        self._confirmed = False
        self._ends_by_refusal = False

        self._trust = _Trust.WINDOW
        self._proofs = 0
        self._allowed = limit
        self._count_at_opening = 0
        self._credit = -math.inf
        self._credit_from = -math.inf
        self._polled_at = -math.inf

    def __repr__(self) -> str:
        return f"<QuotaAccount {self._in_flight} in flight, {len(self._spent)} spent, of {self._limit}>"

    @property
    def paused_until(self) -> float:
        """Nothing is sent before; minus infinity if there was never a pause."""
        return self._paused_until

    @property
    def allowed(self) -> int:
        """The limit in force: the one named, or a lower one that headers or refusals taught."""
        return min(self._ceiling.value, self._allowed if self._is_proven() else self._limit)

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
        is_probe = window_over or (self._blocked and careful)
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
        if self._may_poll(now) and now >= self._polled_at + POLL_INTERVAL:
            return now
        chances = [self._ceiling.next_raise, self._careful_until]
        if self._may_poll(now):
            chances.append(self._polled_at + POLL_INTERVAL)
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
        self._spent.append(now)
        self._answered += 1
        self._own += 1
        self._note_latency(now - permit.taken_at)
        if reading is not None and self._trust is not _Trust.BROKEN:
            self._learn(permit, now, reading)
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
        # Those that were on their way when the pause began say nothing new.
        if not already_paused:
            self._blocked = True
            self._learn_from_refusal(permit, now, told=told)
        return longer

    def _issue(self, now: float, *, is_probe: bool) -> Permit:
        permit = Permit(now, self._number, self._own, self._answered, is_probe)
        if is_probe and not self._is_probing(now):
            self._probe = permit
        self._in_flight += 1
        self._credit -= 1
        return permit

    def _poll(self, now: float) -> Permit | None:
        """Spend one of the margin on looking whether a bucket has been refilled, or a window has slid."""
        if not self._may_poll(now) or now < self._polled_at + POLL_INTERVAL:
            return None
        self._polled_at = now
        return self._issue(now, is_probe=False)

    def _may_poll(self, now: float) -> bool:
        believed = self._trust is _Trust.LEAKY and self._is_proven() and not self._is_careful(now)
        return believed and self._credit >= LEAK_MARGIN - 1

    def _room(self, now: float) -> int:
        self._ceiling.raise_if_due(now)
        limit = self.allowed
        safe = limit - self.used(now)
        careful = self._is_careful(now)
        if self._follows_windows():
            if now >= self._ends_at:
                return 0 if careful else safe
            inside = limit - self._in_flight - self._own - self._foreign
            return inside if careful else max(safe, inside)
        if self._trust is _Trust.LEAKY and self._is_proven() and not careful:
            return max(safe, math.floor(self._credit) - LEAK_MARGIN if self._credit > 0 else 0)
        return safe

    def _most_in_flight(self, now: float, room: int) -> int:
        needed = self._limit * (self._latency or 0.0) / (self._window * SPENDING_SHARE)
        most = max(LEAST_IN_FLIGHT, math.ceil(needed))
        if not self._is_careful(now):
            return most
        if self._follows_windows() and not self._confirmed:
            most = min(most, self._own + 1)
        # The last permits of a window go out a few at a time, since others may have taken some of them.
        return min(most, max(1, room // 2))

    def _is_careful(self, now: float) -> bool:
        return now < self._careful_until

    def _is_proven(self) -> bool:
        return self._trust is not _Trust.BROKEN and self._proofs >= PROOFS

    def _follows_windows(self) -> bool:
        if self._strikes >= STRIKES or self._ends_at == math.inf:
            return False
        return self._ends_by_refusal or (self._trust is _Trust.WINDOW and self._is_proven())

    def _is_window_over(self, now: float) -> bool:
        return self._follows_windows() and now >= self._ends_at

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
            self._strikes = 0
            self._confirmed = True
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
        in_window = permit.window == self._number
        # A reply that comes after the end may still be of this window: then most of `reset` is gone.
        if in_window and (now < self._ends_at or self._ends_at == math.inf or reading.reset < self._window / 2):
            self._compare(permit, now, reading)
        if self._trust is _Trust.BROKEN:
            return
        self._allowed = min(self._limit, reading.allowed)
        if self._trust is _Trust.LEAKY:
            self._take_credit(permit, reading)
            return
        if self._strikes < STRIKES:
            self._follow_window(permit, now, reading)
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
                self._trust = _Trust.LEAKY
                self._ends_at = math.inf
        self._proofs += 1

    def _take_credit(self, permit: Permit, reading: Reading) -> None:
        if permit.taken_at >= self._credit_from:
            self._credit_from = permit.taken_at
            # What was under way beside this request may or may not be in its count.
            beside = self._in_flight + self._answered - 1 - permit.answered
            self._credit = max(self._credit, self._allowed - reading.count - beside)

    def _follow_window(self, permit: Permit, now: float, reading: Reading) -> None:
        ends_at = now + reading.reset
        if self._ends_at == math.inf:
            self._ends_at = ends_at
        elif self._is_first_of_next_window(permit):
            if ends_at < self._ends_at + self._window - 2 * ROUNDING - (self._latency or 0.0):
                # Fixed windows end a whole window apart, or more: these are none.
                self._strikes, self._ends_at = STRIKES, math.inf
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
        # A short pause is the trickle of a bucket or a sliding window, or the very end of a fixed one.
        tells_end = told and self._paused_until - now > SLACK
        if permit.is_probe:
            if tells_end:
                self._strike()
            self._ends_at = self._paused_until
            return
        if self._trust is not _Trust.BROKEN and self._is_proven() and not self._foreign:
            self._trust = _Trust.BROKEN
        follows = self._follows_windows()
        soon_again = now - self._refused_at < self._window / 2
        self._refused_at = now
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
                self._ceiling.lower(own - 1, now, sure=sure)
        if tells_end and self._strikes < STRIKES:
            self._ends_at = self._paused_until
            self._ends_by_refusal = not (self._trust is _Trust.WINDOW and self._is_proven())

    def _strike(self) -> None:
        self._strikes += 1
        self._confirmed = False
