"""The seam: what to ask Genesys for one id, as a short script over one authorised, quota-paid, retried call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import InvalidReply, quotable

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..api import Answer, Call
    from ..models import DownloadUrl, MediaRequest
    from ..settings import ValidationRule
    from ..transports import HttpReply

T = TypeVar("T")


class Assignment(Protocol):
    """What an endpoint has to do its work with; it lasts for the requests that it was given together."""

    @property
    def rule(self) -> ValidationRule:
        """What a URL must meet to be handed out; see `validation.check`."""
        ...

    def ask(self, call: Call[T], /) -> Awaitable[Answer[T]]:
        """Make a call to its end: permits, token, retries and audit records are taken care of."""
        ...

    async def wait(self, seconds: float, /) -> None:
        """Wait for Genesys to get ready; the worker's place is another's meanwhile."""
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


def require_json(reply: HttpReply) -> bytes:
    """Return the body of a JSON reply. Raises `InvalidReply` for another content type."""
    content_type = reply.headers.get("content-type", "")
    if content_type != "application/json" and content_type.partition(";")[0].strip().lower() != "application/json":
        raise InvalidReply(
            f"The reply is {quotable(content_type, 80) or 'of no content type'}, not application/json.",
            code="reply_not_json",
        )
    return reply.body
