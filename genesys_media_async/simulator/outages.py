"""Outages: the times at which a part of the simulated cloud is not there, and what its clients meet instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..clock import Clock

LOGIN_PREFIX = "/oauth/"

Part = Literal["all", "api", "login"]
"""The part of the cloud that an outage is of."""


class OutageKind(Enum):
    """What a client meets in an outage; the values are the names on the command line and in reports."""

    REFUSED = "refused"
    """Nothing listens: no connection can be made, and the open ones are reset."""
    RESET = "reset"
    """Every connection is reset as soon as a request has arrived."""
    HALF_OPEN = "half-open"
    """Every connection is closed in order, without a reply, when a request has arrived."""
    BLACK_HOLE = "black-hole"
    """Requests arrive nowhere: there is no reply, and no end of the connection."""
    UNAVAILABLE = "unavailable"
    """A gateway answers 503 to everything."""


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage of a `part`, from `begins_at` to `ends_at` (seconds of the monotonic clock)."""

    kind: OutageKind
    part: Part
    begins_at: float
    ends_at: float

    def is_met(self, path: str, now: float) -> bool:
        """Return whether a request for a path meets it."""
        if not self.begins_at <= now < self.ends_at:
            return False
        return self.part == "all" or (self.part == "login") == path.startswith(LOGIN_PREFIX)


class OutagePlan:
    """The outages of a simulator, and the times at which requests met them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._planned: list[Outage] = []
        self.met: list[float] = []
        """When each request met an outage, in seconds of the monotonic clock; such a request reached nobody."""

    def __repr__(self) -> str:
        return f"<OutagePlan: {len(self._planned)} outages, met by {len(self.met)} requests>"

    def add(self, kind: OutageKind, seconds: float, *, after: float, part: Part) -> Outage:
        """Plan an outage that begins in `after` seconds. Raises ValueError for negative times."""
        if seconds < 0 or after < 0:
            raise ValueError("an outage cannot begin in the past, or last less than no time")
        begins_at = self._clock.monotonic() + after
        outage = Outage(kind, part, begins_at, begins_at + seconds)
        self._planned.append(outage)
        return outage

    def meet(self, path: str) -> OutageKind | None:
        """Return what a request for a path meets now, and count it; None if all is well."""
        if not self._planned:
            return None
        now = self._clock.monotonic()
        for outage in self._planned:
            if outage.is_met(path, now):
                self.met.append(now)
                return outage.kind
        return None
