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
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from operator import attrgetter
from typing import TYPE_CHECKING

from .records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE_TIMEOUT = 2.0
"""Seconds after which a probe whose reply is late no longer holds the others back."""

CAREFUL_WINDOWS = 10
"""For so many windows after a 429, or a sign of others, permits are given out carefully."""

MIN_IN_FLIGHT = 4
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

STEPS = 4_096
"""The permits of a larger limit come back in so many steps a window, since to remember each needs too much memory."""

POLL_INTERVAL = 1.0
RAISE_WAIT, MAX_RAISE_WAIT = 2, 32
SURE_STEP, UNSURE_STEP = 0.01, 0.02
LATENCY_WEIGHT = 0.1


class _Numbers(dict[str, int]):
    """What texts are as numbers: the same few, of what is allowed and when it ends, come with thousands of replies."""

    MOST = 256

    def __missing__(self, text: str) -> int:
        number = int(text)
        if len(self) >= self.MOST:
            self.clear()
        self[text] = number
        return number


_NUMBERS = _Numbers()


@record
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
        count = headers.get("inin-ratelimit-count")
        if count is None:
            return None
        try:
            return cls(
                int(count),
                _NUMBERS[headers["inin-ratelimit-allowed"]],
                _NUMBERS[headers["inin-ratelimit-reset"]],
            )
        except (KeyError, ValueError):
            return None


@record
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
        self.allowed: int | None = None
        """No limit."""

        self._in_flight = 0
        self._paused_until = -math.inf

    def __repr__(self) -> str:
        return f"<PauseOnly {self._in_flight} in flight>"

    @property
    def paused_until(self) -> float:
        """Nothing is sent before; minus infinity if there was never a pause."""
        return self._paused_until

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
        return Permit(now, 0, 0, 0, 0, False)

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
        self.next_raise = math.inf
        self._raise_wait = RAISE_WAIT
        self._step = 1

    def raise_if_due(self, now: float) -> None:
        if now >= self.next_raise:
            self.value = min(self._limit, self.value + self._step)
            self.next_raise = now + self._window * self._raise_wait if self.value < self._limit else math.inf

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
            self.next_raise = now + self._window * (self._raise_wait + 0.5)
            self._raise_wait = min(MAX_RAISE_WAIT, 2 * self._raise_wait)
        else:
            self._step = max(1, int(self._limit * UNSURE_STEP))
            self._raise_wait = RAISE_WAIT
            self.next_raise = now + self._window * self._raise_wait


@dataclass(slots=True)
class _Spent:
    """So many permits, the last of them spent at `at`, or a step of the window before."""

    at: float
    permits: int


