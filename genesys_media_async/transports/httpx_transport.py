"""Requests through httpx: a client of the user's, any httpx transport, or a client of our own."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, assert_never

import anyio
import httpx

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
    StaleConnectionError,
    sanitized,
)
from ..settings.checked import secret_text
from .base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from .connection import StaleConnection
from .tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..settings.settings import Settings

_NO_REPLY = "Server disconnected without sending a response"
"""How httpcore's error begins for an end of the connection; its other protocol errors are about what was sent."""

CLOSE_TIMEOUT = 2.0
"""Seconds that closing may take, so that a connection in trouble does not hold up an exchange."""


class HttpxTransport:
    """
    Carries requests through httpx.

    A client keeps everything its owner set: proxies, certificates, event hooks, default headers, timeouts. Only its
    `auth` and its redirects are left out, since a bearer token must not go elsewhere. An `httpx.AsyncBaseTransport` is
    called directly, without a client around it. `aclose` closes only what is `owned`.

    httpx chooses the connection, so a `fresh` request may travel over a reused one. Whether a connection was reused is
    known from httpx's `trace` extension, unless the carrier does not use httpcore or an event hook replaces it; then
    such an end is an `APIConnectionError` like any other. The first line of a reply, cut off, counts as no byte of it.
    https://www.python-httpx.org/advanced/extensions/#trace
    """

    def __init__(self, carrier: httpx.AsyncClient | httpx.AsyncBaseTransport, *, owned: bool = False) -> None:
        self._carrier = carrier
        self._owned = owned

    @classmethod
    def from_settings(cls, settings: Settings) -> HttpxTransport:
        """Create a client: TLS 1.2 or newer, certificates checked, proxies from settings or environment."""
        client = httpx.AsyncClient(
            verify=tls_context(),
            proxy=secret_text(settings.proxy) if settings.proxy else None,
            # No proxy can reach this machine for us.
            mounts=dict.fromkeys(("all://127.0.0.1", "all://[::1]", "all://localhost")),
            # The whole exchange has a deadline; httpx's timeouts only bound the gaps between two bytes.
            timeout=None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=settings.workers),
        )
        return cls(client, owned=True)

    def __repr__(self) -> str:
        return f"<HttpxTransport by {type(self._carrier).__name__}>"

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        """Send a request and return the complete reply; see `Transport.exchange`."""
        steps = _Steps()
        with anyio.move_on_after(timeout):
            try:
                return await self._exchange(request, max_reply_size, steps)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                # "from None": httpx's exceptions carry the request, and some quote header values.
                raise _translated(error, steps) from None
        raise APITimeoutError(f"No complete reply within {timeout:g} s.")

    async def _exchange(self, request: HttpRequest, max_reply_size: int, steps: _Steps) -> HttpReply:
        response = await self._send(request, steps)
        try:
            headers = {name.lower(): value for name, value in response.headers.multi_items()}
            body = await _read(response, headers, max_reply_size)
        finally:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await response.aclose()
        return HttpReply(response.status_code, headers, body)

    async def _send(self, request: HttpRequest, steps: _Steps) -> httpx.Response:
        match self._carrier:
            case httpx.AsyncClient() as client:
                outgoing = _built(client.build_request, request, steps)
                return await client.send(outgoing, stream=True, auth=None, follow_redirects=False)
            case httpx.AsyncBaseTransport() as transport:
                return await transport.handle_async_request(_built(httpx.Request, request, steps))
            case _:
                assert_never(self._carrier)

    async def aclose(self) -> None:
        """Close the client, if it is our own."""
        if self._owned:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._carrier.aclose()


class _Steps:
    """Which of httpcore's steps an exchange took: whether it made a connection, and whether it waited for a reply."""

    def __init__(self) -> None:
        self._has_connected = False
        self._last = ""

    async def note(self, name: str, _: object) -> None:
        """Note a step; httpcore calls this before and after each of them."""
        self._has_connected = self._has_connected or ".connect" in name
        if name.startswith("http11.receive"):
            self._last = name

    @property
    def is_stale(self) -> bool:
        """Whether a reused connection of HTTP/1.1 ended while the head of the reply was awaited."""
        return not self._has_connected and self._last == "http11.receive_response_headers.failed"


def _built(build: Callable[..., httpx.Request], request: HttpRequest, steps: _Steps) -> httpx.Request:
    try:
        if request.method.isascii():
            return build(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                extensions={"trace": steps.note},
            )
    except UnicodeError:
        # What is raised below is outside of this, since this holds the whole value.
        pass
    raise ConnectError(
        "Nothing was sent: the method, the URL or a header has characters that HTTP has no bytes for.",
        retryable=False,
        advice="Correct the request.",
    )


async def _read(response: httpx.Response, headers: dict[str, str], max_reply_size: int) -> bytes:
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise InvalidResponseError(
            f"The reply is compressed ({sanitized(encoding, 40)}) although that was ruled out.",
            code="reply_compressed",
            status_code=response.status_code,
        )
    if response.is_stream_consumed:
        # A mock's response was read when it was made, and cannot be streamed.
        _check_length(len(response.content), response, max_reply_size)
        return response.content
    body = bytearray()
    # Raw, since the decoded stream would inflate before it could be measured.
    chunks = response.aiter_raw()
    try:
        async for chunk in chunks:
            body += chunk
            _check_length(len(body), response, max_reply_size)
    finally:
        # A generator that is merely dropped is ended by the event loop, later, in a task of its own.
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return bytes(body)


def _check_length(length: int, response: httpx.Response, max_reply_size: int) -> None:
    if length > max_reply_size:
        raise InvalidResponseError(
            f"The reply has more than {max_reply_size} bytes.", code="reply_too_large", status_code=response.status_code
        )


def _translated(error: Exception, steps: _Steps) -> GenesysMediaError:
    match error:
        case httpx.InvalidURL():
            # httpx quotes what may be a password.
            return ConnectError("No connection: the URL is not valid.", advice="Correct the URL.")
        case httpx.ConnectError() | httpx.ProxyError() | httpx.UnsupportedProtocol():
            return ConnectError(f"No connection: {sanitized(str(error)) or type(error).__name__}.")
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ConnectError("No connection in the time the HTTP client allows.")
        case httpx.TimeoutException():
            return APITimeoutError("No reply in the time the HTTP client allows.")
        case StaleConnection():
            return StaleConnectionError(f"{error}.")
        case httpx.ReadError() | httpx.RemoteProtocolError() if steps.is_stale and (
            isinstance(error, httpx.ReadError) or str(error).startswith(_NO_REPLY)
        ):
            return StaleConnectionError("The server closed a reused connection before the reply.")
        case _:
            return APIConnectionError(f"The connection broke before the reply was complete ({type(error).__name__}).")
