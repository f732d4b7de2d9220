"""Repeated ids of a run: asked once, answered each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import MediaResult

HALF = 2_048
"""Half of the ids whose results are kept to answer duplicates; a bound, so that memory does not grow with the input."""


class SingleFlight:
    """
    The results of ids in flight, and of the latest ids that are done.

    The dicts are public: a run touches them for every id, without a call.
    """

    def __init__(self) -> None:
        self.in_flight: dict[str, list[MediaResult]] = {}
        """The results so far of each id in flight."""
        # Two halves, the older of which is dropped whole: a dict is slow to give up its first entry.
        self.recent: dict[str, Sequence[MediaResult]] = {}
        self.earlier: dict[str, Sequence[MediaResult]] = {}
        self.waiting: dict[str, asyncio.Event] = {}
        """Set at the end of an id in flight, for ids that repeat it."""

    def forget(self) -> None:
        """Drop the older half of what is remembered."""
        self.recent, self.earlier = {}, self.recent

    def let_go(self, file_id: str) -> None:
        """Forget an id in flight, and wake those that wait for it."""
        self.in_flight.pop(file_id, None)
        if file_id in self.waiting:
            self.waiting.pop(file_id).set()

    async def wait(self, file_id: str) -> None:
        """Wait for the end of an id in flight."""
        await self.waiting.setdefault(file_id, asyncio.Event()).wait()
