"""The seam of tokens: where the client gets the bearer token of its next request."""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from ..records import Record


class Token(Record, frozen=True, gc=False):
    """
    A bearer token with the times (monotonic seconds) that decide about its use.

    From `refresh_at` on a new one should be requested; from `hard_end` on it must not be used.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"value"})

    value: str
    refresh_at: float
    hard_end: float


NO_TOKEN: Final = Token("", -float("inf"), -float("inf"))
"""What a source has before its first token; never fresh."""


class TokenSource(Protocol):
    """
    Provides one bearer token for every request of a retriever.

    `current` and `unaccepted` are read for every request, so they should be plain attributes.
    """

    @property
    def current(self) -> Token:
        """The newest token, or `NO_TOKEN`; usable without `get` before its `refresh_at`."""
        ...

    @property
    def unaccepted(self) -> int:
        """How many tokens in a row the API has rejected without accepting one."""
        ...

    async def get(self) -> str:
        """
        Return a valid token; wait for a new one if necessary.

        Raises `CredentialsRejectedError` if none can be obtained, `TokenUnavailableError` if none can at the moment.
        """
        ...

    async def first(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for a token. Raises what `get` raises."""
        ...

    def invalidate(self, rejected: str) -> None:
        """Discard the token that the API answered with 401, unless it has been replaced already."""
        ...

    def accepted(self) -> None:
        """Reset `unaccepted`: the API accepted a token."""
        ...
