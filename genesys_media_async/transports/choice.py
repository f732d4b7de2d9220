"""Which transport carries the requests to each of the hosts that a retriever speaks to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import httpx

from ..errors import SettingsError, sanitized
from ..settings.checked import secret_text
from .base import Transport
from .direct import DirectTransport
from .httpx_transport import HttpxTransport
from .proxies import Proxy, read_proxies
from .tls import tls_context

if TYPE_CHECKING:
    from ..settings.settings import Settings

TransportChoice: TypeAlias = (
    httpx.AsyncClient | httpx.AsyncBaseTransport | Transport | Literal["auto", "direct", "httpx"]
)
"""How requests travel; see `MediaRetriever`."""

KEEP_IDLE = 30.0
"""Seconds for which an idle connection is kept: longer than the gaps of a paced run."""


class Transports:
    """
    The transports to the API, the login host and the receiver of webhooks, made for a choice.

    With `auto` a host is reached by the fast transport, which knows no proxy, unless a proxy applies to it: then by
    httpx. `name` is that of the API's transport in statistics. Raises `SettingsError` if a proxy or the certificates
    that are needed cannot be used.
    """

    def __init__(self, choice: TransportChoice, settings: Settings) -> None:
        self._owned: dict[Proxy | None, Transport] = {}
        self.api: Transport
        self.login: Transport
        self.webhook: Transport
        if isinstance(choice, str) and choice in {"auto", "direct", "httpx"}:
            self._open(choice, settings)
            self.name = "direct" if isinstance(self.api, DirectTransport) else "httpx"
        else:
            transport, self.name = _adapted(choice)
            self.api = self.login = self.webhook = transport

    def _open(self, choice: TransportChoice, settings: Settings) -> None:
        # With a fixed token nothing is asked of the login host.
        urls = [settings.api_url, settings.token_url if settings.access_token is None else settings.api_url]
        if settings.webhook is not None:
            urls.append(secret_text(settings.webhook.url))
        proxies = read_proxies(settings)
        routes = [None if choice == "direct" else proxies.proxy_for(url) for url in urls]
        # Made now, so that certificates that cannot be read end the run before it begins.
        context = tls_context() if any(url.lower().startswith("https:") for url in urls) else None
        for proxy in routes:
            if proxy in self._owned:
                continue
            if proxy is None and choice != "httpx":
                # The limiter and the workers bound what is in flight, so the connections need no bound of their own.
                limits = httpx.Limits(keepalive_expiry=KEEP_IDLE)
                self._owned[None] = DirectTransport(limits=limits, ssl_context=context)
            else:
                self._owned[proxy] = HttpxTransport.through(proxy, context, keep=settings.workers)
        self.api, self.login, *others = (self._owned[proxy] for proxy in routes)
        self.webhook = others[0] if others else self.api

    async def aclose(self) -> None:
        """Close those that were made here."""
        for transport in self._owned.values():
            await transport.aclose()


def _adapted(choice: TransportChoice) -> tuple[Transport, str]:
    """Return a client or a transport of the user's as a transport, and its name."""
    if isinstance(choice, httpx.Client):
        raise SettingsError("transport is a synchronous httpx.Client.", advice="Pass an httpx.AsyncClient.")
    match choice:
        case str():
            raise SettingsError(
                f"transport is {sanitized(repr(choice), 80)}.",
                advice='It is "auto", "direct", "httpx", or a client or transport of your own.',
            )
        case DirectTransport():
            return choice, "direct"
        case httpx.AsyncClient():
            return HttpxTransport(choice), "httpx"
        case httpx.AsyncBaseTransport():
            return HttpxTransport(choice), type(choice).__name__
        case _:
            return choice, type(choice).__name__
