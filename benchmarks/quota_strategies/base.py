"""What a strategy is: something that sends a request again until it is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


@dataclass(frozen=True)
class Reply:
    """A client's view of one exchange; `retry_after` is None unless the request was refused."""

    retry_after: int | None
    headers: Mapping[str, str] | None


Exchange: TypeAlias = "Callable[[], Awaitable[Reply]]"


class Strategy(Protocol):
    """One way of keeping to a quota, shared by all workers."""

    async def send(self, exchange: Exchange) -> None:
        """Send one request, again and again until it is accepted."""
        ...
