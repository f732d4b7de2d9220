"""The seam: one method that takes events, and one that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Event


class Sink(Protocol):
    """
    Where events go.

    The same sink can stand in either lane. In the audit lane `write` is awaited for every record before the result is
    told to anyone, and an exception ends the run. In the metrics lane it is called in the background with what has
    come together; an exception is logged, the events are counted as dropped, and the run goes on.
    """

    async def write(self, events: Sequence[Event]) -> None:
        """Take events in their order; calls never overlap."""
        ...

    async def aclose(self) -> None:
        """Write out what is held back and close; called once, after the last `write`, even if that was given up."""
        ...
