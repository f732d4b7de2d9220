"""Transcodings, each of which begins with the first request for it and takes a fixed time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..quota import SIGNIFICANT_DECIMALS

if TYPE_CHECKING:
    from ..seeded_ids import SeededIds


class Transcoder:
    """Records the first request for each piece of work; `now` is in seconds of one monotonic clock."""

    def __init__(self, seeded_ids: SeededIds, spread: float) -> None:
        self._seeded_ids = seeded_ids
        self._spread = spread
        self._began: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Transcoder: {len(self._began)} begun>"

    def remaining(self, work: str, seconds: float, now: float) -> float:
        """Return the seconds until a piece of work is done, 0 if it is done; infinity if it never ends."""
        if seconds == 0:
            return 0.0
        began = self._began.setdefault(work, now)
        if math.isinf(seconds):
            return math.inf
        duration = seconds * (1 + self._spread * (2 * self._seeded_ids.chances("transcoding", work)[0] - 1))
        return max(0.0, round(began + duration - now, SIGNIFICANT_DECIMALS))
