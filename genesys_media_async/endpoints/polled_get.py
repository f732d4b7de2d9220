"""One GET for a thing by its id, repeated while Genesys prepares the thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from ..api.calls import Call, CallResult
from ..api.replies import retry_after_of
from ..errors import DeadlineExceededError, GenesysMediaError, PermissionDeniedError, UrlRejectedError
from ..transports.base import MAX_REPLY_SIZE
from .polling import Poller
from .signed_url import DEFAULT_URL_LIFETIME, signed_url
from .validation import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import DownloadUrl, MediaRequest
    from ..settings.policies import ValidationRule
    from ..transports.base import HttpReply
    from .base import Endpoint, EndpointContext

T = TypeVar("T")

TIMEOUT: Final = 600.0
"""Seconds that Genesys may take to prepare a thing, by default."""

MIN_PAUSE, MAX_PAUSE = 1.0, 30.0


class NotReady(Struct, frozen=True, gc=False):
    """The thing is still being prepared; `seconds` is the time it still takes, if Genesys names it."""

    seconds: float | None = None


def never_prepared(timeout: float) -> DeadlineExceededError:
    """Error for a thing that was not prepared in time."""
    return DeadlineExceededError(
        f"Genesys was still preparing it after {timeout:g} s.",
        code="never_prepared",
        advice="Try again later, or allow a longer timeout.",
    )


async def get_when_ready(
    endpoint: Endpoint,
    context: EndpointContext,
    request: MediaRequest,
    path: str,
    read: Callable[[HttpReply, float], T | NotReady],
    *,
    timeout: float = TIMEOUT,
    max_reply_size: int = MAX_REPLY_SIZE,
    redirects: bool = False,
    estimate: Callable[[HttpReply], float | None] = lambda _: None,
    never_ready: Callable[[float], DeadlineExceededError] = never_prepared,
) -> CallResult[T]:
    """
    Get the thing that a request is about; while it is being prepared, poll it for up to `timeout` seconds.

    A 202 always means that it is not ready; `estimate` reads from it how many more seconds it takes. `read` may return
    `NotReady` for another reply. `never_ready` makes the error for the timeout. A 403 gets the advice to grant the
    endpoint's permission. `max_reply_size` and `redirects` are those of `Call`.
    """

    def read_or_wait(reply: HttpReply, sent_at: float) -> T | NotReady:
        if reply.status != 202:
            return read(reply, sent_at)
        named = (retry_after_of(reply, wall=sent_at), estimate(reply))
        return NotReady(max((seconds for seconds in named if seconds is not None), default=None))

    subject, action = request.file_id, endpoint.action
    call = Call("GET", path, b"", subject, action, read_or_wait, max_reply_size=max_reply_size, redirects=redirects)
    attempts = 0
    with Poller(context, key=subject, timeout=timeout, min_pause=MIN_PAUSE, max_pause=MAX_PAUSE) as poller:
        while True:
            result = await context.call(call)
            attempts += result.attempts
            value, error = result.value, result.error
            if isinstance(value, NotReady):
                if await poller.wait_for_next(value.seconds):
                    continue
                value, error = None, never_ready(timeout)
                error.correlation_id = result.correlation_id
            _name_permission(error, endpoint.permission)
            return CallResult(value, error, attempts, result.latency, result.correlation_id)


def validated(
    url: str,
    request: MediaRequest,
    rule: ValidationRule,
    sent_at: float,
    *,
    content_type: str | None = None,
    file_name: str | None = None,
) -> DownloadUrl | UrlRejectedError:
    """
    Return the URL with what is known about it, or the error if it breaks the rule.

    `sent_at` is when its request was sent, in seconds since 1970.
    """
    known = signed_url(
        url, sent_at=sent_at, default_lifetime=DEFAULT_URL_LIFETIME, content_type=content_type, file_name=file_name
    )
    return check(known, request, rule) or known


def or_raise(outcome: DownloadUrl | UrlRejectedError) -> DownloadUrl:
    """Return a validated URL. Raises `UrlRejectedError` for a rejected one."""
    if isinstance(outcome, UrlRejectedError):
        raise outcome
    return outcome


def _name_permission(error: GenesysMediaError | None, permission: str) -> None:
    if isinstance(error, PermissionDeniedError):
        error.advice = (
            f"Give the OAuth client a role with {permission}, in the division the media belongs to; a new token is "
            "not needed."
        )
