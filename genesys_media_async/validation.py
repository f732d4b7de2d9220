"""
May this URL be handed out? A pure check against a `ValidationRule`; each refusal has a reason for programs.

    content_type_missing    the reply names none, and the rule does not take everything
    content_type_refused    it is none of the rule's
    life_too_long           Genesys granted more seconds than the rule, or the request, allows
    url_expired             its life was over before it came
    access_level_mismatch   the required access level is not the one granted
    url_too_long            more characters than the rule allows
    url_malformed           no absolute URL with a host, or with characters that no URL has
    url_not_https           another scheme than https
    url_user_info           a user name or password before the host
    host_refused            the host is not on the rule's list
    check_refused           a check of the user's own said no
    check_failed            a check of the user's own raised
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import UrlRefused, quotable
from .settings import is_loopback

if TYPE_CHECKING:
    from .models import DownloadUrl, MediaRequest
    from .settings import ValidationRule

# RFC 3986 leaves only these; anything else makes programs disagree about where the URL points.
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")

# What nearly every signed URL looks like; anything else is taken apart in full.
_COMMON_URL = re.compile(r"https://([a-z0-9.-]*[a-z0-9])/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")


MEDIA = ("audio/*", "video/*", "image/*")
"""What a URL of media storage stands for, unless the rule says otherwise."""


def check(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRefused | None:
    """Return why `url` must not be handed out as the answer to `request`, or None if it may. Never raises."""
    return (
        _content_type(url, rule)
        or _life(url, request, rule)
        or _access_level(url, request, rule)
        or _form(url, rule)
        or _own_checks(url, request, rule)
    )


def matches(content_type: str, pattern: str) -> bool:
    """Whether a content type, with or without parameters, is one that a pattern such as `audio/*` stands for."""
    kind, _, subtype = content_type.partition(";")[0].strip().lower().partition("/")
    wanted_kind, _, wanted_subtype = pattern.lower().partition("/")
    return bool(kind and subtype) and wanted_kind in {"*", kind} and wanted_subtype in {"*", subtype}


@lru_cache(maxsize=256)
def _is_one_of(content_type: str, patterns: tuple[str, ...]) -> bool:
    return any(matches(content_type, pattern) for pattern in patterns)


def _is_made_to_measure(url: DownloadUrl) -> bool:
    """Whether Genesys was asked for this life and access; only a reply that can grant a life names it."""
    return url.expiry_known_from == "reply"


def _content_type(url: DownloadUrl, rule: ValidationRule) -> UrlRefused | None:
    allowed = rule.content_types
    if allowed is None:
        if not _is_made_to_measure(url):
            return None
        allowed = MEDIA
    if url.content_type is not None and _is_one_of(url.content_type, allowed):
        return None
    if url.content_type is None or not url.content_type.strip():
        if "*/*" in allowed:
            return None
        return UrlRefused("The reply names no content type.", code="content_type_missing")
    return UrlRefused(
        f"The content type is {quotable(url.content_type, 80)}; allowed: {', '.join(allowed) or 'none'}.",
        code="content_type_refused",
    )


def _life(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRefused | None:
    if url.expires_in < 1:
        return UrlRefused(
            "The URL had expired when it came.",
            code="url_expired",
            retryable=True,
            advice="Check this machine's clock; if it is right, ask again for a fresh URL.",
        )
    longest = rule.longest_life
    if longest is None and _is_made_to_measure(url):
        longest = request.expires_in
    if longest is None or url.expires_in <= longest:
        return None
    return UrlRefused(f"The URL lives {url.expires_in} s; allowed: {longest} s.", code="life_too_long")


def _access_level(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRefused | None:
    granted = url.access_level
    if granted is None and _is_made_to_measure(url):
        granted = request.access_level
    if rule.required_access is None or granted == rule.required_access:
        return None
    named = "none" if granted is None else quotable(granted, 80)
    return UrlRefused(
        f"The access level is {named}; required: {quotable(rule.required_access, 80)}.", code="access_level_mismatch"
    )


def _form(url: DownloadUrl, rule: ValidationRule) -> UrlRefused | None:
    if len(url.url) > rule.longest_url:
        return UrlRefused(f"The URL has {len(url.url)} characters; allowed: {rule.longest_url}.", code="url_too_long")
    common = _COMMON_URL.fullmatch(url.url)
    host = common[1] if common is not None else _host_or_refusal(url.url, rule)
    if isinstance(host, UrlRefused):
        return host
    if rule.hosts is not None and not any(_host_matches(host, pattern) for pattern in rule.hosts):
        return UrlRefused(
            f"The URL points to {quotable(host, 80)}; allowed: {', '.join(rule.hosts) or 'none'}.", code="host_refused"
        )
    return None


def _host_or_refusal(url: str, rule: ValidationRule) -> str | UrlRefused:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
        parts = None
    if parts is None or not host or not parts.scheme or not _URL_CHARACTERS.fullmatch(url):
        return UrlRefused("The URL is not an absolute URL with a host.", code="url_malformed")
    if parts.scheme != "https" and not (rule.loopback_http and parts.scheme == "http" and is_loopback(host)):
        return UrlRefused(f"The URL's scheme is {quotable(parts.scheme, 20)}, not https.", code="url_not_https")
    if parts.username is not None or parts.password is not None:
        return UrlRefused("The URL has a user name or password before the host.", code="url_user_info")
    return host


def _host_matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) >= len(pattern)
    return host == pattern


def _own_checks(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRefused | None:
    for own_check in rule.checks:
        name = quotable(getattr(own_check, "__name__", type(own_check).__name__), 80)
        try:
            reason = own_check(url, request)
        except Exception as error:  # noqa: BLE001 - a faulty check refuses one URL; it does not end the run
            return UrlRefused(f"The check {name} raised {type(error).__name__}.", code="check_failed")
        if reason is not None:
            return UrlRefused(f"The check {name} refused it: {quotable(str(reason))}.", code="check_refused")
    return None
