"""The two values of a call: what to send and how to read the reply, and what the call came to."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Generic, TypeVar

from ..errors import GenesysMediaError
from ..records import record
from ..transports.base import MAX_REPLY_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import DownloadUrl
    from ..transports.base import HttpReply

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@record
class Call(Generic[T_co]):
    """
    What to ask, on whose behalf, and how to read the answer.

    `path` follows the API's origin. `read` turns a 2xx reply, to a request sent at that many seconds since 1970, into
    the value wanted, or raises `InvalidResponseError` (ask again) or `UrlRejectedError` (do not). A call that is not `repeatable`
    starts something at Genesys each time, and is not sent again if it may have been carried out. A reply of more than
    `max_reply_size` bytes is not read. With `redirects`, a redirect away from Genesys's API and login is read, too; none
    is ever followed.
    """

    method: str
    path: str
    body: bytes = field(repr=False)
    subject: str
    action: str
    read: Callable[[HttpReply, float], T_co] = field(repr=False)
    repeatable: bool = True
    max_reply_size: int = MAX_REPLY_SIZE
    redirects: bool = False


@record
class CallResult(Generic[T]):
    """What a call came to: exactly one of `value` and `error`. `latency` is the last exchange's, in seconds."""

    value: T | None = field(repr=False)
    error: GenesysMediaError | None
    attempts: int
    latency: float
    correlation_id: str | None

    def with_outcome(self, outcome: DownloadUrl | GenesysMediaError) -> CallResult[DownloadUrl]:
        """Return the result of one of the media that this call was about."""
        if not isinstance(outcome, GenesysMediaError):
            return CallResult(outcome, None, self.attempts, self.latency, self.correlation_id)
        if outcome.correlation_id is None:
            outcome.correlation_id = self.correlation_id
        return CallResult(None, outcome, self.attempts, self.latency, self.correlation_id)
