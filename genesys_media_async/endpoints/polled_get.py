"""What the endpoints share that get a thing by its id: one GET, asked again while Genesys prepares the thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from ..api.calls import Call, CallResult
from ..api.replies import retry_after_of
from ..errors import DeadlineExceededError, GenesysMediaError, PermissionDeniedError, UrlRejectedError
from ..records import record
from ..transports.base import MAX_REPLY_SIZE
from .polling import Polling
from .signed_url import DEFAULT_URL_LIFE, signed_url
from .validation import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import DownloadUrl, MediaRequest
    from ..settings.policies import ValidationRule
    from ..transports.base import HttpReply
    from .base import EndpointContext

T = TypeVar("T")

TIMEOUT: Final = 600.0
"""Seconds that an id waits for Genesys to prepare what it stands for, unless an endpoint is told otherwise."""

MIN_PAUSE, MAX_PAUSE = 1.0, 30.0


@record
class NotReady:
    """What a reply means that is none yet; `seconds` is how long it takes, where Genesys says so."""

    seconds: float | None = None


async def get(
    context: EndpointContext,
    request: MediaRequest,
    path: str,
    action: str,
    read: Callable[[HttpReply, float], T | NotReady],
    *,
    permission: str | None = None,
    patience: float = TIMEOUT,
    max_reply_size: int = MAX_REPLY_SIZE,
    redirects: bool = False,
) -> CallResult[T]:
    """
    Get what a request is about, waiting up to `patience` seconds between asking while it is being prepared.

    A 202 always means that it is; what `read` returns for another reply may mean it, too. A refusal advises to grant
    the `permission`. See `Call` for the last two.
    """

    def read_or_wait(reply: HttpReply, sent_at: float) -> T | NotReady:
        return NotReady(retry_after_of(reply, wall=sent_at)) if reply.status == 202 else read(reply, sent_at)

    subject = request.file_id
    call = Call("GET", path, b"", subject, action, read_or_wait, max_reply_size=max_reply_size, redirects=redirects)
    polling = Polling(context, key=subject, patience=patience, shortest=MIN_PAUSE, longest=MAX_PAUSE)
    attempts = 0
    while True:
        answer = await context.call(call)
        attempts += answer.attempts
        came, error = answer.value, answer.error
        if not isinstance(came, NotReady):
            _name_permission(error, permission)
            return CallResult(came, error, attempts, answer.latency, answer.correlation_id)
        if not await polling.pause(came.seconds):
            error = _never_prepared(patience, answer.correlation_id)
            return CallResult(None, error, attempts, answer.latency, answer.correlation_id)


def validated(
    url: str,
    request: MediaRequest,
    rule: ValidationRule,
    sent_at: float,
    *,
    content_type: str | None = None,
    file_name: str | None = None,
) -> DownloadUrl | UrlRejectedError:
    """Return what is known of a URL that came in reply to a request sent at `sent_at`, or why it is refused."""
    known = signed_url(url, sent_at=sent_at, otherwise=DEFAULT_URL_LIFE, content_type=content_type, file_name=file_name)
    return check(known, request, rule) or known


def or_raise(came: DownloadUrl | UrlRejectedError) -> DownloadUrl:
    """Return a URL that may be handed out. Raises `UrlRejectedError` for any other."""
    if isinstance(came, UrlRejectedError):
        raise came
    return came


def _name_permission(error: GenesysMediaError | None, permission: str | None) -> None:
    if permission is not None and isinstance(error, PermissionDeniedError):
        error.advice = (
            f"Give the OAuth client a role with {permission}, in the division the media belongs to; a new token is "
            "not needed."
        )


def _never_prepared(patience: float, correlation_id: str | None) -> DeadlineExceededError:
    return DeadlineExceededError(
        f"Genesys was still preparing it after {patience:g} s.",
        code="never_prepared",
        advice="Ask again later, or allow more patience.",
        correlation_id=correlation_id,
    )
