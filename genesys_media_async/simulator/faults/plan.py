"""The fault plan: which request, or which job, meets which fault."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic

from ..fault_kinds import FaultT

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping


class FaultPlan(Generic[FaultT]):
    """
    The faults of the next requests, or jobs: the scripted ones first and in order, then by probability.

    `possible` are the faults that can be scripted; None means all.
    """

    def __init__(
        self, chances: Mapping[FaultT, float], rng: random.Random, *, possible: frozenset[FaultT] | None = None
    ) -> None:
        self._script: deque[FaultT | None] = deque()
        self._rng = rng
        self._possible = possible
        self._thresholds = _thresholds(chances)

    def __repr__(self) -> str:
        return f"<FaultPlan: {len(self._script)} scripted, {len(self._thresholds)} by chance>"

    def script(self, faults: Iterable[FaultT | None]) -> None:
        """Append faults for the next requests; None is a good reply. Raises ValueError for an impossible fault."""
        wanted = tuple(faults)
        possible = self._possible
        impossible = [fault.value for fault in wanted if possible and fault is not None and fault not in possible]
        if impossible:
            raise ValueError(f"this endpoint cannot have the faults {', '.join(impossible)}")
        self._script.extend(wanted)

    def draw(self) -> FaultT | None:
        """Return the fault of the next request and remove it from the script."""
        if self._script:
            return self._script.popleft()
        if not self._thresholds:
            return None
        roll = self._rng.random()
        return next((fault for threshold, fault in self._thresholds if roll < threshold), None)


def _thresholds(chances: Mapping[FaultT, float]) -> tuple[tuple[float, FaultT], ...]:
    """Return the running totals of the probabilities, so that one random number chooses among all faults."""
    reached = 0.0
    thresholds: list[tuple[float, FaultT]] = []
    for fault, chance in chances.items():
        reached += chance
        thresholds.append((reached, fault))
    return tuple(thresholds)
