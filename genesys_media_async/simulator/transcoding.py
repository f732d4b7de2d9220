"""How far each transcoding is: begun when it is first asked for, and done after its time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .quota import NOISE_DIGITS

if TYPE_CHECKING:
    from .derivation import Derivation


class Transcoder:
    """Remembers when each piece of work was first asked for; told the time on one clock that never goes back."""

    def __init__(self, derivation: Derivation, spread: float) -> None:
        self._derivation = derivation
        self._spread = spread
        self._began: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Transcoder: {len(self._began)} begun>"

    def remaining(self, work: str, seconds: float, now: float) -> float:
        """Return the seconds until it is done, 0 when it is; infinity for what takes for ever."""
        if seconds == 0:
            return 0.0
        began = self._began.setdefault(work, now)
        if math.isinf(seconds):
            return math.inf
        lasting = seconds * (1 + self._spread * (2 * self._derivation.chances("transcoding", work)[0] - 1))
        return max(0.0, round(began + lasting - now, NOISE_DIGITS))
