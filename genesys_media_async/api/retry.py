"""
Again or not, and when: a pure decision about one failed attempt.

The curve is `backoff.expo`. The jitter is drawn here and not by `backoff.full_jitter`, which reads the global random
generator; the loop is not `backoff`'s decorator, which by default shortens the wait a server asked for and measures
time on the wall clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING

import backoff

from ..errors import (
    APIConnectionError,
    APIStatusError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
    RateLimitError,
    TokenRejectedError,
    TokenUnavailableError,
)

if TYPE_CHECKING:
    import random

    from ..settings.policies import RetryPolicy

TRANSIENT_STATUSES = frozenset({408, 500, 502, 503, 504})
SUCCESSES_PER_EARNED_RETRY = 10
RATE_LIMIT_GUARD = 1.0
"""Seconds added to what Genesys asks for after a 429, since Retry-After is rounded to whole seconds."""
MAX_PAUSE = 86_400.0
"""Seconds; a server that asks for more is not believed for longer than a day."""

_MAX_CURVE = 64


class Kind(Enum):
    """What a failure means for the next attempt."""

    TRANSIENT = auto()
    RATE_LIMITED = auto()
    TOKEN_PENDING = auto()
    TOKEN_REJECTED = auto()
    PERMANENT = auto()


def classify(error: GenesysMediaError, *, repeatable: bool = True) -> Kind:
    """
    Say what kind of failure an error is.

    A call that is not `repeatable` starts something at Genesys each time it is carried out: it fails for good unless it
    is known that it was not.
    """
    match error:
        case RateLimitError():
            return Kind.RATE_LIMITED
        case TokenUnavailableError():
            return Kind.TOKEN_PENDING if error.retryable else Kind.PERMANENT
        case TokenRejectedError():
            return Kind.TOKEN_REJECTED
        case _ if not repeatable and _may_have_been_carried_out(error):
            return Kind.PERMANENT
        case APIStatusError():
            return Kind.TRANSIENT if error.status_code in TRANSIENT_STATUSES else Kind.PERMANENT
        case APIConnectionError() | InvalidResponseError():
            return Kind.TRANSIENT if error.retryable else Kind.PERMANENT
        case _:
            return Kind.PERMANENT


def _may_have_been_carried_out(error: GenesysMediaError) -> bool:
    told_to_come_later = error.status_code == 503 and error.retry_after is not None
    return not isinstance(error, ConnectError) and not told_to_come_later


@dataclass(slots=True)
class Tries:
    """What one id has been through so far; the decision counts in it."""

    transient: int = 0
    rate_limited: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Send once more after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Send no more; `out_of_time` says that only the deadline stood against another attempt."""

    out_of_time: bool = False


class RetryBudget:
    """
    Bounds what retries may add to the load of a run, so that an outage does not multiply it.

    Every retry takes one. An id that succeeds after retries gives back what it took; ten ids that succeed at once earn
    one more, never above the start. In an outage nothing comes back, and after `size` retries each further id is asked
    once. Idea: the retry quotas of the AWS SDKs and of https://sre.google/sre-book/handling-overload/ .
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._left = float(size)

    def __repr__(self) -> str:
        return f"<RetryBudget {self._left:.1f} of {self.size} left>"

    @property
    def left(self) -> float:
        """How many retries may still be made."""
        return self._left

    def take(self) -> bool:
        """Pay for one retry; False if the budget is used up."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def succeeded(self, retries: int) -> None:
        """Account for an id that succeeded after so many retries were paid for."""
        self._left = min(self.size, self._left + (retries or 1 / SUCCESSES_PER_EARNED_RETRY))


class RetryRule:
    """A `RetryPolicy` ready for use; `decide` is the whole of it."""

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._curve = curve(policy.base_delay, policy.max_delay)

    def decide(
        self,
        error: GenesysMediaError,
        tries: Tries,
        *,
        remaining: float,
        budget: RetryBudget,
        repeatable: bool = True,
    ) -> Again | GiveUp:
        """
        Decide about an attempt that ended in `error`, with `remaining` seconds until the id's deadline.

        Counts in `tries` and takes from `budget`. `error.retry_after` is a floor: jitter comes on top of it, never off.
        """
        kind = classify(error, repeatable=repeatable)
        floor = max(0.0, error.retry_after or 0.0)
        if kind is Kind.PERMANENT:
            return GiveUp()
        if kind is Kind.TOKEN_REJECTED:
            if tries.replayed:
                return GiveUp()
            tries.replayed = True
            return Again(0.0)
        if kind is Kind.TOKEN_PENDING:
            delay = floor
        elif kind is Kind.RATE_LIMITED:
            tries.rate_limited += 1
            if tries.rate_limited >= self._policy.max_rate_limited:
                return GiveUp()
            # The token's whole quota is paused for as long as it takes; the id merely queues for a permit again.
            delay = 0.0
        else:
            tries.transient += 1
            if tries.transient >= self._policy.max_attempts:
                return GiveUp()
            delay = floor + self._rng.random() * self._curve[min(tries.transient, len(self._curve)) - 1]
            if delay < remaining and not budget.take():
                return GiveUp()
        return Again(delay) if max(delay, floor) < remaining else GiveUp(out_of_time=True)


def pause_after_429(retry_after: float | None, in_a_row: int) -> float:
    """
    Return for how many seconds nobody may send after a 429, the `in_a_row`-th without another reply between.

    What Genesys asked for plus a guard second; where it asked for nothing, a curve from 1 s to 60 s.
    """
    if retry_after is not None:
        return min(MAX_PAUSE, max(0.0, retry_after) + RATE_LIMIT_GUARD)
    return min(60.0, 2.0 ** min(in_a_row - 1, 16))


def curve(base: float, longest: float) -> tuple[float, ...]:
    """Return the exponential curve base, 2 base, 4 base … up to the first value that is `longest`."""
    if base <= 0 or longest <= 0:
        return (0.0,)
    # The generator's first value is the None that primes it.
    values = islice(backoff.expo(base=2, factor=base, max_value=longest), 1, _MAX_CURVE + 1)
    points: list[float] = []
    for value in values:
        points.append(float(value))
        if value >= longest:
            break
    return tuple(points)


def parse_retry_after(value: str | None, *, wall: float) -> float | None:
    """
    Read a Retry-After header (RFC 9110, section 10.2.3) into seconds from now; None if it is missing or senseless.

    `wall` is the date now, in seconds since 1970. A date in the past and a negative number are 0; a number beyond all
    reason is infinite.
    """
    value = (value or "").strip()
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", value):
        return max(0.0, float(value))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # A date without a zone is read as UTC: HTTP knows no other.
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - wall)
