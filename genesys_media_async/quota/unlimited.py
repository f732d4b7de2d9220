"""The account of a token without a limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .permit import Permit, QuotaState

if TYPE_CHECKING:
    from .headers import Reading


class UnlimitedAccount:
    """An account without a limit: permits are counted and never run out, but a 429 still pauses all requests."""

    def __init__(self) -> None:
        self.allowed: int | None = None
        """No limit."""

        self.paused_until = -math.inf
        """Nothing is sent before; minus infinity if there was never a pause."""

        self._in_flight = 0

    def __repr__(self) -> str:
        return f"<UnlimitedAccount {self._in_flight} in flight>"

    def state(self, now: float) -> QuotaState:
        """Return the state at `now`."""
        return QuotaState(
            used=self._in_flight,
            allowed=None,
            used_by_others=0,
            resets_in=None,
            paused_for=self.paused_until - now if now < self.paused_until else None,
        )

    def try_acquire(self, now: float) -> Permit | None:
        """Return a permit, or None during a pause."""
        if now < self.paused_until:
            return None
        self._in_flight += 1
        return Permit(now)

    def next_attempt_at(self, now: float) -> float:
        """Return when `try_acquire` will succeed."""
        return max(now, self.paused_until)

    def cancel(self, permit: Permit) -> None:  # noqa: ARG002
        """Take back the permit of a request that was not sent."""
        self._in_flight -= 1

    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> None:  # noqa: ARG002
        """Take back the permit of a request that was answered."""
        self._in_flight -= 1

    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool:  # noqa: ARG002
        """Pause all requests for `pause` seconds; return whether that lasts longer than was known before."""
        self._in_flight -= 1
        is_longer = now + pause > self.paused_until
        self.paused_until = max(self.paused_until, now + pause)
        return is_longer
