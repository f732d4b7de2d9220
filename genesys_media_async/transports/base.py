"""The seam between the package and what carries its requests, with the errors that this must raise."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from ..records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REPLY_SIZE = 64 * 1024
"""Bytes of a reply's body, unless its caller allows more or fewer."""


@record
class HttpRequest:
    """
    A whole request; its repr shows neither headers nor body, which may hold secrets.

    Once handed over, `headers` must not change: a transport may keep the encoded form of a mapping for the next
    request with the same one. A `fresh` request should travel over a connection that has carried no other, if the
    transport can choose.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    fresh: bool = field(default=False, repr=False)


@record
class HttpReply:
    """
    A whole reply; its repr shows neither headers nor body, which may hold secrets.

    Header names are lower-case. If a header is repeated in the same spelling, the last one counts.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """
    Carries one request at a time for each caller, and those of many callers at once.

    It follows no redirect, sends no credentials of its own and repeats nothing: retries are decided where the quota
    is paid.
    """

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        """
        Send a request and return the complete reply within `timeout` seconds.

        Raises `ConnectError` if nothing was sent, `APITimeoutError`, `InvalidResponseError` for a reply that is
        compressed or has more than `max_reply_size` bytes, `StaleConnectionError` if a connection that had carried
        other requests was closed before any byte of the reply, and `APIConnectionError` for any other failure.
        """
        ...

    async def aclose(self) -> None:
        """Close what the transport opened."""
        ...
