"""
What can go wrong on purpose: the names of the faults, and the plan that says which request meets which.

A plan decides and does nothing; what a fault does to a reply is written in `spoiling`, how it travels in the carriers.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping

FaultT = TypeVar("FaultT", bound=Enum)


class Fault(Enum):
    """One way for a reply to go wrong; the values are what a command line or a report calls them."""

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

    ANSWER_LOST = "answer-lost"
    NEVER_COMPLETES = "never-completes"
    LOST = "lost"
    UNKNOWN_STATUS = "unknown-status"
    DUPLICATE_RESULTS = "duplicate-results"
    UNASKED_RESULTS = "unasked-results"
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
"""Answered with an error status instead of the work."""

SILENT = frozenset({Fault.RESET_BEFORE_REPLY, Fault.CLOSE_BEFORE_REPLY, Fault.HANG, Fault.GARBAGE})
"""No status line ever reaches the client."""

CUT_OR_SLOW = frozenset({Fault.RESET_DURING_REPLY, Fault.SLOW_DRIP, Fault.TRUNCATED_BODY})
"""The right reply, travelling badly."""

STILL_GOOD = frozenset({Fault.SLOW_DRIP, Fault.COMPRESSED_BODY, Fault.LATE})
"""The client gets the whole right answer all the same, so the request counts as served."""

TOKEN_FAULTS = frozenset(Fault) - {Fault.TOKEN_EXPIRED, Fault.EMPTY_URL, Fault.HTTP_URL}
"""What the token endpoint can be told to do."""

WEBHOOK_FAULTS = (ERROR_STATUSES | SILENT | {Fault.LATE}) - {Fault.TOKEN_EXPIRED}
"""What the webhook receiver can be told to do; its good reply has no body that could be spoiled."""


class FaultPlan(Generic[FaultT]):
    """
    Which fault, if any, the next request, or job, meets. `possible` are those it can be given; None: any.

    What was scripted comes first, in order; only then do the probabilities apply.
    """

    def __init__(
        self, chances: Mapping[FaultT, float], rng: random.Random, *, possible: frozenset[FaultT] | None = None
    ) -> None:
        self._script: deque[FaultT | None] = deque()
        self._rng = rng
        self._possible = possible
        self._thresholds = _thresholds(chances)

    def __repr__(self) -> str:
        return f"<FaultPlan: {len(self._script)} scripted, {len(self._thresholds)} by chance>"

    def script(self, faults: Iterable[FaultT | None]) -> None:
        """Append what the next requests meet; None is a good reply. Raises ValueError for what cannot happen here."""
        wanted = tuple(faults)
        possible = self._possible
        impossible = [fault.value for fault in wanted if possible and fault is not None and fault not in possible]
        if impossible:
            raise ValueError(f"this endpoint cannot be given {', '.join(impossible)}")
        self._script.extend(wanted)

    def draw(self) -> FaultT | None:
        """Return what this request meets, and move on."""
        if self._script:
            return self._script.popleft()
        if not self._thresholds:
            return None
        roll = self._rng.random()
        return next((fault for threshold, fault in self._thresholds if roll < threshold), None)


def check_chances(chances: Mapping[FaultT, float]) -> None:
    """Raise ValueError when these cannot be the probabilities of faults that exclude each other."""
    if any(chance < 0 for chance in chances.values()) or sum(chances.values()) > 1.0 + 1e-9:
        raise ValueError("the probabilities of the faults must not be negative or add up to more than 1")


def _thresholds(chances: Mapping[FaultT, float]) -> tuple[tuple[float, FaultT], ...]:
    """Lay the probabilities end to end, so that one roll of the dice decides among all of them."""
    reached = 0.0
    thresholds: list[tuple[float, FaultT]] = []
    for fault, chance in chances.items():
        reached += chance
        thresholds.append((reached, fault))
    return tuple(thresholds)
