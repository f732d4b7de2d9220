"""What callers see of a quota: a permit, and the state of the account."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct


class Decision(Struct, frozen=True, gc=False):
    """
    That there is a permit, and what was known then. Those that are taken while it holds share it.

    `window` is the number of the window, before which `answered_before` requests were answered. `returned` counts the
    permits that were free again. `rests_on_headers` marks what is beyond what is safe without headers. Unless
    `silence_teaches`, a reply without quota headers is no news.
    """

    window: int = 0
    answered_before: int = 0
    returned: int = 0
    is_probe: bool = False
    rests_on_headers: bool = False
    silence_teaches: bool = True


class Permit(Struct, frozen=True, gc=False):
    """One request's permit: when it was taken, how many replies there were by then, and the decision it came of."""

    taken_at: float
    answered: int = 0
    decision: Decision = Decision()

    @property
    def answered_in_window(self) -> int:
        """How many of the replies were in the window."""
        return self.answered - self.decision.answered_before


@dataclass(frozen=True, slots=True)
class QuotaState:
    """
    The quota at one moment. Times are seconds from then; None means that nothing is known, or that there is none.

    `used` counts what our own requests are charged. `used_by_others` counts what others are known to have used of the
    current window. `allowed` is the limit in force: the one configured, or a lower one learnt. `waiting` counts the
    callers without a permit.
    """

    used: int
    allowed: int | None
    used_by_others: int
    resets_in: float | None
    paused_for: float | None
    waiting: int = 0
