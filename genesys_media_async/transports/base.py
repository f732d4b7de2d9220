"""The seam between the package and what carries its requests, with the errors that this must raise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

from msgspec import Struct

from ..records import Record

MAX_REPLY_SIZE = 64 * 1024
"""Bytes of a reply's body, unless its caller allows more or fewer."""


class RequestHead(Record, frozen=True, gc=False, eq=False):
    """
    What many requests have in common: the method, the beginning of the URL, the headers. Its repr shows no header.

    `base` is a URL without its path, or with the beginning of it, and without a slash at its end. A transport may keep
    the encoded form of a head for the next request with the same object, so `headers` must not change.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"headers"})

    method: str
    base: str
    headers: Mapping[str, str]


class HttpRequest(Struct, frozen=True, gc=False):
    """
    A whole request; its repr shows neither headers nor body, which may hold secrets.

    `path` is what follows the head's `base` in the URL. A `fresh` request should travel over a connection that has
    carried no other, if the transport can choose.
    """

    head: RequestHead
    path: str
    body: bytes = b""
    fresh: bool = False

    @classmethod
    def to(
        cls, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", *, fresh: bool = False
    ) -> HttpRequest:
        """Return a request with a head of its own."""
        path_at = url.find("/", url.find("://") + 3)
        base, path = (url, "") if path_at < 0 else (url[:path_at], url[path_at:])
        return cls(RequestHead(method, base, headers), path, body, fresh)

    @property
    def method(self) -> str:
        """The method of the head."""
        return self.head.method

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.head.base + self.path

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the head."""
        return self.head.headers

    def __repr__(self) -> str:
        return f"HttpRequest(method={self.method!r}, url={self.url!r})"


class HttpReply(Record, frozen=True, gc=False):
    """
    A whole reply; its repr shows neither headers nor body, which may hold secrets.

    Header names are lower-case. If a header is repeated in the same spelling, the last one counts.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"headers", "body"})

    status: int
    headers: Mapping[str, str]
    body: bytes


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

        A body that was compressed by gzip or deflate is inflated, and the body of an error reply is cut at
        `max_reply_size` bytes. Raises `ConnectError` if nothing was sent, `APITimeoutError`, `InvalidResponseError` for
        a reply that is compressed otherwise or has more bytes, `StaleConnectionError` if a connection that had carried
        other requests was closed before any byte of the reply, and `APIConnectionError` for any other failure.
        """
        ...

    async def aclose(self) -> None:
        """Close what the transport opened."""
        ...
