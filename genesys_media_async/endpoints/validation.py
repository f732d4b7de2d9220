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

from functools import lru_cache
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter

from ..errors import UrlRejectedError, sanitized
from ..settings.urls import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import DownloadUrl, MediaRequest
    from ..settings.policies import Check, ValidationRule

# RFC 3986 leaves only these; anything else makes programs disagree about where the URL points.
_URL_CHARACTERS = f"{ascii_letters}{digits}-._~:/?#[]@!$&'()*+,;=%".encode()

# What nearly every signed URL begins with; any other is taken apart in full.
_COMMON_ORIGIN = Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+/")]
_has_common_origin: Callable[[str], bool] = TypeAdapter(_COMMON_ORIGIN).validator.isinstance_python

MEDIA = ("audio/*", "video/*", "image/*")
"""What a URL of media storage stands for, unless the rule says otherwise."""


def check(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRejectedError | None:
    """Return why `url` must not be handed out as the answer to `request`, or None if it may. Never raises."""
    return (
        _grant(url, request, rule) or _form(url.url, rule) or (_own_checks(url, request, rule) if rule.checks else None)
    )


def matches(content_type: str, pattern: str) -> bool:
    """Whether a content type, with or without parameters, is one that a pattern such as `audio/*` stands for."""
    kind, _, subtype = content_type.partition(";")[0].strip().lower().partition("/")
    wanted_kind, _, wanted_subtype = pattern.lower().partition("/")
    return bool(kind and subtype) and wanted_kind in {"*", kind} and wanted_subtype in {"*", subtype}


@lru_cache(maxsize=256)
def _is_one_of(content_type: str | None, patterns: tuple[str, ...]) -> bool:
    if content_type is None or not content_type.strip():
        return "*/*" in patterns
    return any(matches(content_type, pattern) for pattern in patterns)


def _grant(url: DownloadUrl, request: MediaRequest, rule: ValidationRule) -> UrlRejectedError | None:
    """Check what Genesys has granted: what content, for how long, with what access."""
    content_types, longest, required = rule.content_types, rule.max_lifetime, rule.required_access
    # Only a reply that can grant a life names it: Genesys was asked for this life and this access.
    made_to_measure = url.expiry_source == "reply"
    if made_to_measure:
        content_types = MEDIA if content_types is None else content_types
        longest = request.expires_in if longest is None else longest
    if content_types is not None and not _is_one_of(url.content_type, content_types):
        return _content_type_refused(url.content_type, content_types)
    if url.expires_in < 1:
        return UrlRejectedError(
            "The URL had expired when it came.",
            code="url_expired",
            retryable=True,
            advice="Check this machine's clock; if it is right, ask again for a fresh URL.",
        )
    if longest is not None and url.expires_in > longest:
        return UrlRejectedError(f"The URL lives {url.expires_in} s; allowed: {longest} s.", code="life_too_long")
    if required is None:
        return None
    granted = request.access_level if made_to_measure and url.access_level is None else url.access_level
    if granted == required:
        return None
    named = "none" if granted is None else sanitized(granted, 80)
    return UrlRejectedError(
        f"The access level is {named}; required: {sanitized(required, 80)}.", code="access_level_mismatch"
    )


def _content_type_refused(content_type: str | None, allowed: tuple[str, ...]) -> UrlRejectedError:
    if content_type is None or not content_type.strip():
        return UrlRejectedError("The reply names no content type.", code="content_type_missing")
    return UrlRejectedError(
        f"The content type is {sanitized(content_type, 80)}; allowed: {', '.join(allowed) or 'none'}.",
        code="content_type_refused",
    )


def _form(url: str, rule: ValidationRule) -> UrlRejectedError | None:
    """Check where the URL points, and that every program will see the same there."""
    if len(url) > rule.max_url_length:
        return UrlRejectedError(
            f"The URL has {len(url)} characters; allowed: {rule.max_url_length}.", code="url_too_long"
        )
    # For the few hundred characters of a signed URL, half of what a regular expression costs.
    if not url.isascii() or url.encode().translate(None, _URL_CHARACTERS):
        return _malformed()
    hosts, common = rule.allowed_hosts, _has_common_origin(url)
    if common and hosts is None:
        return None
    host = url.split("/", 3)[2] if common else _host_or_refusal(url, rule)
    if isinstance(host, UrlRejectedError):
        return host
    if hosts is not None and not _is_listed(host, hosts):
        return UrlRejectedError(
            f"The URL points to {sanitized(host, 80)}; allowed: {', '.join(hosts) or 'none'}.", code="host_refused"
        )
    return None


def _malformed() -> UrlRejectedError:
    return UrlRejectedError("The URL is not an absolute URL with a host.", code="url_malformed")


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
    return host


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
            said = None if reason is None else str(reason)
        except Exception as error:  # noqa: BLE001 - a faulty check refuses one URL; it does not end the run
            return UrlRejectedError(
                f"The check {_name_of(own_check)} raised {type(error).__name__}.", code="check_failed"
            )
        if said is not None:
            return UrlRejectedError(
                f"The check {_name_of(own_check)} refused it: {sanitized(said)}.", code="check_refused"
            )
    return None


def _name_of(own_check: Check) -> str:
    return sanitized(getattr(own_check, "__name__", type(own_check).__name__), 80)
