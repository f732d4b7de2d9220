"""The two values of a call: what to send and how to read the reply, and the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from ..audit.group import WRITTEN, RecordGroup
from ..errors import GenesysMediaError
from ..records import Record
from ..transports.base import MAX_REPLY_SIZE, HttpReply

if TYPE_CHECKING:
    from ..models import DownloadUrl

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Call(Record, Generic[T_co], frozen=True):
    """
    A request to the API, and how to read its reply.

    `path` follows the API's origin. `subject` is what the call is about and `action` what it does; both stand in the
    audit record. `read` turns a 2xx reply into the wanted value; its second argument is when the request was sent, in
    seconds since 1970. It raises `InvalidResponseError`, which is retried, or `UrlRejectedError`, which is not.

    `on_failure` gets the error of each attempt that was sent, also of one that was cancelled in flight, and returns the
    error that is recorded and decides about a retry. A reply of more than `max_reply_size` bytes is rejected. With
    `redirects`, `read` also gets a redirect that leads away from Genesys's API and login; no redirect is ever followed.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"body", "read", "on_failure"})

    method: str
    path: str
    body: bytes
    subject: str
    action: str
    read: Callable[[HttpReply, float], T_co]
    on_failure: Callable[[GenesysMediaError], GenesysMediaError] | None = None
    max_reply_size: int = MAX_REPLY_SIZE
    redirects: bool = False


class CallResult(Record, Generic[T], frozen=True):
    """
    The result of a call: exactly one of `value` and `error`, which holds no frames.

    `attempts` counts the requests sent. `latency` (in seconds) and `correlation_id` are those of the last one. `group`
    is that of its audit record: what it came to is told once the group is written.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"value", "group"})

    value: T | None
    error: GenesysMediaError | None
    attempts: int
    latency: float
    correlation_id: str | None
    group: RecordGroup = WRITTEN

    def with_outcome(self, outcome: DownloadUrl | GenesysMediaError) -> CallResult[DownloadUrl]:
        """Return the result of one of the media that this call was about."""
        if not isinstance(outcome, GenesysMediaError):
            return CallResult(outcome, None, self.attempts, self.latency, self.correlation_id, self.group)
        if outcome.correlation_id is None:
            outcome.correlation_id = self.correlation_id
        return CallResult(None, outcome.without_frames(), self.attempts, self.latency, self.correlation_id, self.group)
