"""The seam of endpoints: a short script over authorised calls that retrieves the URLs for one kind of id."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, TypeVar

from msgspec import Struct
from pydantic import ValidationError

from ..api.replies import repaired_json
from ..errors import InvalidResponseError, sanitized

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import TypeAdapter

    from ..api.calls import Call, CallResult
    from ..clock import Clock
    from ..counters import Counters
    from ..events import Event
    from ..models import DownloadUrl, MediaRequest
    from ..settings.policies import ValidationRule
    from ..transports.base import HttpReply

T = TypeVar("T")

JSON_TYPES = frozenset({"", "application/json", "text/json"})
JSON_CONTENT_TYPES = frozenset(
    {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}
)
"""The usual spellings; `require_json` accepts the others."""

MISSING_ID: Final = "00000000-0000-4000-8000-000000000000"
"""An id that no organisation has, for probes."""


class EndpointContext(Protocol):
    """What a run provides for an endpoint: calls, pauses, events, and where results go."""

    @property
    def rule(self) -> ValidationRule:
        """The rule for URLs; see `validation.check`."""
        ...

    @property
    def clock(self) -> Clock:
        """The time; to wait, use `sleep`."""
        ...

    @property
    def counters(self) -> Counters:
        """The live counts of the run; an endpoint counts its `jobs` here, which end when it is cancelled, too."""
        ...

    def call(self, call: Call[T], /) -> Awaitable[CallResult[T]]:
        """Make a call, with permits, token, retries and audit records."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait until Genesys is ready; another id uses the worker meanwhile."""
        ...

    def emit(self, event: Event, /) -> None:
        """Send an event to the sinks; never waits."""
        ...

    async def report(
        self, request: MediaRequest, result: CallResult[DownloadUrl], /, *, media_id: str | None = None
    ) -> None:
        """
        Report a result for a request.

        `media_id` identifies the medium if the request has several, or if the call was about several; such a result
        gets an audit record of its own.
        """
        ...


class Probe(Struct, frozen=True, gc=False):
    """
    A harmless call about something that does not exist; its status shows whether the OAuth client may make such calls.

    `remark` is what a good reply leaves open.
    """

    method: str
    path: str
    body: bytes = b""
    remark: str = ""


class Endpoint(ABC):
    """
    One way to get URLs from Genesys; derive your own from it and write `retrieve`.

    `action` is its name in the audit trail. `id_formats` are the ids it accepts, each as the names of its parts with
    slashes between them, such as `conversationId/recordingId`. `permission` is what the OAuth client needs, in words
    for a person, and `probe` is the harmless call by which `genesys-media doctor` checks it. `all_not_found` is what to
    do if every id gets a 404; empty if the ids are to be checked. `batch_size` is the maximum number of requests that
    `retrieve` gets at once.
    """

    action: ClassVar[str] = "custom"
    probe: ClassVar[Probe | None] = None
    all_not_found: ClassVar[str] = ""
    id_formats: tuple[str, ...] = ("fileId",)
    permission: str = "the permission named in the message"
    batch_size: int = 1

    @abstractmethod
    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Make the calls for these requests, and report at least one result for each of them."""


def read_json(shape: TypeAdapter[T], reply: HttpReply) -> T:
    """Return the value in a JSON reply. Raises `InvalidResponseError` for another content type or shape."""
    body = require_json(reply)
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        return read_repaired(shape.validate_json, body, error)


def read_repaired(read: Callable[[bytes], T], body: bytes, error: ValidationError) -> T:
    """Read JSON once more, without the faults of its encoding; raise `InvalidResponseError` for what is left wrong."""
    repaired = repaired_json(body)
    if repaired == body:
        raise unexpected_shape(error) from None
    try:
        return read(repaired)
    except ValidationError as remaining:
        raise unexpected_shape(remaining) from None


def unexpected_shape(error: ValidationError) -> InvalidResponseError:
    """Error for JSON of another shape than agreed; it quotes nothing of the reply."""
    wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = sanitized(".".join(str(part) for part in wrong["loc"]), 80) or "body"
    return InvalidResponseError(f"The reply is not the agreed JSON ({where}: {wrong['msg']}).", code="reply_shape")


def require_json(reply: HttpReply) -> bytes:
    """
    Return the body of a JSON reply. Raises `InvalidResponseError` for another content type.

    JSON is `application/json`, `text/json`, and any type with the suffix `+json` (RFC 6839, section 3.1); a reply
    without a type may be JSON, too.
    """
    content_type = reply.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in JSON_TYPES and not kind.endswith("+json"):
        raise InvalidResponseError(f"The reply is {sanitized(content_type, 80)}, not JSON.", code="reply_not_json")
    return reply.body
