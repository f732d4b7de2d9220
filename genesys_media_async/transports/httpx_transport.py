"""Requests through httpx: a client of the user's, any httpx transport, or a client of our own."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, assert_never

import anyio
import httpx

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    ConnectionSetupError,
    GenesysMediaError,
    InvalidResponseError,
    sanitized,
)
from .base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from .httpx_logs import install, masked
from .tls import certificate_error, tls_context, tls_failure

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from .proxies import Proxy

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
        with anyio.move_on_after(timeout):
            try:
                with masked():
                    return await self._exchange(request, max_reply_size)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                # "from None": httpx's exceptions carry the request, and some quote header values.
                raise _translated(error, request.url, self._proxy) from None
        raise APITimeoutError(f"No complete reply within {timeout:g} s.")

    async def _exchange(self, request: HttpRequest, max_reply_size: int) -> HttpReply:
        response = await self._send(request)
        try:
            headers = {name.lower(): value for name, value in response.headers.multi_items()}
            body = await _read(response, headers, max_reply_size)
        finally:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await response.aclose()
        return HttpReply(response.status_code, headers, body)

    async def _send(self, request: HttpRequest) -> httpx.Response:
        match self._carrier:
            case httpx.AsyncClient() as client:
                outgoing = _built(client.build_request, request)
                return await client.send(outgoing, stream=True, auth=None, follow_redirects=False)
            case httpx.AsyncBaseTransport() as transport:
                return await transport.handle_async_request(_built(httpx.Request, request))
            case _:
                assert_never(self._carrier)

    async def aclose(self) -> None:
        """Close the client, if it is our own."""
        if self._owned:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._carrier.aclose()


def _built(build: Callable[..., httpx.Request], request: HttpRequest) -> httpx.Request:
    try:
        if request.method.isascii():
            return build(request.method, request.url, headers=dict(request.headers), content=request.body)
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


def _translated(error: Exception, url: str, proxy: Proxy | None) -> GenesysMediaError:
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
