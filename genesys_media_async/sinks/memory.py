"""Events in a list: for tests, and for programs that want to look afterwards."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event


class MemorySink:
    """Keeps the last `most` events in `events`."""

    def __init__(self, most: int = 100_000) -> None:
        self.events: deque[Event] = deque(maxlen=most)

    def __repr__(self) -> str:
        return f"<MemorySink with {len(self.events)} events>"

    async def write(self, events: Sequence[Event]) -> None:
        """Keep the events."""
        self.events.extend(events)

    async def aclose(self) -> None:
        """Do nothing: the events stay readable."""
