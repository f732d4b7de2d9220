"""The limit that refusals taught."""

from __future__ import annotations

import math

MIN_RAISE_WAIT, MAX_RAISE_WAIT = 2, 32
"""Windows without a refusal before the limit is raised; the wait doubles each time a lower limit is certain."""

SURE_STEP, UNSURE_STEP = 0.01, 0.02
"""The parts of the configured limit by which it is raised."""


class Ceiling:
    """
    The limit as refusals taught it: lowered at once, raised a little after some windows without one.

    A refusal that surely came of a lower limit holds longer each time. One that may have been the work of others counts
    half, and is forgotten soon. A little is kept back, unless the same count was refused before: then it is a limit.
    """

    __slots__ = ("_limit", "_raise_wait", "_refused_at_count", "_seconds", "_step", "next_raise", "value")

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._refused_at_count: float = math.inf
        self._raise_wait = MIN_RAISE_WAIT
        self._step = 1
        self.value = limit

        self.next_raise = math.inf
        """When the limit is due to be raised."""

    def raise_if_due(self, now: float) -> None:
        """Raise the limit by a step if it is time."""
        if now >= self.next_raise:
            self.value = min(self._limit, self.value + self._step)
            self.next_raise = now + self._seconds * self._raise_wait if self.value < self._limit else math.inf

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
            self.next_raise = now + self._seconds * (self._raise_wait + 0.5)
            self._raise_wait = min(MAX_RAISE_WAIT, 2 * self._raise_wait)
        else:
            self._step = max(1, int(self._limit * UNSURE_STEP))
            self._raise_wait = MIN_RAISE_WAIT
            self.next_raise = now + self._seconds * self._raise_wait
