"""The rules for URLs in settings: https, or plain http to this machine; and for those of proxies."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")
"""Printable ASCII without spaces: the characters that are safe in a header and in a request line."""


@lru_cache(maxsize=64)
def is_loopback(host: str | None) -> bool:
    """Return True for a host name or an address that can only mean this machine."""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_url(url: str) -> SplitResult:
    """Split a URL into its parts. Raises `ValueError` that quotes nothing, since a part may be a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: check the host and the port") from None
    return parts


def check_url(url: str, *, example: str, query_allowed: bool = False) -> None:
    """Raise `ValueError` for a URL that must not be requested; `example` is a good one."""
    parts = split_url(url)
    host = parts.hostname
    if not HEADER_SAFE.fullmatch(url) or not host or parts.scheme not in {"https", "http"}:
        raise ValueError(f"must be a URL of printable ASCII, as in {example}")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://; plain http is for this machine only (127.0.0.1, ::1, localhost)")
    if parts.username or parts.password:
        raise ValueError("must not carry a user name or password")
    if "#" in url or ("?" in url and not query_allowed):
        raise ValueError("must end with the host or a path: no query, no fragment")


def check_proxy(url: str, *, schemes: Collection[str] = ("http", "https")) -> None:
    """
    Raise `ValueError` for the URL of a proxy that cannot be used; it quotes nothing, since a part may be a password.

    A password with a `#` would end the URL early, and what follows its `@` would be looked up as a host name.
    """
    _, _, rest = url.partition("://")
    for mark in "#?/\\":
        if mark in rest.removesuffix("/"):
            raise ValueError(
                f"has a {mark} in it; in a user name or password write it as %{ord(mark):02X}, and end the URL with "
                "the host and port"
            )
    parts = split_url(url)
    if not HEADER_SAFE.fullmatch(url) or not parts.hostname or parts.scheme not in schemes:
        raise ValueError("must be an http:// or https:// URL, as in http://proxy.example.com:3128")
