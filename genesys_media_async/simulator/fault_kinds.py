"""The kinds of faults: their names, and the sets of those that act alike."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

FaultT = TypeVar("FaultT", bound=Enum)


class Fault(Enum):
    """One way for a reply to go wrong; the values are the names on the command line and in reports."""

    SERVER_ERROR_500 = "server-error-500"
    SERVER_ERROR_502_HTML = "server-error-502-html"
    SERVER_ERROR_503 = "server-error-503"
    SERVER_ERROR_503_RETRY_AFTER = "server-error-503-retry-after"
    SERVER_ERROR_504 = "server-error-504"
    TOO_MANY_REQUESTS = "too-many-requests"
    TOO_MANY_REQUESTS_NO_HEADER = "too-many-requests-no-header"
    CLIENT_TIMEOUT_408 = "client-timeout-408"
    UNAUTHORIZED = "unauthorized"
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - the name of a fault, not a secret
    RESET_BEFORE_REPLY = "reset-before-reply"
    CLOSE_BEFORE_REPLY = "close-before-reply"
    KEEP_ALIVE_RACE = "keep-alive-race"
    HANG = "hang"
    GARBAGE = "garbage"
    RESET_DURING_REPLY = "reset-during-reply"
    SLOW_DRIP = "slow-drip"
    TRUNCATED_BODY = "truncated-body"
    TRUNCATED_JSON = "truncated-json"
    OVERSIZED_BODY = "oversized-body"
    COMPRESSED_BODY = "compressed-body"
    MALFORMED_JSON = "malformed-json"
    WRONG_CONTENT_TYPE = "wrong-content-type"
    EMPTY_URL = "empty-url"
    MISSING_FIELDS = "missing-fields"
    WRONG_TYPES = "wrong-types"
    HTTP_URL = "http-url"
    LATE = "late"


class JobFault(Enum):
    """One way for a batch download job to go wrong, from its submission to its end."""

    REPLY_LOST = "reply-lost"
    REPLY_CUT = "reply-cut"
    REPLY_HANGS = "reply-hangs"
    REPLY_503 = "reply-503"
    NOT_THERE_YET = "not-there-yet"
    NEVER_COMPLETES = "never-completes"
    LOST = "lost"
    UNKNOWN_STATUS = "unknown-status"
    DUPLICATE_RESULTS = "duplicate-results"
    UNREQUESTED_RESULTS = "unrequested-results"
    NO_STATUS = "no-status"
    NULL_RESULTS = "null-results"
    WRONG_TYPES = "wrong-types"
    NO_CONVERSATION_IDS = "no-conversation-ids"
    MISSING_RESULTS = "missing-results"
    NULL_URLS = "null-urls"
    HTTP_URLS = "http-urls"
    FOREIGN_URLS = "foreign-urls"


ERROR_STATUSES = frozenset(
    {
        Fault.SERVER_ERROR_500,
        Fault.SERVER_ERROR_502_HTML,
        Fault.SERVER_ERROR_503,
        Fault.SERVER_ERROR_503_RETRY_AFTER,
        Fault.SERVER_ERROR_504,
        Fault.TOO_MANY_REQUESTS,
        Fault.TOO_MANY_REQUESTS_NO_HEADER,
        Fault.CLIENT_TIMEOUT_408,
        Fault.UNAUTHORIZED,
        Fault.TOKEN_EXPIRED,
    }
)
"""An error status is sent and the request has no effect."""

SILENT = frozenset(
    {Fault.RESET_BEFORE_REPLY, Fault.CLOSE_BEFORE_REPLY, Fault.KEEP_ALIVE_RACE, Fault.HANG, Fault.GARBAGE}
)
"""No status line ever reaches the client; only a request over a reused connection can meet the keep-alive race."""

CUT_OR_SLOW = frozenset({Fault.RESET_DURING_REPLY, Fault.SLOW_DRIP, Fault.TRUNCATED_BODY})
"""The reply is correct and travels badly."""

STILL_GOOD = frozenset({Fault.SLOW_DRIP, Fault.COMPRESSED_BODY, Fault.LATE})
"""The client still gets the whole correct reply, so the request counts as served."""

TOKEN_FAULTS = frozenset(Fault) - {Fault.TOKEN_EXPIRED, Fault.EMPTY_URL, Fault.HTTP_URL}
"""The faults that the token endpoint can have."""

WEBHOOK_FAULTS = (ERROR_STATUSES | SILENT | {Fault.LATE}) - {Fault.TOKEN_EXPIRED}
"""The faults that the webhook receiver can have; its good reply has no body to spoil."""


def check_chances(chances: Mapping[FaultT, float]) -> None:
    """Raise ValueError unless these can be the probabilities of faults that exclude each other."""
    if any(chance < 0 for chance in chances.values()) or sum(chances.values()) > 1.0 + 1e-9:
        raise ValueError("the probabilities of the faults must not be negative or add up to more than 1")