class QuotaAccount:
    """
    The permits of one token: `limit` requests in any window of `seconds`.

    `take` before sending; then `spend` once the reply is in (or can no longer come), `refuse` if it was a 429, or
    `give_back` if nothing was sent. All times are monotonic seconds.
    """

    # Without slots, CPython takes longer to find any of more than thirty attributes.
    __slots__ = (
        "_allowed", "_answered", "_answered_at_refusal", "_answered_before", "_blocked", "_calm_until", "_calm_up_to",
        "_calm_window", "_careful_until", "_ceiling", "_count_at_opening", "_counted_by", "_credit_from",
        "_credit_up_to", "_ends_at", "_ends_by_refusal", "_foreign", "_forgiven_until", "_known_reset", "_lag",
        "_latency", "_left", "_left_at_reading", "_limit", "_needed", "_newest", "_number", "_opened_at",
        "_paused_until", "_probe", "_proofs", "_read_at", "_refused_at", "_signs", "_spending_time", "_spent", "_step",
        "_strikes", "_struck", "_taken", "_told", "_trust", "_untold", "_was_misled", "_window", "_windows_kept",
        "allowed",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float) -> None:
        self.allowed = limit
        """The limit in force: the one named, or a lower one that headers or refusals taught."""

        self._limit = limit
        self._window = seconds
        self._spending_time = seconds * SPENDING_SHARE
        self._step = seconds / STEPS if limit > STEPS else 0.0

        # How many permits were ever taken and not given back, how many of these were spent, and how many of those are
        # free again; the ones spent and not yet free are in `_spent`, the newest last.
        self._taken = 0
        self._answered = 0
        self._left = 0
        self._spent: deque[_Spent] = deque()
        self._newest = _Spent(-math.inf, 0)

        # So many in flight, at that latency, spend the limit in their share of the window.
        self._needed = 0.0
        self._latency = 0.0
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
        self._answered_before = 0
        self._foreign = 0
        self._strikes = 0
        self._struck = False
        self._windows_kept = 0
        self._ends_by_refusal = False

        self._trust = _Trust.WINDOW
        self._proofs = 0
        self._untold = 0
        self._was_misled = False
        self._told: int = 0
        self._allowed = limit
        self._count_at_opening = 0

        # Where no window ends: how many may ever be taken by the newest count, and how many of our own permits had come
        # back by then.
        self._credit_up_to = -math.inf
        self._credit_from = -math.inf
        self._read_at = -math.inf
        self._left_at_reading = 0
        self._lag = LEAK_MARGIN
        self._signs = 0

        # All that were taken before had been counted by then: they are charged no longer than a window from it.
        self._counted_by = -math.inf
        self._forgiven_until = -math.inf

        # See `_foresee_calm`. The window is the one that headers tell of, if they do, and a reply in it that tells the
        # known `reset` once more cannot bring its end nearer.
        self._calm_until = -math.inf
        self._calm_up_to = 0
        self._calm_window: int | None = None
        self._known_reset: int | None = None

    def __repr__(self) -> str:
        return f"<QuotaAccount {self._in_flight} in flight, {self._charged} spent, of {self._limit}>"

    @property
    def paused_until(self) -> float:
        """Nothing is sent before; minus infinity if there was never a pause."""
        return self._paused_until

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
        while self._spent and self._spent[0].at + self._window <= now:
            self._left += self._spent.popleft().permits
        return self._taken - self._left

    def take(self, now: float) -> Permit | None:
        """Charge one permit and return it, if there is one."""
        taken, answered = self._taken, self._answered
        in_flight = taken - answered
        is_probe = False
        if (
            now >= self._calm_until
            or taken + 2 * in_flight >= self._calm_up_to
            or (in_flight >= self._needed and in_flight >= MIN_IN_FLIGHT)
        ):
            verdict = self._consider(now)
            if verdict is None:
                return None
            is_probe = verdict
        left = self._left
        is_on_trust = not self._ends_by_refusal and (now < self._forgiven_until or taken - left >= self.allowed)
        permit = Permit(now, self._number, answered - self._answered_before, answered, left, is_probe, is_on_trust)
        if is_probe and not self._is_probing(now):
            self._probe = permit
        self._taken = taken + 1
        return permit

    def _consider(self, now: float) -> bool | None:
        """Return whether a permit that is taken now is a probe, or None if there is none to take."""
        if now < self._paused_until:
            return None
        if not self._taken:
            # Nothing was sent yet: the first window has no beginning before this.
            self._opened_at = now
        room, careful, window_over = self._room(now), now < self._careful_until, self._is_window_over(now)
        if (careful or (window_over and room <= 0)) and self._is_probing(now):
            return None
        if room <= 0 and not window_over:
            self._blocked = True
            self._end_calm()
            # One of the margin is spent on looking whether a bucket has been refilled, or a window has slid.
            return False if now >= self._polls_from(now) else None
        if self._in_flight >= self._most_in_flight(now, room):
            return None
        is_probe = window_over or (self._blocked and careful and not self._counts_leak())
        self._blocked = False
        if not is_probe:
            self._foresee_calm(room, careful)
        return is_probe

    def _foresee_calm(self, room: int, careful: bool) -> None:
        """
        Note until when, and up to which permit, `take` need not `_consider`, and `spend` not `_learn` what is no news.

        Until then nobody is paused or probes, no permit comes back, no window ends and no limit rises by itself; there
        is room, and all the care that is taken is in it and in having no more in flight than half of it. Whatever else
        changes one of these, or lessens the room, ends the calm.
        """
        follows = self._follows_windows()
        is_steady = not self._ends_by_refusal if follows else self._counts_leak()
        if self._probe is not None or (careful and not is_steady):
            return
        self._calm_until = min(
            self._ceiling.next_raise,
            self._ends_at if follows else math.inf,
            self._spent[0].at + self._window if self._spent else math.inf,
        )
        self._calm_up_to = self._taken + room - 1
        self._calm_window = self._number if follows and self._trust is _Trust.WINDOW and self._is_proven() else None

    def _end_calm(self) -> None:
        self._calm_until = -math.inf

    @property
    def _in_flight(self) -> int:
        return self._taken - self._answered

    @property
    def _charged(self) -> int:
        return self._answered - self._left

    @property
    def _own(self) -> int:
        return self._answered - self._answered_before

    def next_chance(self, now: float) -> float:
        """Return when `take` may next succeed: `now` if it would already, infinity if only a reply can tell."""
        if now < self._paused_until:
            return self._paused_until
        room, window_over = self._room(now), self._is_window_over(now)
        if self._probe is not None and self._is_probing(now) and (self._is_careful(now) or (window_over and room <= 0)):
            return self._probe.taken_at + PROBE_TIMEOUT
        if room > 0 or window_over:
            if self._in_flight < self._most_in_flight(now, room):
                return now
            return self._careful_until if self._is_careful(now) else math.inf
        if now >= self._polls_from(now):
            return now
        chances = [self._ceiling.next_raise, self._careful_until, self._polls_from(now)]
        if self._spent:
            chances.append(self._spent[0].at + self._window)
        if self._follows_windows():
            chances.append(self._ends_at)
        return min((chance for chance in chances if chance > now), default=math.inf)

    def give_back(self, permit: Permit) -> None:
        """Nothing was sent: the permit is free at once."""
        self._taken -= 1
        self._forget_probe(permit)

    def spend(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        """Note that the reply to a request is in, and what its headers say: the permit is free a window from now."""
        taken_at, answered = permit.taken_at, self._answered
        if taken_at < self._counted_by < now and not self._was_misled:
            self._charge(self._counted_by)
            self._forgiven_until = now + self._window
        elif now <= self._newest.at:
            self._newest.permits += 1
        else:
            self._charge(now)
        latency = now - taken_at
        usual = self._latency if answered else latency
        most = 4.0 * usual + 0.01
        # One reply that stalls says little about the next.
        if latency > most:
            latency = most
        latency = usual + LATENCY_WEIGHT * (latency - usual)
        self._latency = latency
        self._needed = self._limit * latency / self._spending_time
        self._answered = answered + 1
        if reading is not None:
            self._untold = 0
            count = reading.count
            if (
                now < self._calm_until
                and permit.window == self._calm_window
                and reading.reset == self._known_reset
                and 0 < count <= self._told == reading.allowed
                and self._count_at_opening + permit.answered_in_window < count
                and count <= self._taken - self._answered_before + self._foreign
                and count != self._taken - permit.left
            ):
                # No news: limit and end as told before, and no other count than our own requests, and those of others
                # that are known of, account for.
                return
        self._forget_probe(permit)
        if self._trust is not _Trust.BROKEN:
            if reading is not None:
                self._learn(permit, now, reading)
                return
            self._untold += 1
            if self._untold >= PROOFS:
                self._disbelieve()
        if self._is_first_of_next_window(permit):
            self._open_window(now, now + self._window)

    def refuse(self, permit: Permit, now: float, pause: float, *, told: bool = True) -> bool:
        """
        Note a 429: nobody sends for `pause` seconds, the guard second included.

        `told` says that Genesys named the time, so that it says something of the window, too. Returns whether the pause
        lasts longer than was known before.
        """
        self.give_back(permit)
        already_paused, until = now < self._paused_until, now + pause
        longer = until > self._paused_until
        self._paused_until = max(self._paused_until, until)
        self._be_careful(now, CAREFUL_WINDOWS)
        self._end_calm()
        self._was_misled |= permit.is_on_trust
        # Those that were on their way when the pause began say nothing new, however late they are told.
        if not already_paused and permit.taken_at >= self._refused_at:
            self._blocked = True
            self._answered_at_refusal = self._answered
            self._learn_from_refusal(permit, now, told=told)
            self._update_limit()
        return longer

    def _update_limit(self) -> None:
        before = self.allowed
        self.allowed = min(self._ceiling.value, self._allowed if self._is_proven() else self._limit)
        if self.allowed != before:
            self._end_calm()

    def _be_careful(self, now: float, windows: int) -> None:
        if now >= self._careful_until:
            self._end_calm()
        self._careful_until = max(self._careful_until, now + windows * self._window)

    def _disbelieve(self) -> None:
        self._trust = _Trust.BROKEN
        self._update_limit()
        self._end_calm()

    def _end_window_at(self, ends_at: float) -> None:
        self._ends_at = ends_at
        self._known_reset = None
        self._end_calm()

    def _forget_probe(self, permit: Permit) -> None:
        if permit is self._probe:
            self._probe = None

    def _charge(self, at: float) -> None:
        """Charge a permit for a window from `at`, or, if the limit is large, from up to a step later, never earlier."""
        spent, latest = self._spent, at + self._step
        index = len(spent)
        if spent and at <= spent[-1].at:
            index = index - 1 if spent[-1].at <= latest else bisect_left(spent, at, key=attrgetter("at"))
            if spent[index].at <= latest:
                spent[index].permits += 1
                return
        spent.insert(index, _Spent(latest, 1))
        self._newest = spent[-1]
        self._calm_until = min(self._calm_until, spent[0].at + self._window)

    def _polls_from(self, now: float) -> float:
        if self._in_flight or not self._counts_leak():
            return math.inf
        is_safe = self.used(now) < self.allowed
        if self._was_misled and not is_safe:
            return math.inf
        has_room = self._credit_up_to - self._taken >= LEAK_MARGIN - 1
        if self._is_careful(now) and is_safe and self._left > self._left_at_reading:
            # A permit of our own has come back: in a sliding window there is a slot for it, in a bucket a moment later.
            later = max(POLL_INTERVAL, 2 * self._window / self._limit)
            return -math.inf if has_room else self._read_at + later
        # Headers without lag are a sliding window's, and nothing but what comes back makes room in that.
        return self._read_at + POLL_INTERVAL if has_room and self._lag else math.inf

    def _counts_leak(self) -> bool:
        return self._proofs >= PROOFS and self._trust is _Trust.LEAKY

    def _room(self, now: float) -> int:
        if now >= self._ceiling.next_raise:
            self._ceiling.raise_if_due(now)
            self._update_limit()
        limit = self.allowed
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
            credit = max(-limit, min(self._credit_up_to - self._taken, limit))
            return math.floor(credit) - LEAK_MARGIN if careful else max(safe, math.floor(credit) - self._lag)
        return safe

    def _most_in_flight(self, now: float, room: int) -> int:
        most = max(MIN_IN_FLIGHT, math.ceil(self._needed))
        if now >= self._careful_until or self._counts_leak():
            return most
        if self._follows_windows() and not self._ends_by_refusal:
            # The last permits of a window go out a few at a time, since others may have taken some of them.
            return min(most, max(1, room // 2))
        most = max(MIN_IN_FLIGHT, most // 2)
        released = self._answered - self._answered_at_refusal
        if self._follows_windows() and self._windows_kept < WINDOWS_KEPT:
            released = min(released, self._own)
        return min(most, released // RELEASE + 1, max(1, room // LAST_PERMITS))

    def _is_careful(self, now: float) -> bool:
        return now < self._careful_until

    def _is_proven(self) -> bool:
        return self._proofs >= PROOFS and self._trust is not _Trust.BROKEN

    def _follows_windows(self) -> bool:
        if self._strikes >= STRIKES or self._ends_at == math.inf:
            return False
        return self._ends_by_refusal or (self._proofs >= PROOFS and self._trust is _Trust.WINDOW)

    def _is_window_over(self, now: float) -> bool:
        if now < self._ends_at or not self._follows_windows():
            return False
        return not self._was_misled or self.used(now) < self.allowed

    def _is_probing(self, now: float) -> bool:
        return self._probe is not None and now < self._probe.taken_at + PROBE_TIMEOUT

    def _is_first_of_next_window(self, permit: Permit) -> bool:
        return permit.taken_at >= self._ends_at and permit.window == self._number and self._follows_windows()

    def _open_window(self, now: float, ends_at: float, count: int = 0) -> None:
        if self._number and self._own >= self._limit // 4:
            if not self._struck:
                self._strikes = 0
                self._windows_kept += 1
            self._struck = False
        # What was answered after the old window's end may have been counted in the new one already. That end is known
        # up to a second too late, rounded up as it is told; how many of those between are meant, the count says.
        certain = near = 0
        for spent in reversed(self._spent):
            if spent.at <= self._ends_at - ROUNDING - self._latency:
                break
            near += spent.permits
            if spent.at > self._ends_at:
                certain += spent.permits
        self._number += 1
        self._opened_at = now
        self._end_window_at(ends_at)
        self._answered_before, self._foreign = self._answered - max(certain, min(near, count)), 0

    def _learn(self, permit: Permit, now: float, reading: Reading) -> None:
        if not (1 <= reading.count <= reading.allowed and 0 <= reading.reset <= self._window + 2):
            self._disbelieve()
            return
        if now >= self._careful_until and reading.count == self.used(now) + self._left - permit.left:
            # As high as it can be while nobody else is there: all that were under way have been counted by now.
            self._counted_by = now
        in_window = permit.window == self._number
        # A reply that comes after the end may still be of this window: then most of `reset` is gone.
        if in_window and (now < self._ends_at or self._ends_at == math.inf or reading.reset < self._window / 2):
            self._compare(permit, now, reading)
        if reading.allowed != self._told:
            self._told = reading.allowed
            self._allowed = min(self._limit, reading.allowed)
            self._update_limit()
        if self._trust is _Trust.WINDOW and self._strikes < STRIKES:
            self._follow_window(permit, now, reading)
        if self._trust is _Trust.LEAKY:
            self._take_credit(permit, now, reading)
        elif in_window and permit.window == self._number and self._is_proven():
            self._look_for_others(now, reading)

    def _compare(self, permit: Permit, now: float, reading: Reading) -> None:
        """Hold the count against our own requests that must be in it."""
        missing = self._count_at_opening + permit.answered_in_window + 1 - reading.count
        if missing > 0:
            leaked = (now - self._opened_at) * self._limit / self._window
            if missing > leaked + LEAK_MARGIN:
                self._disbelieve()
                return
            if self._trust is _Trust.WINDOW:
                self._count_without_windows(lag=0 if now >= self._ends_at else LEAK_MARGIN)
        self._proofs += 1
        if self._proofs == PROOFS:
            self._update_limit()
            self._end_calm()

    def _count_without_windows(self, *, lag: int) -> None:
        self._trust = _Trust.LEAKY
        self._lag = lag
        self._end_window_at(math.inf)
        self._probe = None

    def _take_credit(self, permit: Permit, now: float, reading: Reading) -> None:
        if permit.taken_at >= self._credit_from:
            self._credit_from, self._read_at, self._left_at_reading = permit.taken_at, now, self._left
            # What was under way beside this request may or may not be in its count.
            up_to = permit.answered + 1 + self._allowed - reading.count
            if up_to > self._credit_up_to:
                self._credit_up_to = up_to
            elif up_to < self._credit_up_to and now < self._careful_until:
                self._credit_up_to = up_to
                self._end_calm()
            # Our own permits are charged longer than any server counts the requests: what is above that are others.
            self._signs = self._signs + 1 if reading.count > self.used(now) + self._left - permit.left else 0
            if self._signs >= SIGNS:
                self._be_careful(now, CAREFUL_WINDOWS - 1)

    def _follow_window(self, permit: Permit, now: float, reading: Reading) -> None:
        ends_at = now + reading.reset
        if self._ends_at == math.inf:
            self._end_window_at(ends_at)
        elif self._is_first_of_next_window(permit):
            if ends_at < self._ends_at + self._window - 2 * ROUNDING - self._latency:
                # Fixed windows end a whole window apart, or more: these are none.
                self._strikes = STRIKES
                self._count_without_windows(lag=0 if reading.reset <= 2 * ROUNDING else LEAK_MARGIN)
            elif reading.count > self._limit // 4 + 2 and reading.count > self._own // 2:
                self._strike()
                self._end_window_at(now + max(1, reading.reset))
            else:
                self._open_window(now, ends_at, reading.count)
                self._count_at_opening = reading.count - self._own
        elif permit.window == self._number and ends_at < self._ends_at:
            # A whole number of seconds from every reply: the least of them is the end to a fraction of a second.
            self._end_window_at(ends_at)
        if ends_at >= self._ends_at:
            self._known_reset = reading.reset

    def _look_for_others(self, now: float, reading: Reading) -> None:
        own = self._own if self._strikes < STRIKES else self._charged
        foreign = reading.count - self._in_flight - own
        if foreign > self._foreign:
            self._foreign = foreign
            self._end_calm()
            self._be_careful(now, CAREFUL_WINDOWS - 1)

    def _learn_from_refusal(self, permit: Permit, now: float, *, told: bool) -> None:
        soon_again = now - self._refused_at < self._window / 2
        self._refused_at = now
        # A short pause is the trickle of a bucket or a sliding window, or the very end of a fixed one.
        tells_end = told and self._paused_until - now > SLACK
        if permit.is_probe:
            if tells_end:
                self._strike()
            self._end_window_at(self._paused_until)
            return
        if self._counts_leak():
            # Others were faster. After the pause there will be room for a poll.
            self._credit_up_to, self._credit_from, self._read_at = self._taken + LEAK_MARGIN - 1, now, now
            return
        if self._is_proven() and not self._foreign:
            self._disbelieve()
        follows = self._follows_windows()
        elsewhere = abs(self._paused_until - self._ends_at) > SLACK
        too_early = self._own < self._ceiling.value / 2 < self._charged
        if follows and (elsewhere or too_early):
            # What was counted since the window was thought to open was no window's.
            self._answered_before = self._answered
            self._end_window_at(math.inf)
            self._strike()
        else:
            own = self._own + self._foreign if follows else self._charged
            opened_by_us = bool(self._spent) and self._paused_until + SLACK / 2 >= self._spent[0].at + self._window
            late = own > self._ceiling.value // 2
            # One refusal out of turn may be anything; a second soon after it is no accident, and one after most of the
            # limit is spent, with a pause as short as a bucket's, hardly.
            sure = follows or (tells_end and opened_by_us) or (soon_again and late)
            if sure or soon_again or (late and not tells_end):
                self._ceiling.lower(own, now, sure=sure, kept_back=0 if follows else int(self._limit * KEPT_BACK))
        if tells_end and self._strikes < STRIKES:
            self._end_window_at(self._paused_until)
            self._ends_by_refusal = not (self._trust is _Trust.WINDOW and self._is_proven())

    def _strike(self) -> None:
        self._strikes += 1
        self._struck = True
        self._windows_kept = 0
