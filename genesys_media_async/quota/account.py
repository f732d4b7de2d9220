"""The permits of one token: whether a request may be sent now, and if not, when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .caution import CAREFUL_WINDOWS, PROBE_TIMEOUT
from .concurrency import Concurrency
from .evidence import Evidence
from .headers import HeaderKind
from .ledger import Charge, Ledger
from .permit import Decision, Permit, QuotaState
from .shortcut import Shortcut

if TYPE_CHECKING:
    from .headers import Reading

WINDOWS_KEPT = 2
"""So many windows must have opened when a refusal had shown before the next is spent at full speed."""

LATENCY_WEIGHT = 0.1
"""How much of each latency goes into the average."""


class QuotaAccount:
    """
    The permits of one token: `limit` requests in any window of `seconds`.

    Call `try_acquire` before sending; then `complete` once the reply is in (or can no longer come), `reject` if it was
    a 429, or `cancel` if nothing was sent. All times are monotonic seconds. To read the state changes nothing.
    """

    __slots__ = (
        "_caution", "_concurrency", "_evidence", "_headers", "_ledger", "_limit", "_pace", "_shortcut", "_window",
        "allowed", "paused_until",
    )  # fmt: skip

    def __init__(self, limit: int, seconds: float) -> None:
        self.allowed = limit
        """The limit in force: the one configured, or a lower one that headers or refusals taught."""

        self.paused_until = -math.inf
        """Nothing is sent before; minus infinity if there was never a pause."""

        self._limit = limit
        self._shortcut = Shortcut()
        self._ledger = Ledger(limit, seconds, self._shortcut)
        self._concurrency = Concurrency(limit, seconds, self._ledger)
        self._pace = self._concurrency.pace
        self._evidence = Evidence(limit, seconds, self._ledger, self._shortcut)
        # Parts of the evidence that every request needs.
        self._window = self._evidence.window
        self._headers = self._evidence.headers
        self._caution = self._evidence.caution

    def __repr__(self) -> str:
        ledger = self._ledger
        return f"<QuotaAccount {ledger.in_flight} in flight, {ledger.charged} spent, of {self._limit}>"

    def state(self, now: float) -> QuotaState:
        """Return the state at `now`."""
        is_known = self._evidence.follows_window() and now < self._window.ends_at
        return QuotaState(
            used=self.used(now),
            allowed=self.allowed,
            used_by_others=self._window.used_by_others if is_known else 0,
            resets_in=self._window.ends_at - now if is_known else None,
            paused_for=self.paused_until - now if now < self.paused_until else None,
        )

    def used(self, now: float) -> int:
        """Return how many permits are charged at `now`, those in flight included."""
        return self._ledger.used(now)

    def try_acquire(self, now: float) -> Permit | None:
        """Charge one permit and return it, if there is one."""
        # Every request passes here, and in `complete`: while the shortcut is open, nothing else is looked at or called.
        ledger, shortcut = self._ledger, self._shortcut
        taken, answered = ledger.taken, ledger.answered
        in_flight = taken - answered
        if now < shortcut.until and taken + 2 * in_flight < shortcut.up_to and in_flight * self._pace < ledger.latency:
            ledger.taken = taken + 1
            return Permit(now, answered, shortcut.decision)
        decision = self._decide(now)
        if decision is None:
            return None
        permit = Permit(now, answered, decision)
        if decision.is_probe and not self._caution.is_probing(now):
            self._caution.probe = permit
        ledger.taken = taken + 1
        return permit

    def _decide(self, now: float) -> Decision | None:
        if now < self.paused_until:
            return None
        ledger, evidence, caution = self._ledger, self._evidence, self._caution
        if not ledger.taken:
            # Nothing was sent yet: the first window has no beginning before this.
            self._window.opened_at = now
        room = evidence.room(now)
        self.allowed = evidence.allowed
        is_careful, is_window_over = now < caution.until, evidence.is_window_over(now)
        if (is_careful or (is_window_over and room <= 0)) and caution.is_probing(now):
            return None
        if room <= 0 and not is_window_over:
            caution.blocked = True
            self._shortcut.close()
            # One of the margin is spent on looking whether a bucket has been refilled, or a window has slid.
            return self._decision(now) if now >= evidence.polls_from(now) else None
        if ledger.in_flight >= self._max_in_flight(now, room):
            return None
        is_probe = is_window_over or (caution.blocked and is_careful and not self._headers.follows_counts)
        caution.blocked = False
        decision = self._decision(now, is_probe=is_probe)
        if not is_probe:
            self._open_shortcut(decision, now, room)
        return decision

    def _decision(self, now: float, *, is_probe: bool = False) -> Decision:
        ledger, window = self._ledger, self._window
        is_unsafe = now < ledger.forgiven_until or ledger.taken - ledger.returned >= self.allowed
        return Decision(
            window.number,
            window.answered_before,
            ledger.returned,
            is_probe,
            rests_on_headers=is_unsafe and not window.ends_by_refusal,
            silence_teaches=is_probe or self._headers.kind is not HeaderKind.BROKEN or self._evidence.is_after_end(now),
        )

    def _max_in_flight(self, now: float, room: int) -> int:
        concurrency, window = self._concurrency, self._window
        if now >= self._caution.until or self._headers.follows_counts:
            return concurrency.at_full_speed()
        follows = self._evidence.follows_window()
        if follows and not window.ends_by_refusal:
            return concurrency.late_in_window(room)
        replies = self._ledger.answered - concurrency.answered_at_refusal
        if follows and window.kept < WINDOWS_KEPT:
            replies = min(replies, window.own)
        return concurrency.after_refusal(room, replies)

    def _open_shortcut(self, decision: Decision, now: float, room: int) -> None:
        """Let the decision hold, if all the care that is taken is in `room`, and in having half of it in flight."""
        evidence, window, headers, ledger = self._evidence, self._window, self._headers, self._ledger
        follows = evidence.follows_window()
        is_steady = not window.ends_by_refusal if follows else headers.follows_counts
        if self._caution.probe is not None or (now < self._caution.until and not is_steady):
            return
        up_to = ledger.taken + room - 1
        if not decision.rests_on_headers and not window.ends_by_refusal:
            # What is taken beyond that rests on headers.
            up_to = min(up_to, ledger.returned + self.allowed)
        self._shortcut.open(
            decision,
            until=min(
                evidence.next_raise,
                window.ends_at if follows else math.inf,
                ledger.next_return,
                ledger.forgiven_until if now < ledger.forgiven_until else math.inf,
            ),
            up_to=up_to,
            window=window.number if follows and headers.follows_windows else None,
        )

    def next_attempt_at(self, now: float) -> float:
        """Return when `try_acquire` may next succeed: `now` if it would already, infinity if only a reply can show."""
        if now < self.paused_until:
            return self.paused_until
        evidence, caution = self._evidence, self._caution
        room, is_window_over, is_careful = evidence.room(now), evidence.is_window_over(now), now < caution.until
        self.allowed = evidence.allowed
        if caution.probe is not None and caution.is_probing(now) and (is_careful or (is_window_over and room <= 0)):
            return caution.probe.taken_at + PROBE_TIMEOUT
        if room > 0 or is_window_over:
            if self._ledger.in_flight < self._max_in_flight(now, room):
                return now
            return caution.until if is_careful else math.inf
        polls_from = evidence.polls_from(now)
        if now >= polls_from:
            return now
        times = [evidence.next_raise, caution.until, polls_from, self._ledger.next_return]
        if evidence.follows_window():
            times.append(self._window.ends_at)
        return min((time for time in times if time > now), default=math.inf)

    def cancel(self, permit: Permit) -> None:
        """Take back the permit of a request that was not sent: it is free at once."""
        self._ledger.taken -= 1
        # The next may no longer rest on headers.
        self._shortcut.close()
        self._caution.forget(permit)

    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> int:
        """Note a reply and its quota headers: the permit returns a window from now. Return the limit in force."""
        ledger = self._ledger
        latency = now - permit.taken_at
        # As `Ledger.book` would, which is called only where a reply is not plain.
        if now <= ledger.plain_until:
            ledger.answered += 1
        elif ledger.plain_until == -math.inf:
            ledger.book(permit.taken_at, now)
        else:
            ledger.plain_until = at = now + ledger.step
            ledger.charges.append(Charge(at, ledger.answered))
            ledger.answered += 1
        usual = ledger.latency
        # One reply that stalls says little about the next.
        if latency > 4.0 * usual + 0.01:
            latency = 4.0 * usual + 0.01
        ledger.latency = usual + LATENCY_WEIGHT * (latency - usual)
        if reading is None:
            if not permit.decision.silence_teaches:
                return self.allowed
        elif now < self._shortcut.until and self._is_no_news(permit, reading):
            self._headers.unread = 0
            return self.allowed
        self._evidence.learn(permit, now, reading, latency=ledger.latency)
        self.allowed = self._evidence.allowed
        return self.allowed

    def _is_no_news(self, permit: Permit, reading: Reading) -> bool:
        """
        Return whether headers say only what is known, while the shortcut is open.

        That is: limit and end as before, and no other count than our own requests, and those of others that are known,
        account for.
        """
        ledger, window, decision, count = self._ledger, self._window, permit.decision, reading.count
        return (
            decision.window == self._shortcut.window
            and reading.reset == window.known_reset
            and 0 < count <= self._headers.advertised == reading.allowed
            and window.count_at_opening + permit.answered - decision.answered_before < count
            and count <= ledger.taken - window.answered_before + window.used_by_others
            and count != ledger.taken - decision.returned
        )

    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool:
        """
        Note a 429: nothing is sent for `pause` seconds, the guard second included.

        With `has_retry_after` Genesys named the time, so that it shows something of the window, too. Returns whether
        the pause lasts longer than was known before.
        """
        self.cancel(permit)
        evidence = self._evidence
        was_paused, until = now < self.paused_until, now + pause
        is_longer = until > self.paused_until
        self.paused_until = max(self.paused_until, until)
        self._caution.extend(now, CAREFUL_WINDOWS)
        self._shortcut.close()
        if permit.decision.rests_on_headers:
            self._headers.has_misled = True
            self._ledger.note_counted(-math.inf)
        # Those that were on their way when the pause began show nothing new, however late they arrive.
        if not was_paused and permit.taken_at >= evidence.refused_at:
            self._caution.blocked = True
            self._concurrency.answered_at_refusal = self._ledger.answered
            evidence.learn_from_refusal(permit, now, paused_until=self.paused_until, has_retry_after=has_retry_after)
            self.allowed = evidence.allowed
        return is_longer
