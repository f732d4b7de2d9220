"""Requests through httpx: a client of the user's, any httpx transport, or a client of our own."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, assert_never, cast

import anyio
import httpx

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    ConnectionSetupError,
    GenesysMediaError,
    StaleConnectionError,
    sanitized,
)
from .base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from .connection import StaleConnection
from .content import bounded, decoded
from .httpx_logs import install, masked
from .leftovers import close_if_more_follows
from .tls import certificate_error, tls_context, tls_failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .proxies import Proxy

_NO_REPLY = "Server disconnected without sending a response"
"""How httpcore's error begins for an end of the connection; its other protocol errors are about what was sent."""

CLOSE_TIMEOUT = 2.0
"""Seconds that closing may take, so that a connection in trouble does not hold up an exchange."""

_PASSING_REFUSAL = re.compile(r"5\d\d|408|429|Proxy Server could not connect")
"""How the reply of a proxy begins that may connect later; the words are httpcore's, for SOCKS."""

_WRONG_CREDENTIALS = re.compile(r"407|Invalid username|Requested ")
"""Likewise of one that wants other credentials."""


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

    A connection on which a server sent more than the reply is not used again, as long as httpx's own transports carry
    and no event hook of the client's owner reads the replies first; what another transport does is its own affair.
    """

    def __init__(self, carrier: httpx.AsyncClient | httpx.AsyncBaseTransport, *, owned: bool = False) -> None:
        install()
        self._carrier = carrier
        self._owned = owned
        self._proxy: Proxy | None = None

    @classmethod
    def through(
        cls, proxy: Proxy | None, ssl_context: ssl.SSLContext | None = None, *, keep: int | None = None
    ) -> HttpxTransport:
        """
        Create a transport of our own, through a proxy or without one; it keeps at most `keep` idle connections.

        Neither the environment nor a `.netrc` has a say in it. Without a client around it httpx logs no URL, which may
        be a webhook's with a key. Raises `SettingsError` if there are no certificates to check others by.
        """
        carrier = httpx.AsyncHTTPTransport(
            verify=tls_context() if ssl_context is None else ssl_context,
            trust_env=False,
            proxy=None if proxy is None else proxy.for_httpx(),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=keep),
        )
        transport = cls(carrier, owned=True)
        transport._proxy = proxy
        return transport

    def __repr__(self) -> str:
        return f"<HttpxTransport by {type(self._carrier).__name__}>"

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        """Send a request and return the complete reply; see `Transport.exchange`."""
        steps = _Steps()
        with anyio.move_on_after(timeout):
            try:
                with masked():
                    return await self._exchange(request, max_reply_size, steps)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                # "from None": httpx's exceptions carry the request, and some quote header values.
                raise _translated(error, request.url, self._proxy, steps) from None
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
    status = response.status_code
    if response.is_stream_consumed:
        # A mock's response was read, and decoded, when it was made, and cannot be streamed.
        return bounded(response.content, status, max_reply_size)
    body = bytearray()
    # The stream itself: httpx's `aiter_bytes` would inflate before it could be measured, and its `aiter_raw` frees the
    # connection before it could be looked at.
    chunks = aiter(cast("httpx.AsyncByteStream", response.stream))
    try:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_reply_size:
                return bounded(bytes(body), status, max_reply_size)
        close_if_more_follows(response)
    finally:
        # A generator that is merely dropped is ended by the event loop, later, in a task of its own.
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()
    return decoded(bytes(body), headers.get("content-encoding", ""), status, max_reply_size)


def _translated(error: Exception, url: str, proxy: Proxy | None, steps: _Steps) -> GenesysMediaError:
    match error:
        case httpx.InvalidURL():
            # httpx quotes what may be a password.
            return ConnectError("No connection: the URL is not valid.", advice="Correct the URL.")
        case httpx.ProxyError():
            return _refused_by_proxy(error, proxy)
        case httpx.ConnectError() | httpx.UnsupportedProtocol():
            words = tls_failure(error) if url.lower().startswith("https:") else None
            words = words or sanitized(str(error)) or type(error).__name__
            return certificate_error(error, url) or ConnectError(f"No connection: {words}.")
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


def _refused_by_proxy(error: httpx.ProxyError, proxy: Proxy | None) -> ConnectError:
    """
    Return the error for a proxy that made no connection: for now, or until its setting is repaired.

    A wrong password is not sent again: some directories lock an account after a few.
    """
    reply, source = sanitized(str(error)), "the client" if proxy is None else proxy.source
    message = f"No connection: the proxy of {source} answered {reply}."
    if _PASSING_REFUSAL.match(reply):
        return ConnectError(message)
    advice = f"Ask whoever runs it to allow connections to this host, or name another proxy by {source}."
    if _WRONG_CREDENTIALS.match(reply):
        advice = (
            f"Give {source} the right user name and password, as in http://user:password@proxy.example.com:3128, with "
            "special characters percent-encoded."
        )
    return ConnectionSetupError(message, code="proxy_refused", advice=advice)
