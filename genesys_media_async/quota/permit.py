"""What callers see of a quota: a permit, and the state of the account."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct


class Permit(Struct, frozen=True, gc=False):
    """
    One request's permit, and what was known when it was taken.

    `window` is the number of the window; `answered_in_window` and `answered` count the replies so far, in it and ever.
    `returned` counts the permits that were free again. `rests_on_headers` marks a permit beyond what is safe without
    headers.
    """

    taken_at: float
    window: int
    answered_in_window: int
    answered: int
    returned: int
    is_probe: bool
    rests_on_headers: bool = False


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
