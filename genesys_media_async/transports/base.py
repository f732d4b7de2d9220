"""The seam: what the package asks of whatever carries a request, and the errors it must speak."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from ..records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REPLY_SIZE = 64 * 1024


@record
class HttpRequest:
    """
    A request, whole; headers and body may hold secrets and are not shown.

    Once handed over, `headers` must not change: a transport may keep what it has made of a mapping for the next
    request that has the same one.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@record
class HttpReply:
    """
    A reply, whole; header names are lower-case, and of one that was repeated, in the same spelling, the last counts.

    Headers and body may hold secrets and are not shown.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """
    Carries one request at a time for each caller, and many callers' at once.

    It follows no redirect, sends no credentials of its own and repeats nothing: retrying is decided elsewhere, where
    the quota is paid.
    """

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        """
        Send a request and return the complete reply within `timeout` seconds.

        Raises `ConnectError` where nothing was sent, `APITimeoutError`, `APIConnectionError` for any other failure to
        get a complete reply, and `InvalidResponseError` for one that is compressed or has more than `max_reply_size` bytes.
        """
        ...

    async def aclose(self) -> None:
        """Close what the transport opened."""
        ...
