"""What an attempt needs before it is sent, where it has to be waited for: the host, a permit, and the token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from ..errors import DeadlineExceededError, GenesysMediaError
from .retry import Failures

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..clock import Clock
    from ..limiter.base import Limiter
    from ..quota.permit import Permit
    from .base import TokenSource
    from .host_gate import HostGate


NOTHING = GenesysMediaError("Nothing has failed.")


@dataclass(slots=True)
class Past:
    """What a call needs to know only once it has waited or failed."""

    ends_at: float
    failures: Failures = field(default_factory=Failures)
    retries_paid: int = 0
    fresh: bool = False
    is_probe: bool = False
    is_outage: bool = False
    failure: GenesysMediaError = NOTHING
    """Of the last attempt, or the reason why there was none."""
    correlation_id: str | None = None
    last: GenesysMediaError | None = None
    """The failure that was last retried."""


class Clearance:
    """Waits for what an attempt needs; `use_token` gets the token before the permit is returned."""

    def __init__(
        self,
        gate: HostGate,
        limiter: Limiter,
        tokens: TokenSource,
        clock: Clock,
        use_token: Callable[[str], None],
    ) -> None:
        self._gate = gate
        self._health = gate.health
        self._limiter = limiter
        self._tokens = tokens
        self._monotonic = clock.monotonic
        self._use_token = use_token

    async def wait(self, permit: Permit | None, past: Past) -> Permit | None:
        """
        Wait for a host that is down, then for a permit and the token; the host may be down again by then.

        Return the permit, or None if there is none: `past` then has the failure.
        """
        has_token = False
        try:
            with anyio.move_on_after(past.ends_at - self._monotonic()):
                while permit is None or not has_token:
                    if self._health.is_down:
                        past.is_probe = await self._gate.wait()
                    permit, has_token = await self._permit_and_token(permit, past)
                return permit
            raise DeadlineExceededError("There was no permit, or no token, in time.")
        except GenesysMediaError as refusal:
            past.failure, past.correlation_id = refusal.without_frames(), None
            return None

    async def _permit_and_token(self, permit: Permit | None, past: Past) -> tuple[Permit | None, bool]:
        """Wait for both; without either if a host has gone down meanwhile."""
        try:
            if permit is None:
                permit = await self._limiter.acquire(deadline=past.ends_at)
            if past.is_probe or not self._health.is_down:
                current = self._tokens.current
                is_fresh = self._monotonic() < current.refresh_at
                self._use_token(current.value if is_fresh else await self._tokens.get())
                if past.is_probe or not self._health.is_down:
                    return permit, True
        except BaseException as error:
            if permit is not None:
                self._limiter.cancel(permit)
            if past.is_probe and not isinstance(error, GenesysMediaError):
                past.is_probe = False
                self._gate.release()
            raise
        self._limiter.cancel(permit)
        return None, False
