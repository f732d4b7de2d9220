"""What the endpoints share that get a thing by its id: one GET, asked again while Genesys prepares the thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from ..api import Answer, Call, retry_after_of
from ..errors import DeadlineExceeded, GenesysMediaError, PermissionDenied, UrlRefused
from ..transports import MAX_REPLY_SIZE
from ..validation import check
from ..values import value
from .expiry import DEFAULT_URL_LIFE, signed_url
from .polling import Polling

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import DownloadUrl, MediaRequest
    from ..settings import ValidationRule
    from ..transports import HttpReply
    from .base import Assignment

T = TypeVar("T")

PATIENCE: Final = 600.0
"""Seconds that an id waits for Genesys to prepare what it stands for, unless an endpoint is told otherwise."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


@value
class Preparing:
    """What a reply means that is none yet; `seconds` is how long it takes, where Genesys says so."""

    seconds: float | None = None


async def get(
    assignment: Assignment,
    request: MediaRequest,
    path: str,
    action: str,
    read: Callable[[HttpReply, float], T | Preparing],
    *,
    permission: str | None = None,
    patience: float = PATIENCE,
    longest_reply: int = MAX_REPLY_SIZE,
    redirects: bool = False,
) -> Answer[T]:
    """
    Get what a request is about, waiting up to `patience` seconds between asking while it is being prepared.

    A 202 always means that it is; what `read` returns for another reply may mean it, too. A refusal advises to grant
    the `permission`. See `Call` for the last two.
    """

    def read_or_wait(reply: HttpReply, sent_at: float) -> T | Preparing:
        return Preparing(retry_after_of(reply, wall=sent_at)) if reply.status == 202 else read(reply, sent_at)

    subject = request.file_id
    call = Call("GET", path, b"", subject, action, read_or_wait, longest_reply=longest_reply, redirects=redirects)
    polling = Polling(assignment, key=subject, patience=patience, shortest=SHORTEST_PAUSE, longest=LONGEST_PAUSE)
    attempts = 0
    while True:
        answer = await assignment.ask(call)
        attempts += answer.attempts
        came, error = answer.value, answer.error
        if not isinstance(came, Preparing):
            _name_permission(error, permission)
            return Answer(came, error, attempts, answer.latency, answer.correlation_id)
        if not await polling.pause(came.seconds):
            error = _never_prepared(patience, answer.correlation_id)
            return Answer(None, error, attempts, answer.latency, answer.correlation_id)


def judged(
    url: str,
    request: MediaRequest,
    rule: ValidationRule,
    sent_at: float,
    *,
    content_type: str | None = None,
    file_name: str | None = None,
) -> DownloadUrl | UrlRefused:
    """Return what is known of a URL that came in reply to a request sent at `sent_at`, or why it is refused."""
    known = signed_url(url, sent_at=sent_at, otherwise=DEFAULT_URL_LIFE, content_type=content_type, file_name=file_name)
    return check(known, request, rule) or known


def accepted(came: DownloadUrl | UrlRefused) -> DownloadUrl:
    """Return a URL that may be handed out. Raises `UrlRefused` for any other."""
    if isinstance(came, UrlRefused):
        raise came
    return came


def _name_permission(error: GenesysMediaError | None, permission: str | None) -> None:
    if permission is not None and isinstance(error, PermissionDenied):
        error.advice = (
            f"Give the OAuth client a role with {permission}, in the division the media belongs to; a new token is "
            "not needed."
        )


def _never_prepared(patience: float, correlation_id: str | None) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"Genesys was still preparing it after {patience:g} s.",
        code="never_prepared",
        advice="Ask again later, or allow more patience.",
        correlation_id=correlation_id,
    )
