"""The seam: what the package needs of whatever gives out the permits of a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..quota.permit import Permit, QuotaState


class Limiter(Protocol):
    """
    Gives out the permits of one token: each request takes one before it is sent.

    Each permit goes back exactly once, by `complete`, `reject` or `cancel`. Times are seconds of the monotonic clock
    that the limiter was made with.
    """

    @property
    def waiting(self) -> int:
        """How many callers wait for a permit."""
        ...

    def state(self) -> QuotaState:
        """Return the state of the quota now; reading it changes nothing."""
        ...

    def try_acquire(self, now: float) -> Permit | None:
        """Return a permit if there is one at `now` and nobody waits for it; never waits."""
        ...

    async def acquire(self, *, deadline: float) -> Permit:
        """
        Wait for a permit, after all who came before.

        A caller that is cancelled holds no permit. Raises `RateLimitError` as soon as it is known that a pause lasts
        beyond `deadline`.
        """
        ...

    def complete(self, permit: Permit, headers: Mapping[str, str] | None = None) -> None:
        """
        Give back the permit of a request that was sent; `headers` are its reply's, with lower-case names.

        Without a reply there are no headers, and the request may have been counted all the same.
        """
        ...

    def reject(self, permit: Permit, pause: float, *, has_retry_after: bool = True) -> None:
        """
        Give back the permit of a request that was answered 429, and pause all requests for `pause` seconds.

        `has_retry_after` means that Genesys named the time.
        """
        ...

    def cancel(self, permit: Permit) -> None:
        """Give back the permit of a request that was not sent: it is free at once."""
        ...
