"""Events in a list, for tests and for programs that read them afterwards."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .base import Sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event


class MemorySink(Sink):
    """Keeps the last `max_events` events in `events`."""

    def __init__(self, max_events: int = 100_000) -> None:
        self.events: deque[Event] = deque(maxlen=max_events)

    def __repr__(self) -> str:
        return f"<MemorySink with {len(self.events)} events>"

    async def write(self, events: Sequence[Event]) -> None:
        """Keep the events."""
        self.events.extend(events)
