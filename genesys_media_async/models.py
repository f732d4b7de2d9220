"""
The values one id turns into: `MediaRequest` → `DownloadUrl` → `MediaResult`.

JSON is checked where it enters and leaves, with pydantic; inside, everything is a frozen value.
"""

from __future__ import annotations

import re
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from .errors import GenesysMediaError, InvalidRequest, quotable
from .values import value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

ExpiryKnownFrom = Literal["reply", "url", "settings", "default"]
"""Who said when a URL ends: Genesys's reply, the signed URL itself, the organisation's settings, or only its rule."""

LONGEST_LIFE = 86_400
DEFAULT_LIFE = 3_600
LONGEST_FILE_ID = 128
LONGEST_ACCESS_LEVEL = 64

# Seconds of life; `datetime` ends with the year 9999, some 250 thousand million seconds from now.
_BEYOND_ANY_DATE = 200_000_000_000

# An allow-list, not an escape: ".." survives percent-encoding, and HTTP clients resolve it onto another endpoint.
# Here `$` is the end of the text and nothing before it, a line break least of all: pydantic's patterns are Rust's.
_FILE_ID = Annotated[str, Field(strict=True, max_length=LONGEST_FILE_ID, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]
_is_plain: Callable[[object], bool] = TypeAdapter(_FILE_ID).validator.isinstance_python
_ACCESS_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


@with_config(ConfigDict(strict=True, hide_input_in_errors=True))
class DownloadUrlReply(TypedDict):
    """
    The JSON body that answers it; unknown members are ignored, wrong types are not.

    `expiresIn` is in seconds. A dict, since a model takes half as long again to make and read.
    """

    url: Annotated[str, Field(min_length=1)]
    expiresIn: Annotated[int, Field(gt=0, lt=_BEYOND_ANY_DATE)]
    fileName: NotRequired[str | None]
    contentType: NotRequired[str | None]
    accessLevel: NotRequired[str | None]


_read_reply: Callable[[bytes], DownloadUrlReply] = TypeAdapter(DownloadUrlReply).validator.validate_json


class ErrorBody(BaseModel):
    """
    Genesys's error body, as far as it is used; every member may be missing.

    Follows `ErrorBody` of the platform API: https://developer.genesys.cloud/platform/api/
    """

    model_config = ConfigDict(frozen=True)

    code: str | None = None
    message: str | None = None
    contextId: str | None = None  # noqa: N815


@value
class MediaRequest:
    """
    One id and what is asked for it: a URL that lives `expires_in` seconds, with an access level if one is needed.

    `form` names the parts of the id with slashes between, as in `conversationId/recordingId`. Raises `InvalidRequest`
    for what must not be sent: an id has 1 to 128 characters, each of its parts some of `A-Z a-z 0-9 . _ -` and no dot
    first; `expires_in` is a whole number from 1 to 86,400.
    """

    file_id: str
    expires_in: int = DEFAULT_LIFE
    access_level: str | None = None
    form: str = "fileId"

    def __post_init__(self) -> None:
        if type(self.file_id) is not str:
            object.__setattr__(self, "file_id", plain(self.file_id))
        if "/" in self.form or not _is_plain(self.file_id):
            _check_file_id(self.file_id, self.form)
        check_life(self.expires_in)
        if self.access_level is not None:
            object.__setattr__(self, "access_level", check_access_level(self.access_level))

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the id, as many as its form has."""
        return tuple(self.file_id.split("/"))

    def payload(self) -> bytes:
        """Return the JSON body that asks media storage for it."""
        # None of the characters that an id or a level may have needs escaping.
        level = "" if self.access_level is None else f',"accessLevel":"{self.access_level}"'
        return f'{{"fileId":"{self.file_id}","expiresIn":{self.expires_in}{level}}}'.encode()


def plain(given: object) -> str:
    """
    Return an id as plain text, and what is no text as it is, to be refused.

    A subclass of `str`, an enum's member for one, may be formatted as something else than the characters it has.
    """
    return str.__str__(given) if isinstance(given, str) else cast("str", given)


def text_of(given: object) -> str:
    """Return as text what was given for an id; never raises."""
    try:
        return str(plain(given))
    except Exception:  # noqa: BLE001 - whatever it is, it is refused, and the refusal has to name it
        return f"<{type(given).__name__}>"


def _check_file_id(file_id: object, form: str) -> None:
    if not isinstance(file_id, str):
        raise InvalidRequest(
            f"A file id is text, not {type(file_id).__name__}.",
            code="invalid_file_id",
            advice="Pass the id as a string.",
        )
    if not file_id:
        raise InvalidRequest("The file id is empty.", code="invalid_file_id", advice="Remove it from the input.")
    if len(file_id) > LONGEST_FILE_ID:
        raise InvalidRequest(
            f"The file id has {len(file_id)} characters; {LONGEST_FILE_ID} are allowed.",
            code="invalid_file_id",
            advice="Check that the input holds one id a line.",
        )
    parts = file_id.split("/")
    if len(parts) != form.count("/") + 1 or not all(map(_is_plain, parts)):
        raise InvalidRequest(
            f"The file id {quotable(ascii(file_id), 80)} has a character that no id has.",
            code="invalid_file_id",
            advice="Only A-Z a-z 0-9 . _ - are allowed, and no dot first.",
        )


def check_life(expires_in: object) -> int:
    """Return `expires_in`, or raise `InvalidRequest` unless it is a whole number of seconds from 1 to 86,400."""
    if type(expires_in) is not int or not 1 <= expires_in <= LONGEST_LIFE:
        # Python refuses to print an integer of thousands of digits.
        too_long = isinstance(expires_in, int) and abs(expires_in) > 10**18
        raise InvalidRequest(
            f"expires_in is {'far out of range' if too_long else quotable(repr(expires_in), 40)}.",
            code="invalid_expires_in",
            advice=f"It has to be a whole number of seconds from 1 to {LONGEST_LIFE} (one day).",
        )
    return expires_in


def check_access_level(access_level: object) -> str:
    """Return `access_level`, or raise `InvalidRequest` unless it is a plain word of at most 64 characters."""
    if (
        not isinstance(access_level, str)
        or len(access_level) > LONGEST_ACCESS_LEVEL
        or not _ACCESS_LEVEL.fullmatch(access_level)
    ):
        raise InvalidRequest(
            f"access_level is {quotable(repr(access_level), 80)}.",
            code="invalid_access_level",
            advice=f"It has to be a word of at most {LONGEST_ACCESS_LEVEL} of A-Z a-z 0-9 . _ : -.",
        )
    return str.__str__(access_level)


@value
class DownloadUrl:
    """
    A pre-signed URL and what is known of it.

    Whoever has `url` can download the medium: it is a secret, and no `repr` shows it. `ends_at` (seconds since
    1970, UTC) is counted from when the request was sent, so that it is never later than the truth. `expires_in` is the
    life in seconds that Genesys granted, as known from `expiry_known_from`.
    """

    url: str = field(repr=False)
    ends_at: float
    expires_in: int
    file_name: str | None = None
    content_type: str | None = None
    access_level: str | None = None
    expiry_known_from: ExpiryKnownFrom = "reply"

    @classmethod
    def from_reply(cls, body: bytes, *, sent_at: float) -> Self:
        """
        Read the JSON body of a reply to a request sent at `sent_at` (seconds since 1970, UTC).

        Raises pydantic's `ValidationError` if the shape is not `DownloadUrlReply`'s.
        """
        reply = _read_reply(body)
        life = reply["expiresIn"]
        return cls(
            reply["url"],
            sent_at + life,
            life,
            reply.get("fileName"),
            reply.get("contentType"),
            reply.get("accessLevel"),
        )

    @property
    def expires_at(self) -> datetime:
        """When it ends, in UTC."""
        return datetime.fromtimestamp(self.ends_at, UTC)

    @property
    def host(self) -> str | None:
        """The host name the URL points to, which is no secret; None if there is none."""
        try:
            return urlsplit(self.url).hostname
        except ValueError:
            return None

    def remaining(self, wall: float) -> float:
        """Return the seconds of life left at `wall` (seconds since 1970); negative once it is dead."""
        return self.ends_at - wall


@value
class MediaResult:
    """
    What became of one id: exactly one of `url` and `error` is set.

    `file_id` is the input as given; `media_id` says which medium this is, where an id can stand for several. `latency`
    is the seconds from sending the deciding request to the end of its reply, without any waiting before it; 0 if
    nothing was sent. `attempts` counts the requests sent.
    """

    file_id: str
    url: DownloadUrl | None = None
    error: GenesysMediaError | None = None
    attempts: int = 0
    latency: float = 0.0
    correlation_id: str | None = None
    media_id: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a URL."""
        return self.url is not None

    def unwrap(self) -> DownloadUrl:
        """Return the URL, or raise the error."""
        if self.url is not None:
            return self.url
        raise self.error or RuntimeError(f"{self!r} has neither URL nor error")


def correlation_id(headers: Mapping[str, str]) -> str | None:
    """Return what Genesys's support identifies a request by, from reply headers with lower-case names."""
    value = headers.get("inin-correlation-id") or headers.get("genesys-correlation-id")
    if not value:
        return None
    # A UUID, as good as always; quoting costs more than the rest of reading a reply.
    return value if len(value) <= 64 and _is_plain(value) else quotable(value, 64)
