"""
Which proxy, if any, carries the requests for a URL: by the settings, else the environment, else the operating system.

The variables are those of curl and CPython: `https_proxy` and `http_proxy` for URLs of that scheme, `all_proxy` for
both, `no_proxy` for the hosts that need none. Lower case wins over upper case, and an empty variable names nothing.
See https://curl.se/docs/manpage.html#ENVIRONMENT and https://curl.se/libcurl/c/CURLOPT_NOPROXY.html.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from ..errors import SettingsError
from ..settings.checked import secret_text
from ..settings.environment import ENVIRONMENT
from ..settings.urls import check_proxy, is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from urllib.parse import SplitResult

    from ..settings.settings import Settings

KINDS: Final = ("http", "https", "all")
PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
SOCKS: Final = ("socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and `source`, the variable or setting that names it; its repr shows no user name and no password."""

    source: str
    address: str
    credentials: tuple[str, str] | None = field(default=None, repr=False)

    def for_httpx(self) -> httpx.Proxy:
        """Return it as httpx takes it."""
        return httpx.Proxy(self.address, auth=self.credentials)


@dataclass(frozen=True, slots=True)
class Proxies:
    """
    The proxies that are named, by kind, each as its source and its URL, and the exceptions of NO_PROXY.

    `setting` is the URL of the settings, which wins for every host. `is_bypassed` is the operating system's rule about
    hosts without a proxy.
    """

    named: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]], repr=False)
    exceptions: tuple[str, ...] = ()
    setting: str | None = field(default=None, repr=False)
    is_bypassed: Callable[[str], bool] = lambda _: False

    def proxy_for(self, url: str) -> Proxy | None:
        """
        Return the proxy for a URL, None if it is requested directly, as everything on this machine is.

        Raises `SettingsError` if that proxy cannot be used; one that no URL needs may be anything.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if is_loopback(host):
            return None
        if self.setting is not None:
            return _checked(f"the setting proxy (or {ENVIRONMENT['proxy'][0]})", self.setting)
        found = self.named.get(parts.scheme) or self.named.get("all")
        if found is None or any(is_excepted(entry, parts) for entry in self.exceptions) or self.is_bypassed(host):
            return None
        source, address = found
        return _checked(source, address if "://" in address else f"http://{address}")


def read_proxies(settings: Settings) -> Proxies:
    """Return the proxies of the settings, of this process's environment or else of the operating system."""
    setting = secret_text(settings.proxy) if settings.proxy is not None else None
    found = proxies_in(os.environ, setting)
    if found.named or found.exceptions:
        return found
    # Without any variable these are the system's own, where a system has some: on macOS and Windows.
    named = {kind: (f"the system's {kind} proxy", url) for kind, url in getproxies().items() if kind in KINDS}
    return Proxies(named, setting=setting, is_bypassed=lambda host: bool(proxy_bypass(host)))


def proxies_in(environ: Mapping[str, str], setting: str | None = None) -> Proxies:
    """Return what the variables of an environment name. Never raises, whatever they hold."""
    # Upper case first, so that lower case replaces it.
    values: dict[str, tuple[str, str]] = {}
    for name in sorted(environ):
        kind = name.lower().removesuffix("_proxy")
        if kind == name.lower() or kind not in {*KINDS, "no"}:
            continue
        if kind == "http" and name != "http_proxy" and "REQUEST_METHOD" in environ:
            # In a CGI script this variable is the client's Proxy header: https://httpoxy.org/.
            continue
        values[kind] = name, environ[name].strip()
    named = {kind: (name, text) for kind, (name, text) in values.items() if text and kind != "no"}
    _, exceptions = values.get("no", ("", ""))
    return Proxies(named, tuple(re.split(r"[,\s]+", exceptions.strip(", \t\r\n"))) if exceptions else (), setting)


def is_excepted(entry: str, url: SplitResult) -> bool:
    """
    Return whether an entry of NO_PROXY excepts a URL; one that cannot be understood excepts nothing.

    An entry is `*`, a domain with all its hosts (`example.com`, `.example.com`, `*.example.com`), an address, or a
    network (`10.0.0.0/8`, `fd00::/8`), each with a port if it holds for that port only.
    """
    scheme, mark, entry = entry.rpartition("://")
    if mark and scheme.lower() != url.scheme:
        return False
    pattern, port = _split_port(entry)
    if port and port != str(url.port or PORTS.get(url.scheme)):
        return False
    if pattern == "*":
        return True
    host = (url.hostname or "").rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _is_domain_of(pattern, host)
    try:
        return address in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False


def _split_port(entry: str) -> tuple[str, str]:
    """Return an entry without its port, and the port; an IPv6 address has a port only after brackets."""
    if entry.startswith("["):
        address, _, rest = entry[1:].partition("]")
        return (address, rest[1:]) if rest.startswith(":") else (address + rest, "")
    if entry.count(":") == 1:
        pattern, _, port = entry.partition(":")
        return pattern, port
    return entry, ""


def _is_domain_of(pattern: str, host: str) -> bool:
    domain = pattern.removeprefix("*").strip(".").lower()
    try:
        domain = domain if domain.isascii() else domain.encode("idna").decode()
    except UnicodeError:
        return False
    return bool(domain) and f".{host}".endswith(f".{domain}")


def _checked(source: str, url: str) -> Proxy:
    """Return a proxy that can be used. Raises `SettingsError`, which names its source and quotes nothing of it."""
    scheme = url.partition("://")[0].lower()
    if scheme in SOCKS and find_spec("socksio") is None:
        raise _unusable(source, "is a SOCKS proxy, for which a package is missing: pip install 'httpx[socks]'")
    try:
        check_proxy(url, schemes=(*PORTS, *SOCKS))
        parts = urlsplit(url)
        credentials = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
        proxy = Proxy(source, f"{scheme}://{parts.netloc.rpartition('@')[2]}", credentials)
        proxy.for_httpx()
    except httpx.InvalidURL:
        raise _unusable(source, "has a host that is none") from None
    except ValueError as error:
        raise _unusable(source, str(error)) from None
    return proxy


def _unusable(source: str, rule: str) -> SettingsError:
    return SettingsError(f"{source} {rule}.", advice="Correct it, or remove it.")
