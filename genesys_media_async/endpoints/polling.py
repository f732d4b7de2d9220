"""The pauses between polls for a thing that Genesys is preparing, and their end."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ..api.retry import curve, point
from ..errors import SettingsError

if TYPE_CHECKING:
    from typing import Self

    from .base import EndpointContext

GROWTH = 1.5
SPREAD = 0.05


def check_timeout(timeout: float) -> float:
    """Return `timeout`. Raises `SettingsError` unless it is a positive number of seconds."""
    if not timeout > 0:
        raise SettingsError(f"timeout is {timeout!r}.", advice="It has to be a positive number of seconds.")
    return timeout


class Poller:
    """
    The pauses between the polls for one thing; they occupy no worker.

    Pauses grow by half from `min_pause` to `max_pause` seconds. If the remaining time is known, the pause is that long,
    but never shorter: what is always nearly ready is not polled more often. Up to 5 % is added, by a hash of `key`, so
    that polls which began together do not stay together. After `timeout` seconds there is one last poll.

    From its first pause to the end of its block, the thing is one of the run's `jobs`.
    """

    def __init__(
        self, context: EndpointContext, *, key: str, timeout: float, min_pause: float, max_pause: float
    ) -> None:
        self._context = context
        self._began_at = context.clock.monotonic()
        self._timeout = timeout
        self._pauses = curve(min_pause, max_pause, GROWTH)
        self._max_pause = max_pause
        self._stretch = 1 + SPREAD * zlib.crc32(key.encode()) / 2**32
        self._count = 0
        self._is_last = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.counters.jobs -= self._count > 0

    @property
    def elapsed(self) -> float:
        """Seconds since polling began."""
        return self._context.clock.monotonic() - self._began_at

    async def wait_for_next(self, expected: float | None = None) -> bool:
        """
        Wait until the next poll is due and return True; return False at once after the last one.

        `expected` is the number of seconds until the thing should be ready, if that is known.
        """
        remaining = self._timeout - self.elapsed
        if self._is_last or remaining <= 0:
            return False
        self._context.counters.jobs += self._count == 0
        self._count += 1
        pause = min(max(point(self._pauses, self._count), expected or 0.0), self._max_pause) * self._stretch
        self._is_last = pause >= remaining
        await self._context.sleep(min(pause, remaining))
        return True
