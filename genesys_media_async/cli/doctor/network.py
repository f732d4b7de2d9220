"""Checks of a host: its name, its port and its TLS."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio
from anyio.streams.tls import TLSAttribute, TLSStream

from ...errors import SettingsError
from ...transports.proxies import read_proxies
from ...transports.tls import ADVICE, tls_context, tls_words
from ..exit_codes import ExitCode
from ..output.streams import reason
from .findings import Finding

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from ...settings.settings import Settings

TIMEOUT: Final = 10.0
CERTIFICATE_WARNING: Final = 14 * 86_400.0


def check_environment(settings: Settings) -> list[Finding]:
    """Check the certificates and the proxies that the environment names; nothing is found if all is well."""
    findings: list[Finding] = []
    try:
        tls_context()
    except SettingsError as error:
        findings.append(Finding("certificates", "problem", error.message, error.advice))
    try:
        proxies = read_proxies(settings)
        for url in (settings.token_url, settings.api_url):
            proxies.proxy_for(url)
    except SettingsError as error:
        findings.append(Finding("proxy", "problem", error.message, error.advice))
    return findings


async def check_network(settings: Settings) -> list[Finding]:
    """Check the login host and the API host; behind a proxy only requests can show whether they are there."""
    proxies = read_proxies(settings)
    login, api = urlsplit(settings.token_url), urlsplit(settings.api_url)
    findings: list[Finding] = []
    for name, parts in {login.netloc: ("login", login), api.netloc: ("API", api)}.values():
        proxy = proxies.proxy_for(parts.geturl())
        if proxy is not None:
            message = f"requests go through the proxy of {proxy.source}; without one, nothing is checked here"
            findings.append(Finding(f"proxy {name}", "ok", message))
            continue
        findings.append(await look_up(name, parts))
        if findings[-1].verdict != "problem":
            findings.append(await connect(name, parts))
    return findings


async def look_up(name: str, url: SplitResult) -> Finding:
    """Resolve a URL's host."""
    check, (host, port) = f"DNS {name}", _address(url)
    try:
        with anyio.fail_after(TIMEOUT):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        repair = "Check the region or the host name, and this machine's DNS."
        return Finding(check, "problem", f"{host} is not found: {_why(error)}", repair)
    addresses = sorted({str(each[4][0]) for each in found})
    return Finding(check, "ok", f"{host} is {', '.join(addresses[:3])}{' ...' * (len(addresses) > 3)}")


async def connect(name: str, url: SplitResult) -> Finding:
    """Connect to a URL's host, with TLS if the URL has it; nothing is sent."""
    check, (host, port) = f"connection {name}", _address(url)
    began = time.monotonic()
    try:
        with anyio.fail_after(TIMEOUT):
            async with await anyio.connect_tcp(host, port) as stream:
                if url.scheme == "http":
                    return Finding(check, "ok", f"port {port} in {milliseconds_since(began)}, plain http")
                tls = await TLSStream.wrap(stream, hostname=host, ssl_context=tls_context(), standard_compatible=False)
    except ssl.SSLError as error:
        return _tls_problem(check, f"TLS with {host} port {port} fails", error)
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        repair = "Check the network, the firewall, and whether GENESYS_MEDIA_PROXY has to name a proxy."
        message = f"{host} port {port} cannot be reached: {_why(error)}"
        return Finding(check, "problem", message, repair, ExitCode.RETRYABLE_FAILURES)
    certificate, version = tls.extra(TLSAttribute.peer_certificate), tls.extra(TLSAttribute.tls_version)  # noqa: S610
    left = ssl.cert_time_to_seconds(str((certificate or {}).get("notAfter"))) - time.time()
    message = f"port {port} in {milliseconds_since(began)}, {version}, certificate valid for {left / 86_400:.0f} days"
    if left < CERTIFICATE_WARNING:
        return Finding(check, "warning", message, "The owner of that host has to renew the certificate.")
    return Finding(check, "ok", message)


def milliseconds_since(began: float) -> str:
    """Return the time since a moment of the monotonic clock."""
    return f"{(time.monotonic() - began) * 1_000:.0f} ms"


def _tls_problem(check: str, message: str, error: ssl.SSLError) -> Finding:
    return Finding(check, "problem", f"{message}: {tls_words(error)}", ADVICE)


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {TIMEOUT:.0f} s"
    return (reason(error) if isinstance(error, OSError) else str(error)) or "the connection was closed"
