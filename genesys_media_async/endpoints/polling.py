"""When to ask again for what Genesys is preparing, and when to stop."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ..errors import SettingsError

if TYPE_CHECKING:
    from .base import EndpointContext

GROWTH = 1.5
SPREAD = 0.05


def check_patience(patience: float) -> float:
    """Return `patience`, or raise `SettingsError` unless it is a positive number of seconds."""
    if not patience > 0:
        raise SettingsError(f"patience is {patience!r}.", advice="It has to be a positive number of seconds.")
    return patience


class Polling:
    """
    The pauses between one question and the next, which hold no worker's place.

    They begin at `shortest` seconds and grow by half each time, up to `longest`. Where it is known how long it will
    take, the pause is that long, but no shorter: what is always nearly ready costs no more than what says nothing. A
    share that follows from `key` is added, so that what began together does not ask together. After `patience` seconds
    there is one question more, the last.
    """

    def __init__(self, context: EndpointContext, *, key: str, patience: float, shortest: float, longest: float) -> None:
        self._assignment = context
        self._began_at = context.clock.monotonic()
        self._patience = patience
        self._grown = shortest
        self._longest = longest
        self._stretch = 1 + SPREAD * zlib.crc32(key.encode()) / 2**32
        self._is_last = False

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._assignment.clock.monotonic() - self._began_at

    async def pause(self, expected: float | None = None) -> bool:
        """Wait until it is worth asking, `expected` seconds if that is known; False, at once, if patience is over."""
        left = self._patience - self.elapsed
        if self._is_last or left <= 0:
            return False
        pause = min(max(self._grown, expected or 0.0), self._longest) * self._stretch
        self._grown = min(self._grown * GROWTH, self._longest)
        self._is_last = pause >= left
        await self._assignment.sleep(min(pause, left))
        return True
