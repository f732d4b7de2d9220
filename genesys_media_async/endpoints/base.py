"""The seam: what to ask Genesys for one id, as a short script over one authorised, quota-paid, retried call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import InvalidReply, quotable

if TYPE_CHECKING:
    from ..api import Answer, Call
    from ..models import DownloadUrl, MediaRequest
    from ..settings import ValidationRule
    from ..transports import HttpReply

T = TypeVar("T")


class Ask(Protocol):
    """Makes a call to its end: permits, token, retries and audit records are taken care of."""

    async def __call__(self, call: Call[T], /) -> Answer[T]:
        """Return the value or the error that the call came to."""
        ...


class Endpoint(Protocol):
    """
    One way of getting a URL from Genesys.

    `action` is the audit trail's name for it.
    """

    @property
    def action(self) -> str:
        """What the audit trail calls it."""
        ...

    async def retrieve(self, request: MediaRequest, rule: ValidationRule, ask: Ask) -> Answer[DownloadUrl]:
        """Ask for the URL of one medium; it has passed `rule` when it is returned."""
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
