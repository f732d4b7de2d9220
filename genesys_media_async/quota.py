"""
How many requests may be sent, and when: a pure account of permits, told the time.

Nobody outside Genesys knows whether a window is fixed or slides, nor when in an exchange a request is counted. So a
permit is charged from when it is taken until a whole window after the reply: whatever the server does, no window of
its can hold more than the limit. `AsyncLimiter(300, 60)`, in comparison, lets 599 through in the first minute.
"""

from __future__ import annotations

from collections import deque


class QuotaAccount:
    """
    The permits of one token: `limit` requests in any window of `seconds`.

    `take` before sending; then `spend` once the reply is in (or can no longer come), or `give_back` if nothing was
    sent. All times are monotonic seconds.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._window = seconds
        self._in_flight = 0
        self._spent: deque[float] = deque()
        self._paused_until = float("-inf")

    def __repr__(self) -> str:
        return f"<QuotaAccount {self._in_flight} in flight, {len(self._spent)} spent, of {self._limit}>"

    @property
    def limit(self) -> int:
        """The requests allowed in a window."""
        return self._limit

    @property
    def paused_until(self) -> float:
        """Nothing is sent before; minus infinity if there was never a pause."""
        return self._paused_until

    def used(self, now: float) -> int:
        """Return how many permits are charged at `now`, those in flight included."""
        self._forget(now)
        return self._in_flight + len(self._spent)

    def take(self, now: float) -> bool:
        """Charge one permit, if there is one."""
        if now < self._paused_until or self.used(now) >= self._limit:
            return False
        self._in_flight += 1
        return True

    def spend(self, now: float) -> None:
        """Note that the reply to a request is in: its permit comes back one window after `now`."""
        self._in_flight -= 1
        self._spent.append(now + self._window)

    def give_back(self) -> None:
        """Nothing was sent: the permit is free at once."""
        self._in_flight -= 1

    def pause(self, until: float) -> None:
        """Let nobody send before `until`; a shorter pause never ends a longer one."""
        self._paused_until = max(self._paused_until, until)

    def next_chance(self, now: float) -> float:
        """Return when `take` may next succeed: `now` if it would already, infinity if only a reply can tell."""
        self._forget(now)
        if self._in_flight + len(self._spent) < self._limit:
            return max(now, self._paused_until)
        return max(self._spent[0], self._paused_until) if self._spent else float("inf")

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0] <= now:
            self._spent.popleft()
