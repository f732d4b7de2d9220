"""
Validates a URL against a `ValidationRule`. Pure; each rejection has a code for programs.

    content_type_missing    the reply names none, and the rule does not allow everything
    content_type_refused    the rule does not allow it
    lifetime_too_long       Genesys granted more seconds than the rule, or the request, allows
    url_expired             the URL had expired before it arrived
    access_level_mismatch   another access level was granted than the rule requires
    url_too_long            more characters than the rule allows
    url_malformed           not an absolute URL with a host, or a character that no URL can have
    url_not_https           another scheme than https
    url_user_info           a user name or password before the host
    host_refused            the rule does not allow the host
    check_refused           one of the rule's own checks rejected the URL
    check_failed            one of the rule's own checks raised
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Annotated
from unicodedata import name
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter

from ..errors import UrlRejectedError, sanitized
from ..settings.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import DownloadUrl, ExpirySource, MediaRequest
    from ..settings.policies import Check, ValidationRule

# The characters of RFC 3986; with any other, programs disagree about where the URL points.
_URL_CHARACTERS = f"{ascii_letters}{digits}-._~:/?#[]@!$&'()*+,;=%".encode()

# Nearly every signed URL begins like this; any other is parsed in full.
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_TOP_LABEL = "[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
_COMMON_ORIGIN = Annotated[str, Field(pattern=rf"^https://({_LABEL}\.)*{_TOP_LABEL}/")]
_has_common_origin: Callable[[str], bool] = TypeAdapter(_COMMON_ORIGIN).validator.isinstance_python
_HOST_NAME = re.compile(rf"({_LABEL}\.)*{_TOP_LABEL}\.?")

MEDIA = ("audio/*", "video/*", "image/*")
"""The content types of media storage, unless the rule names others."""


def check(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRejectedError | None:
    """Return the error if `url` must not be the result of `request`, or None. Never raises."""
    # In one piece, since each id pays for it; the words for what does not pass are further down.
    if not _is_allowed(url.content_type, rule.content_types, url.expiry_source):
        return _content_type_refused(url, rule)
    longest = rule.max_lifetime
    # Only a reply that names the lifetime answers a request for one.
    if longest is None and url.expiry_source == "reply":
        longest = request.expires_in
    if url.expires_in < 1 or (longest is not None and url.expires_in > longest):
        return _lifetime_refused(url.expires_in, longest)
    if rule.required_access is not None and (refused := _check_access(url, request, rule.required_access)):
        return refused
    address = url.url
    # For a signed URL, deleting its characters takes half the time of any pattern, Rust's as well.
    if (
        rule.allowed_hosts is not None
        or len(address) > rule.max_url_length
        or not address.isascii()
        or address.encode().translate(None, _URL_CHARACTERS)
        or not _has_common_origin(address)
    ) and (refused := _check_form(address, rule)):
        return refused
    return _own_checks(url, request, rule) if rule.checks else None


def matches(content_type: str, pattern: str) -> bool:
    """Return whether a content type, with or without parameters, matches a pattern such as `audio/*`."""
    kind, _, subtype = content_type.partition(";")[0].strip().lower().partition("/")
    wanted_kind, _, wanted_subtype = pattern.lower().partition("/")
    return bool(kind and subtype) and wanted_kind in {"*", kind} and wanted_subtype in {"*", subtype}


@lru_cache(maxsize=256)
def _is_allowed(content_type: str | None, named: tuple[str, ...] | None, source: ExpirySource) -> bool:
    patterns = _allowed_types(named, source)
    if patterns is None:
        return True
    if content_type is None or not content_type.strip():
        return "*/*" in patterns
    return any(matches(content_type, pattern) for pattern in patterns)


def _allowed_types(named: tuple[str, ...] | None, source: ExpirySource) -> tuple[str, ...] | None:
    # A reply that names the lifetime is one of media storage, which keeps nothing but media.
    return MEDIA if named is None and source == "reply" else named


def _content_type_refused(url: DownloadUrl, rule: ValidationRule) -> UrlRejectedError:
    content_type, allowed = url.content_type, _allowed_types(rule.content_types, url.expiry_source)
    if content_type is None or not content_type.strip():
        return UrlRejectedError("The reply names no content type.", code="content_type_missing")
    return UrlRejectedError(
        f"The content type is {sanitized(content_type, 80)}; allowed: {', '.join(allowed or ()) or 'none'}.",
        code="content_type_refused",
    )


def _lifetime_refused(granted: int, longest: int | None) -> UrlRejectedError:
    if granted < 1:
        return UrlRejectedError(
            "The URL had expired when it arrived.",
            code="url_expired",
            retryable=True,
            advice="Check this machine's clock; if it is right, request the URL again.",
        )
    return UrlRejectedError(f"The URL's lifetime is {granted} s; allowed: {longest} s.", code="lifetime_too_long")


def _check_access(url: DownloadUrl, request: MediaRequest, required: str) -> UrlRejectedError | None:
    granted = url.access_level
    # Only a reply that names the lifetime answers a request for an access level.
    if granted is None and url.expiry_source == "reply":
        granted = request.access_level
    if granted == required:
        return None
    named = "none" if granted is None else sanitized(granted, 80)
    return UrlRejectedError(
        f"The access level is {named}; required: {sanitized(required, 80)}.", code="access_level_mismatch"
    )


def _check_form(url: str, rule: ValidationRule) -> UrlRejectedError | None:
    """Check where the URL points, and that all programs agree about it; `check` passes the plain ones over."""
    if len(url) > rule.max_url_length:
        return UrlRejectedError(
            f"The URL has {len(url)} characters; allowed: {rule.max_url_length}.", code="url_too_long"
        )
    if not url.isascii() or url.encode().translate(None, _URL_CHARACTERS):
        return _impossible_character(url)
    hosts = rule.allowed_hosts
    host = url.split("/", 3)[2] if _has_common_origin(url) else _host_or_refusal(url, rule)
    if isinstance(host, UrlRejectedError):
        return host
    if hosts is not None and not _is_listed(host, hosts):
        return UrlRejectedError(
            f"The URL points to {sanitized(host, 80)}; allowed: {', '.join(hosts) or 'none'}.", code="host_refused"
        )
    return None


def _malformed() -> UrlRejectedError:
    return UrlRejectedError("The URL is not an absolute URL with a host.", code="url_malformed")


def _impossible_character(url: str) -> UrlRejectedError:
    """Error for a URL with a character that RFC 3986 does not allow; it names the first one, and not the URL."""
    allowed = _URL_CHARACTERS.decode()
    position, character = next((at, each) for at, each in enumerate(url) if each not in allowed)
    return UrlRejectedError(
        f"The URL has a character that no URL can have: U+{ord(character):04X} "
        f"({name(character, 'a control character')}), at position {position + 1:,} of {len(url):,}.",
        code="url_malformed",
        advice="The URL was discarded; whoever makes it has to percent-encode that character.",
    )


def _host_or_refusal(url: str, rule: ValidationRule) -> str | UrlRejectedError:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = None
    if parts is None or not host or not parts.scheme:
        return _malformed()
    if parts.scheme != "https" and not (rule.loopback_http and parts.scheme == "http" and is_loopback(host)):
        return UrlRejectedError(f"The URL's scheme is {sanitized(parts.scheme, 20)}, not https.", code="url_not_https")
    if parts.username is not None or parts.password is not None:
        return UrlRejectedError("The URL has a user name or password before the host.", code="url_user_info")
    if not _is_host(host) or ("[" in parts.netloc) != (":" in host):
        return UrlRejectedError("The URL's host is neither a host name nor an IP address.", code="url_malformed")
    return host


def _is_host(host: str) -> bool:
    """
    Return whether all programs agree about a host: a name of DNS, or an address in its usual form.

    A name whose last label begins with a digit is an address to some programs (0x7f.1, 127.1) and a name to others:
    https://url.spec.whatwg.org/#ends-in-a-number-checker
    """
    if _HOST_NAME.fullmatch(host):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    # A zone (fe80::1%eth0) is an interface of one machine only.
    return "%" not in host


@lru_cache(maxsize=256)
def _is_listed(host: str, hosts: tuple[str, ...]) -> bool:
    return any(
        host.endswith(pattern[1:]) and len(host) >= len(pattern) if pattern.startswith("*.") else host == pattern
        for pattern in hosts
    )


def _own_checks(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRejectedError | None:
    for own_check in rule.checks:
        try:
            reason = own_check(url, request)
            words = None if reason is None else str(reason)
        except Exception as error:  # noqa: BLE001 - a faulty check rejects one URL and does not end the run
            return UrlRejectedError(
                f"The check {_name_of(own_check)} raised {type(error).__name__}.", code="check_failed"
            )
        if words is not None:
            return UrlRejectedError(
                f"The check {_name_of(own_check)} rejected it: {sanitized(words)}.", code="check_refused"
            )
    return None


def _name_of(own_check: Check) -> str:
    return sanitized(getattr(own_check, "__name__", type(own_check).__name__), 80)
