"""
The values of one id: `MediaRequest` → `DownloadUrl` → `MediaResult`, which is `Retrieved` or `Failed`.

JSON is checked where it enters and leaves, with pydantic or msgspec; inside, everything is a frozen value.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import TypeAdapter
from pydantic_core import core_schema
from typing_extensions import TypedDict

from .errors import GenesysMediaError, InvalidRequestError, sanitized
from .ids import check_file_id
from .records import Record

if TYPE_CHECKING:
    from typing import Never, Self

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

ExpirySource = Literal["reply", "url", "settings", "default"]
"""The source of a URL's end: the reply, the signed URL itself, the organisation's settings, or a default."""

MAX_LIFETIME = 86_400
DEFAULT_LIFETIME = 3_600
MAX_ACCESS_LEVEL = 64

SCHEMA_VERSION = 1
"""Version of `ResultDict`; a new key, or another meaning of an old one, makes a new version."""

_ACCESS_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


class MediaRequest(Struct, frozen=True, gc=False):
    """
    A request for the URL of one id: a lifetime of `expires_in` seconds, and an access level if one is needed.

    `id_format` names the parts of the id with slashes between, as in `conversationId/recordingId`. A run checks its
    requests; use `checked` for a request of your own.
    """

    file_id: str
    expires_in: int = DEFAULT_LIFETIME
    access_level: str | None = None
    id_format: str = "fileId"

    @classmethod
    def checked(
        cls,
        file_id: object,
        expires_in: int = DEFAULT_LIFETIME,
        access_level: str | None = None,
        id_format: str = "fileId",
    ) -> Self:
        """
        Make a request, or raise `InvalidRequestError` for one that must not be sent.

        An id has 1 to 128 characters; each of its parts consists of `A-Z a-z 0-9 . _ -` and begins with no dot.
        `expires_in` is a whole number from 1 to 86,400.
        """
        level = None if access_level is None else check_access_level(access_level)
        return cls(check_file_id(file_id, id_format), check_lifetime(expires_in), level, id_format)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the id, as many as its format has."""
        return tuple(self.file_id.split("/"))


def check_lifetime(expires_in: object) -> int:
    """Return `expires_in`, or raise `InvalidRequestError` unless it is a whole number of seconds from 1 to 86,400."""
    if type(expires_in) is not int or not 1 <= expires_in <= MAX_LIFETIME:
        # Python refuses to print an integer of thousands of digits.
        is_huge = isinstance(expires_in, int) and abs(expires_in) > 10**18
        raise InvalidRequestError(
            f"expires_in is {'far out of range' if is_huge else sanitized(repr(expires_in), 40)}.",
            code="invalid_expires_in",
            advice=f"It must be a whole number of seconds from 1 to {MAX_LIFETIME} (one day).",
        )
    return expires_in


def check_access_level(access_level: object) -> str:
    """Return `access_level`, or raise `InvalidRequestError` unless it is one word of at most 64 characters."""
    if (
        not isinstance(access_level, str)
        or len(access_level) > MAX_ACCESS_LEVEL
        or not _ACCESS_LEVEL.fullmatch(access_level)
    ):
        raise InvalidRequestError(
            f"access_level is {sanitized(repr(access_level), 80)}.",
            code="invalid_access_level",
            advice=f"It must be a word of at most {MAX_ACCESS_LEVEL} of A-Z a-z 0-9 . _ : -.",
        )
    return str.__str__(access_level)


class DownloadUrl(Record, frozen=True, gc=False):
    """
    A pre-signed URL as an endpoint received it.

    Anybody with `url` can download the medium: it is a secret, and no `repr` shows it. `ends_at` (seconds since 1970,
    UTC) is counted from the sending of the request, so that it is never later than the truth. `expires_in` is the
    granted lifetime in seconds. Both are known from `expiry_source`.
    """

    hidden: ClassVar[frozenset[str]] = frozenset({"url"})

    url: str
    ends_at: float
    expires_in: int
    file_name: str | None = None
    content_type: str | None = None
    access_level: str | None = None
    expiry_source: ExpirySource = "reply"

    @property
    def expires_at(self) -> datetime:
        """When the URL expires, in UTC."""
        return datetime.fromtimestamp(self.ends_at, UTC)

    @property
    def host(self) -> str | None:
        """The host name in the URL, which is no secret; None if there is none."""
        try:
            return urlsplit(self.url).hostname
        except ValueError:
            return None


class ResultDict(TypedDict):
    """
    A result as one flat JSON object: a line of the command's JSONL output, and the columns of its CSV.

    Every key is always present. `expires_at` is an ISO 8601 time in UTC, to the second; `expires_in` and `latency` are
    seconds. `Retrieved` and `Failed` describe the other keys.
    """

    schema_version: int
    file_id: str
    media_id: str | None
    status: Literal["ok", "failed"]
    url: str | None
    expires_at: str | None
    expires_in: int | None
    expiry_source: ExpirySource | None
    file_name: str | None
    content_type: str | None
    access_level: str | None
    attempts: int
    latency: float
    correlation_id: str | None
    error_code: str | None
    error_message: str | None
    error_retryable: bool | None
    error_status_code: int | None


