"""Care after a refusal: how long it lasts, and the probe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .permit import Permit
    from .shortcut import Shortcut

CAREFUL_WINDOWS = 10
"""For so many windows after a 429, or a sign of others, permits are given out carefully."""

PROBE_TIMEOUT = 2.0
"""How many seconds other requests wait for a probe's reply."""


class Caution:
    """Until when permits are given out carefully, and the probe: the one request that the others wait for."""

    __slots__ = ("_seconds", "_shortcut", "blocked", "probe", "until")

    def __init__(self, seconds: float, shortcut: Shortcut) -> None:
        self._seconds = seconds
        self._shortcut = shortcut
        self.until = -math.inf

        self.blocked = False
        """Whether no permit could be given since the last: the next one, while careful, is a probe."""

        self.probe: Permit | None = None

    def extend(self, now: float, windows: int) -> None:
        """Be careful for so many windows from now."""
        if now >= self.until:
            self._shortcut.close()
        self.until = max(self.until, now + windows * self._seconds)

    def is_probing(self, now: float) -> bool:
        """Return whether other requests still wait for the probe's reply."""
        return self.probe is not None and now < self.probe.taken_at + PROBE_TIMEOUT

    def forget(self, permit: Permit) -> None:
        """Note that a request is over: if it was the probe, there is none now."""
        if permit is self.probe:
            self.probe = None
