"""Replies that are no success, as errors; and the pause that a reply asks for."""

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
from .retry import parse_retry_after

if TYPE_CHECKING:
    from ..settings.settings import Settings
    from ..transports.base import HttpReply

FORBIDDEN_THING = "unauthorized"
"""With this code a 401 is about the thing asked for, a document say, and not about the token."""

_SAID_IN_BODY = re.compile(rb"retry the request in \[(\d{1,9})\] seconds", re.IGNORECASE)


class ErrorBody(BaseModel):
    """
    Genesys's error body, as far as it is used; every member may be missing.

    Follows `ErrorBody` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True)

    code: str | None = None
    message: str | None = None
    contextId: str | None = None  # noqa: N815


def error_from(reply: HttpReply, *, wall: float) -> GenesysMediaError:
    """Return the error that a reply without a 2xx status means; a body that is not Genesys's is left out."""
    try:
        said = ErrorBody.model_validate_json(reply.body)
    except ValidationError:
        said = ErrorBody()
    words = ": ".join(word for word in (sanitized(said.code or "", 80), sanitized(said.message or "")) if word)
    message = f"Genesys answered {reply.status}{f' ({words})' if words else ''}."
    if 300 <= reply.status < 400 or reply.status < 200:
        return InvalidResponseError(message, code="unexpected_status", status_code=reply.status, retryable=False)
    kinds: dict[int, type[APIStatusError]] = {
        401: TokenRejectedError,
        403: PermissionDeniedError,
        404: NotFoundError,
        429: RateLimitError,
    }
    kind = kinds.get(reply.status, InternalServerError if reply.status >= 500 else APIStatusError)
    if kind is TokenRejectedError and said.code == FORBIDDEN_THING:
        kind = PermissionDeniedError
    return kind(
        message,
        code=sanitized(said.code or "", 80) or None,
        status_code=reply.status,
        correlation_id=correlation_id(reply.headers),
        context_id=sanitized(said.contextId, 80) if said.contextId else None,
        retryable=reply.status in {408, 429} or (reply.status >= 500 and reply.status != 501),
        retry_after=retry_after_of(reply, wall=wall),
    )


def check_redirect(reply: HttpReply, path: str, settings: Settings) -> None:
    """Raise `InvalidResponseError` for a redirect that leads nowhere, in a circle, or to Genesys's own API or login."""
    location = reply.headers.get("location", "").strip()
    asked = urlsplit(settings.api_url + path)
    try:
        target = urlsplit(urljoin(asked.geturl(), location))
        origin = (target.scheme, target.netloc.lower())
    except ValueError:
        # No URL at all: what reads it says so.
        return
    login = urlsplit(settings.token_url)
    login_path = "/" if login.netloc != asked.netloc else login.path.removesuffix("token")
    # A gateway may serve media beside its API, Genesys does not.
    api_path = "/" if settings.base_url is None else f"{urlsplit(settings.api_url).path}/api/"
    if not location or not urlsplit(location).netloc:
        code, words = "redirect_nowhere", "without a URL"
    elif origin == (asked.scheme, asked.netloc) and target.path == asked.path:
        code, words = "redirect_loop", "to where it came from"
    elif origin == (login.scheme, login.netloc) and target.path.startswith(login_path):
        code, words = "redirect_to_login", "to the login"
    elif origin == (asked.scheme, asked.netloc) and target.path.startswith(api_path):
        code, words = "redirect_to_api", "to the API itself"
    else:
        return
    raise InvalidResponseError(f"Genesys answered {reply.status}, a redirect {words}.", code=code, retryable=False)


def retry_after_of(reply: HttpReply, *, wall: float) -> float | None:
    """Return for how many seconds a reply asks to be left alone: by its Retry-After, or else in Genesys's words."""
    told = parse_retry_after(reply.headers.get("retry-after"), wall=wall)
    if told is None and (in_words := _SAID_IN_BODY.search(reply.body)):
        return float(in_words[1])
    return told