class _Serializable(Record, frozen=True):
    """Makes a result a field type of pydantic, and so of FastAPI; it is serialized by `as_dict`."""

    def as_dict(self) -> ResultDict:
        """Return the result as a JSON object; see `ResultDict`."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(
            cls,
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.as_dict, return_schema=TypeAdapter(ResultDict).core_schema
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(ResultDict).core_schema)


class Retrieved(_Serializable, frozen=True, gc=False):
    """
    A validated download URL for one id, or for one of its media.

    `file_id` is the input as given; `media_id` identifies the medium where an id can have several. `url` is the
    pre-signed URL, a secret that no `repr` shows. `expires_at` and `expires_in` (the granted lifetime in seconds) are
    known from `expiry_source`. `attempts` counts the requests sent. `latency` is the time in seconds from sending the
    deciding request to the end of its reply, without any waiting before it.
    """

    ok: ClassVar[Literal[True]] = True

    file_id: str
    hidden: ClassVar[frozenset[str]] = frozenset({"url"})

    url: str
    ends_at: float
    expires_in: int
    file_name: str | None = None
    content_type: str | None = None
    access_level: str | None = None
    expiry_source: ExpirySource = "reply"
    attempts: int = 0
    latency: float = 0.0
    correlation_id: str | None = None
    media_id: str | None = None

    if TYPE_CHECKING:
        error: ClassVar[Never]
    else:
        error: ClassVar[None] = None

    @property
    def expires_at(self) -> datetime:
        """When the URL expires, in UTC."""
        return datetime.fromtimestamp(self.ends_at, UTC)

    def unwrap(self) -> Self:
        """Return the result itself; `Failed` raises."""
        return self

    def as_dict(self) -> ResultDict:
        """Return the result as a JSON object; see `ResultDict`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "file_id": self.file_id,
            "media_id": self.media_id,
            "status": "ok",
            "url": self.url,
            # By whole seconds: `fromtimestamp` rounds to the microsecond, which may be up, and so later than the truth.
            "expires_at": datetime.fromtimestamp(int(self.ends_at), UTC).isoformat().replace("+00:00", "Z"),
            "expires_in": self.expires_in,
            "expiry_source": self.expiry_source,
            "file_name": self.file_name,
            "content_type": self.content_type,
            "access_level": self.access_level,
            "attempts": self.attempts,
            "latency": round(self.latency, 6),
            "correlation_id": self.correlation_id,
            "error_code": None,
            "error_message": None,
            "error_retryable": None,
            "error_status_code": None,
        }


class Failed(_Serializable, frozen=True):
    """
    The last error of one id, or of one of its media; the other members are those of `Retrieved`.

    `latency` is 0 if nothing was sent. The error keeps no frames.
    """

    ok: ClassVar[Literal[False]] = False

    file_id: str
    error: GenesysMediaError
    attempts: int = 0
    latency: float = 0.0
    correlation_id: str | None = None
    media_id: str | None = None

    if TYPE_CHECKING:
        url: ClassVar[Never]
        ends_at: ClassVar[Never]
        expires_at: ClassVar[Never]
        expires_in: ClassVar[Never]
        file_name: ClassVar[Never]
        content_type: ClassVar[Never]
        access_level: ClassVar[Never]
        expiry_source: ClassVar[Never]
    else:
        url = ends_at = expires_at = expires_in = file_name = content_type = access_level = expiry_source = None

    def unwrap(self) -> Never:
        """Raise the error, without the frames of an earlier time."""
        raise self.error.without_frames()

    def as_dict(self) -> ResultDict:
        """Return the result as a JSON object; see `ResultDict`."""
        error = self.error
        return {
            "schema_version": SCHEMA_VERSION,
            "file_id": self.file_id,
            "media_id": self.media_id,
            "status": "failed",
            "url": None,
            "expires_at": None,
            "expires_in": None,
            "expiry_source": None,
            "file_name": None,
            "content_type": None,
            "access_level": None,
            "attempts": self.attempts,
            "latency": round(self.latency, 6),
            "correlation_id": self.correlation_id,
            "error_code": error.code,
            "error_message": str(error),
            "error_retryable": error.retryable,
            "error_status_code": error.status_code,
        }


MediaResult: TypeAlias = Retrieved | Failed
"""
The result of one id; `if result.ok`, `match` and `isinstance` distinguish the two.

The members of the other kind are None at run time. For type checkers they are `Never`: so `result.url` is a `str` after
`if result.ok` also in pyright, which by design narrows a union by `result.ok is True` but not by `result.ok` alone.
"""
