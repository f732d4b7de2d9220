"""Is a host there, and what does it say of itself? By name, by port, and by TLS."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Final

import anyio
from anyio.streams.tls import TLSAttribute, TLSStream

from ...transports.tls import tls_context
from ..exit_codes import ExitCode
from ..output.streams import reason
from .findings import Finding

if TYPE_CHECKING:
    from urllib.parse import SplitResult

TIMEOUT: Final = 10.0
CERTIFICATE_WARNING: Final = 14 * 86_400.0


async def look_up(name: str, url: SplitResult) -> Finding:
    """Look for the addresses of a URL's host."""
    check, (host, port) = f"DNS {name}", _address(url)
    try:
        with anyio.fail_after(TIMEOUT):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        repair = "Check the region or the host, and this machine's name service."
        return Finding(check, "problem", f"{host} is not found: {_why(error)}", repair)
    addresses = sorted({str(each[4][0]) for each in found})
    return Finding(check, "ok", f"{host} is {', '.join(addresses[:3])}{' …' * (len(addresses) > 3)}")


async def connect(name: str, url: SplitResult) -> Finding:
    """Connect to a URL's host, with TLS where the URL has it; nothing is sent."""
    check, (host, port) = f"connection {name}", _address(url)
    began = time.monotonic()
    try:
        with anyio.fail_after(TIMEOUT):
            async with await anyio.connect_tcp(host, port) as stream:
                if url.scheme == "http":
                    return Finding(check, "ok", f"port {port} in {milliseconds(began)}, plain http")
                tls = await TLSStream.wrap(stream, hostname=host, ssl_context=tls_context(), standard_compatible=False)
    except ssl.SSLError as error:
        repair = (
            "Check this machine's clock, and whether something in between opens TLS connections: its root certificate "
            "goes into the file that SSL_CERT_FILE names."
        )
        why = getattr(error, "verify_message", "") or error.reason
        return Finding(check, "problem", f"TLS with {host} port {port} fails: {why}", repair)
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        repair = "Check the network, the firewall, and whether a proxy has to be named by GENESYS_MEDIA_PROXY."
        said = f"{host} port {port} cannot be reached: {_why(error)}"
        return Finding(check, "problem", said, repair, ExitCode.FAILED_FOR_NOW)
    certificate, version = tls.extra(TLSAttribute.peer_certificate), tls.extra(TLSAttribute.tls_version)  # noqa: S610
    left = ssl.cert_time_to_seconds(str((certificate or {}).get("notAfter"))) - time.time()
    said = f"port {port} in {milliseconds(began)}, {version}, certificate good for {left / 86_400:.0f} days"
    if left < CERTIFICATE_WARNING:
        return Finding(check, "warning", said, "Whoever runs that host has to renew it.")
    return Finding(check, "ok", said)


def milliseconds(began: float) -> str:
    """Return for how long something has been going on that began then, by the monotonic clock."""
    return f"{(time.monotonic() - began) * 1_000:.0f} ms"


def _address(url: SplitResult) -> tuple[str, int]:
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer in {TIMEOUT:.0f} s"
    return (reason(error) if isinstance(error, OSError) else str(error)) or "it was closed"
