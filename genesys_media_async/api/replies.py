"""Errors for replies that are not a success, and the wait that a reply asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import (
    APIStatusError,
    GenesysMediaError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    TokenRejectedError,
    sanitized,
)
from ..ids import correlation_id
from .retry import STATUSES, parse_retry_after

if TYPE_CHECKING:
    from ..settings.settings import Settings
    from ..transports.base import HttpReply

FORBIDDEN_THING = "unauthorized"
"""Genesys's code for a 401 that is about the requested thing, such as a document, and not about the token."""

_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_SNAKE_CASE = re.compile(r"[^a-z0-9]+")
_WAIT_IN_BODY = re.compile(rb"retry the request in \[(\d{1,9})\] seconds", re.IGNORECASE)


class ErrorBody(BaseModel):
    """
    The members of Genesys's error body that are used; each of them may be missing.

    Follows `ErrorBody` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True)

    code: str | None = None
    message: str | None = None
    contextId: str | None = None  # noqa: N815


def error_from(reply: HttpReply, *, wall: float) -> GenesysMediaError:
    """
    Return the error for a reply without a 2xx status; a body that is not Genesys's is ignored.

    `wall` is the time now, in seconds since 1970.
    """
    try:
        body = ErrorBody.model_validate_json(reply.body)
    except ValidationError:
        body = ErrorBody()
    words = ": ".join(word for word in (sanitized(body.code or "", 80), sanitized(body.message or "")) if word)
    message = f"Genesys answered {reply.status}{f' ({words})' if words else ''}."
    if 300 <= reply.status < 400 or reply.status < 200:
        return InvalidResponseError(message, code="unexpected_status", status_code=reply.status, retryable=False)
    return _class_of(reply.status, body.code)(
        message,
        code=snake_case(body.code or "") or None,
        status_code=reply.status,
        correlation_id=correlation_id(reply.headers),
        context_id=sanitized(body.contextId, 80) if body.contextId else None,
        retryable=reply.status in STATUSES["later"],
        retry_after=retry_after_of(reply, wall=wall),
    )


def snake_case(code: str) -> str:
    """Return one of Genesys's codes in snake_case: `not.found` and `notFound` become `not_found`."""
    words = _CAMEL_CASE.sub("_", sanitized(code, 80)).lower()
    return _NOT_SNAKE_CASE.sub("_", words).strip("_")


def _class_of(status: int, code: str | None) -> type[APIStatusError]:
    match status:
        case 401:
            return PermissionDeniedError if code == FORBIDDEN_THING else TokenRejectedError
        case 403:
            return PermissionDeniedError
        case 404:
            return NotFoundError
        case 429:
            return RateLimitError
        case _:
            return InternalServerError if status >= 500 else APIStatusError


def check_redirect(reply: HttpReply, path: str, settings: Settings) -> None:
    """Raise `InvalidResponseError` for a redirect to nowhere, to its own path, or to Genesys's API or login."""
    location = reply.headers.get("location", "").strip()
    requested = urlsplit(settings.api_url + path)
    try:
        target = urlsplit(urljoin(requested.geturl(), location))
        origin = (target.scheme, target.netloc.lower())
    except ValueError:
        # Not a URL: validation rejects it.
        return
    login = urlsplit(settings.token_url)
    login_path = "/" if login.netloc != requested.netloc else login.path.removesuffix("token")
    # A gateway may serve media next to its API; Genesys does not.
    api_path = "/" if settings.base_url is None else f"{urlsplit(settings.api_url).path}/api/"
    if not location or not urlsplit(location).netloc:
        code, words = "redirect_nowhere", "without a URL"
    elif origin == (requested.scheme, requested.netloc) and target.path == requested.path:
        code, words = "redirect_loop", "to the same path"
    elif origin == (login.scheme, login.netloc) and target.path.startswith(login_path):
        code, words = "redirect_to_login", "to the login"
    elif origin == (requested.scheme, requested.netloc) and target.path.startswith(api_path):
        code, words = "redirect_to_api", "to the API itself"
    else:
        return
    raise InvalidResponseError(f"Genesys answered {reply.status}, a redirect {words}.", code=code, retryable=False)


def retry_after_of(reply: HttpReply, *, wall: float) -> float | None:
    """
    Return the seconds that a reply asks to wait, by its Retry-After or else by the message in its body.

    `wall` is the time now, in seconds since 1970. None if the reply names no time.
    """
    named = parse_retry_after(reply.headers.get("retry-after"), wall=wall)
    if named is None and (in_body := _WAIT_IN_BODY.search(reply.body)):
        return float(in_body[1])
    return named
