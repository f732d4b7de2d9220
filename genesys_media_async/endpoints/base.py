"""The seam: what to ask Genesys for one id, as a short script over one authorised, quota-paid, retried call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import ValidationError

from ..api import Answer
from ..errors import GenesysMediaError, InvalidReply, quotable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pydantic import TypeAdapter

    from ..api import Call
    from ..clock import Clock
    from ..events import Event
    from ..models import DownloadUrl, MediaRequest
    from ..settings import ValidationRule
    from ..transports import HttpReply

T = TypeVar("T")

# The usual spellings of it.
_JSON = frozenset({"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"})


class Assignment(Protocol):
    """What an endpoint has to do its work with; it lasts for the requests that it was given together."""

    @property
    def rule(self) -> ValidationRule:
        """What a URL must meet to be handed out; see `validation.check`."""
        ...

    @property
    def clock(self) -> Clock:
        """The time; to let some of it pass, `wait`."""
        ...

    def ask(self, call: Call[T], /) -> Awaitable[Answer[T]]:
        """Make a call to its end: permits, token, retries and audit records are taken care of."""
        ...

    async def wait(self, seconds: float, /) -> None:
        """Wait for Genesys to get ready; the worker's place is another's meanwhile."""
        ...

    def emit(self, event: Event, /) -> None:
        """Let the sinks know of something that happened; never waits."""
        ...

    async def tell(self, request: MediaRequest, answer: Answer[DownloadUrl], /, *, media_id: str | None = None) -> None:
        """
        Hand over what a request has come to.

        `media_id` says which medium it is, where a request has several or a reply was about several; such an answer
        gets an audit record of its own.
        """
        ...


class Endpoint(Protocol):
    """
    One way of getting URLs from Genesys.

    `action` is the audit trail's name for it. `forms` are the ids it takes, each by the names of its parts with slashes
    between, such as `conversationId/recordingId`. Up to `batch_size` requests are given to it together.
    """

    @property
    def action(self) -> str:
        """What the audit trail calls it."""
        ...

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of ids that it takes."""
        ...

    @property
    def batch_size(self) -> int:
        """How many requests it takes together, at most."""
        ...

    async def retrieve(self, requests: tuple[MediaRequest, ...], assignment: Assignment, /) -> None:
        """Ask for the media of the requests, and tell of each request at least one answer."""
        ...


def share_of(answer: Answer[T], came: DownloadUrl | GenesysMediaError) -> Answer[DownloadUrl]:
    """Return what an answer comes to for one of the media that it is about."""
    url, error = (None, came) if isinstance(came, GenesysMediaError) else (came, None)
    if error is not None and error.correlation_id is None:
        error.correlation_id = answer.correlation_id
    return Answer(url, error, answer.attempts, answer.latency, answer.correlation_id)


def read_json(shape: TypeAdapter[T], reply: HttpReply) -> T:
    """Return the body of a JSON reply. Raises `InvalidReply` for another content type, or another shape."""
    try:
        return shape.validate_json(require_json(reply))
    except ValidationError as error:
        raise not_as_agreed(error) from None


def not_as_agreed(error: ValidationError) -> InvalidReply:
    """Return what it means that a reply's JSON has another shape than was agreed, without quoting any of it."""
    wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = quotable(".".join(str(part) for part in wrong["loc"]), 80) or "body"
    return InvalidReply(f"The reply is not the agreed JSON ({where}: {wrong['msg']}).", code="reply_shape")


def require_json(reply: HttpReply) -> bytes:
    """Return the body of a JSON reply. Raises `InvalidReply` for another content type."""
    content_type = reply.headers.get("content-type", "")
    if content_type not in _JSON and content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidReply(
            f"The reply is {quotable(content_type, 80) or 'of no content type'}, not application/json.",
            code="reply_not_json",
        )
    return reply.body
