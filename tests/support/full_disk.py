"""An audit sink that fails."""

from __future__ import annotations


class FullDisk:
    """An audit sink that has room for a few records."""

    def __init__(self, room: int) -> None:
        self.room = room

    async def write(self, events) -> None:
        self.room -= len(events)
        if self.room < 0:
            raise OSError(28, "No space left on device")

    async def aclose(self) -> None:
        pass
