"""Random generators whose numbers a test knows."""

from __future__ import annotations

import random


class Steady(random.Random):
    """A generator that always draws the same number."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value
