"""Errors for replies that are not a success, and the wait that a reply asks for."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import urljoin, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

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
from .retry import STATUSES, parse_retry_after, sensible_wait

if TYPE_CHECKING:
    from ..settings.settings import Settings
    from ..transports.base import HttpReply
    from .calls import Call

FORBIDDEN_THING = "unauthorized"
"""Genesys's code for a 401 that is about the requested thing, such as a document, and not about the token."""

NOT_FROM_GENESYS = "not_from_genesys"
"""The code of an error for a page of something between here and Genesys."""

PAGE_ADVICE = (
    "It is a page of a firewall, a proxy or a gateway, and says nothing about the id or the OAuth client: show it to "
    "whoever runs that."
)

_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_SNAKE_CASE = re.compile(r"[^a-z0-9]+")
# Escapes of whole surrogate pairs and of anything else are kept; group 1 is half a pair.
_ESCAPE = re.compile(r"\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(\\u[dD][89a-fA-F]\w\w)|\\.")
_TITLE = re.compile(rb"<title[^>]{0,200}>\s{0,200}([^<]{1,400})", re.IGNORECASE)
_WAIT_IN_BODY = re.compile(rb"retry the request in \[(\d{1,9})\] seconds", re.IGNORECASE)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


TextOrNone = Annotated[str | None, BeforeValidator(_text_or_none)]
"""A member that only counts if it is text."""

ErrorT = TypeVar("ErrorT", bound=BaseModel)


class ErrorBody(BaseModel):
    """
    The members of Genesys's error body that are used; each of them may be missing, or not be text.

    Follows `ErrorBody` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True)

    code: TextOrNone = None
    message: TextOrNone = None
    contextId: TextOrNone = None  # noqa: N815


def error_from(reply: HttpReply, *, wall: float) -> GenesysMediaError:
    """
    Return the error for a reply without a 2xx status; a body that is not Genesys's is ignored.

    `wall` is the time now, in seconds since 1970.
    """
    status, (body, is_page) = reply.status, read_error(ErrorBody, reply.body)
    words = ": ".join(word for word in (sanitized(body.code or "", 80), sanitized(body.message or "")) if word)
    message = f"Genesys answered {status}{f' ({words})' if words else ''}."
    if 300 <= status < 400 or status < 200:
        return InvalidResponseError(message, code="unexpected_status", status_code=status, retryable=False)
    error = _class_of(status, body.code)(
        message,
        code=snake_case(body.code or "") or None,
        status_code=status,
        correlation_id=correlation_id(reply.headers),
        context_id=sanitized(body.contextId, 80) if body.contextId else None,
        retryable=status in STATUSES["later"],
        retry_after=retry_after_of(reply, wall=wall),
    )
    is_page = error.correlation_id is None and (is_page or status >= 600)
    return _from_a_page(error, reply) if is_page else error


def check_status(reply: HttpReply, call: Call[object], settings: Settings, *, wall: float) -> None:
    """Raise the error that a status other than 2xx means, unless it is a redirect that the call wants."""
    if not (call.redirects and 300 <= reply.status < 400):
        raise error_from(reply, wall=wall)
    _check_redirect(reply, call.path, settings)


def read_error(shape: type[ErrorT], body: bytes) -> tuple[ErrorT, bool]:
    """Return what is agreed in the body of an error, and whether it is a page: something, but not JSON."""
    try:
        return shape.model_validate_json(repaired_json(body)), False
    except ValidationError as error:
        is_json = error.errors(include_input=False, include_url=False)[0]["type"] != "json_invalid"
        return shape(), not is_json and bool(body.strip())


def _from_a_page(error: APIStatusError, reply: HttpReply) -> APIStatusError:
    """
    Return the error for a page of a firewall, a proxy or a gateway; Genesys's own errors have a correlation id.

    The class stays where it decides what is done: a pause, a new token, another attempt. But no page is a statement
    about the id or a permission.
    """
    message = f"Something between here and Genesys answered {reply.status}{page_of(reply)}."
    if isinstance(error, (RateLimitError, TokenRejectedError, InternalServerError)):
        error.message = message
        error.advice = error.advice if isinstance(error, RateLimitError) else PAGE_ADVICE
        return error
    return APIStatusError(
        message,
        code=NOT_FROM_GENESYS,
        status_code=error.status_code,
        retryable=error.retryable,
        advice=PAGE_ADVICE,
        retry_after=error.retry_after,
    )


def page_of(reply: HttpReply) -> str:
    """Return what a page says of itself, in parentheses: its content type, and its title if it has one."""
    kind = sanitized(reply.headers.get("content-type", "").partition(";")[0], 40)
    title = _TITLE.search(reply.body)
    named = (kind, f'"{sanitized(title[1].decode(errors="replace"), 80)}"' if title else "")
    words = " ".join(word for word in named if word)
    return f" ({words})" if words else ""


def repaired_json(body: bytes) -> bytes:
    """
    Return JSON that can be read, though its writer did not keep to the encoding; otherwise good JSON stays the same.

    A byte order mark is dropped (RFC 8259, section 8.1). Bytes that are not UTF-8, and escapes of half a surrogate
    pair, become U+FFFD: the next reply would have them again.
    """
    body = body.removeprefix(BOM_UTF8)
    text = body.decode(errors="replace")
    if "\\u" in text:
        text = _ESCAPE.sub(lambda found: "\ufffd" if found[1] else found[0], text)
    return text.encode()


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
            return InternalServerError if 500 <= status < 600 else APIStatusError


def _check_redirect(reply: HttpReply, path: str, settings: Settings) -> None:
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

    `wall` is the time now, in seconds since 1970. None if the reply names no time that makes sense.
    """
    named = parse_retry_after(reply.headers, wall=wall)
    if named is None and (in_body := _WAIT_IN_BODY.search(reply.body)):
        return sensible_wait(float(in_body[1]))
    return named
