"""
The retry rules: the only table of statuses, the only delay curve, and the decision about a failed attempt. Pure.

The curve is `backoff.expo`. Jitter is drawn from the generator that is passed in, since `backoff.full_jitter` reads
the global one. `backoff`'s decorator is not used: by default it shortens the wait that a server asked for, and it
measures time on the wall clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

import backoff

from ..errors import (
    APIConnectionError,
    APIStatusError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
    RateLimitError,
    StaleConnectionError,
    TokenRejectedError,
    TokenUnavailableError,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from ..settings.policies import RetryPolicy

StatusQuestion = Literal["retry", "later", "login", "webhook", "unavailable", "outage", "carried_out"]

_5XX = frozenset(range(500, 600))
# 501 is about the method, so it stays. The others of gateways and content networks (507, 520 to 530) pass.
_PASSING = frozenset({408}) | _5XX - {501}

STATUSES: Final[Mapping[StatusQuestion, frozenset[int]]] = {
    # Is the call repeated within its deadline? Not for a 429, which pauses everybody and has a rule of its own.
    "retry": _PASSING,
    # Can the same call succeed later (`GenesysMediaError.retryable`)?
    "later": _PASSING | {429},
    # Is the login host only unavailable, so that a token is requested again?
    "login": _PASSING | {429},
    # Is a webhook sent again? A receiver that is being deployed or locked also answers 404, 409 or 425.
    "webhook": frozenset({404, 408, 409, 425, 429}) | _5XX,
    # Does the status leave open whether the client may make the call? A 401 is about the token.
    "unavailable": frozenset({401, 408, 429}) | _5XX,
    # Can it be the same for every call, so that many in a row are an outage? Content networks add 520 to 530.
    "outage": frozenset({502, 503, 504, *range(520, 531)}),
    # May the request have been carried out all the same? A 501 knows no such request.
    "carried_out": frozenset({408}) | _5XX - {501},
}
"""
Every rule about error statuses, by the question that it answers.

A status of 600 or more is in no row: HTTP has none (RFC 9110, section 15), so nobody knows what it means.
"""

SUCCESSES_PER_EARNED_RETRY = 10
RATE_LIMIT_GUARD = 1.0
"""Seconds added to the Retry-After of a 429, since it is rounded to whole seconds."""
MAX_RETRY_AFTER = 86_400.0
"""The longest wait, in seconds, that a Retry-After can mean; a longer one is a mistake."""

MAX_STALE = 3
"""
Free retries of one call after reused connections that were closed before any byte of the reply.

Every server ends idle connections, and a request may cross that end; RFC 9110, section 9.2.2, allows to repeat it. The
retry travels over a fresh connection, which cannot fail so again, unless a user's HTTP client chooses another one.
"""

_MAX_CURVE = 64


class Kind(Enum):
    """What a failure means for the next attempt."""

    TRANSIENT = auto()
    STALE_CONNECTION = auto()
    RATE_LIMITED = auto()
    TOKEN_PENDING = auto()
    TOKEN_REJECTED = auto()
    PERMANENT = auto()


def classify(error: GenesysMediaError) -> Kind:
    """Return what kind of failure an error is."""
    match error:
        case RateLimitError():
            return Kind.RATE_LIMITED
        case TokenUnavailableError():
            return Kind.TOKEN_PENDING if error.retryable else Kind.PERMANENT
        case TokenRejectedError():
            return Kind.TOKEN_REJECTED
        case StaleConnectionError():
            return Kind.STALE_CONNECTION
        case APIStatusError():
            return Kind.TRANSIENT if error.status_code in STATUSES["retry"] else Kind.PERMANENT
        case APIConnectionError() | InvalidResponseError():
            return Kind.TRANSIENT if error.retryable else Kind.PERMANENT
        case _:
            return Kind.PERMANENT


def may_have_been_carried_out(error: GenesysMediaError) -> bool:
    """Return whether Genesys may have done what a request asked for that was sent and failed."""
    match error:
        case ConnectError():
            return False
        case APIConnectionError():
            return True
        case InvalidResponseError(status_code=status):
            return status is None or status < 300
        case APIStatusError(status_code=503, retry_after=float()):
            # Genesys asked to come back later, so it has not begun.
            return False
        case APIStatusError(status_code=status):
            return status in STATUSES["carried_out"]
        case _:
            return False


@dataclass(slots=True)
class Failures:
    """The failures of one call so far; `RetryRule.decide` counts them."""

    transient: int = 0
    stale: int = 0
    rate_limited: int = 0
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """Retry after `delay` seconds; if `fresh`, over a connection that has carried no other request."""

    delay: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not retry; with `out_of_time`, only because of the deadline."""

    out_of_time: bool = False


class RetryBudget:
    """
    Bounds the load that retries add to a run, so that an outage does not multiply it.

    Every retry takes one. A call that succeeds after retries returns what it took; ten calls that succeed at once earn
    one more, never above the initial `size`. In an outage nothing is returned: after `size` retries each further id is
    tried once. `left` is the number of retries that remain. The idea comes from the retry quotas of the AWS SDKs and
    from https://sre.google/sre-book/handling-overload/ .
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = float(size)
        self.is_spent = False
        """Whether any is missing."""

    def __repr__(self) -> str:
        return f"<RetryBudget {self.left:.1f} of {self.size} left>"

    def take(self) -> bool:
        """Take one retry; False if none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        self.is_spent = True
        return True

    def renew(self) -> None:
        """Begin anew, as for the second pass of a run."""
        self.left = float(self.size)
        self.is_spent = False

    def succeeded(self, retries: int) -> None:
        """Account for a call that succeeded after that many retries."""
        self.left = min(self.size, self.left + (retries or 1 / SUCCESSES_PER_EARNED_RETRY))
        self.is_spent = self.left < self.size


class RetryRule:
    """Applies a `RetryPolicy`."""

    def __init__(self, policy: RetryPolicy, rng: random.Random) -> None:
        self._policy = policy
        self._rng = rng
        self._curve = curve(policy.base_delay, policy.max_delay)

    def decide(
        self,
        error: GenesysMediaError,
        failures: Failures,
        *,
        remaining: float,
        budget: RetryBudget,
        is_outage: bool = False,
    ) -> Again | GiveUp:
        """
        Decide about an attempt that ended in `error`, with `remaining` seconds until the call's deadline.

        Updates `failures` and takes from `budget`. `error.retry_after` is a floor: jitter is only added to it. In an
        outage neither is done, since the failure says nothing about this call, which then waits for the host.
        """
        kind = classify(error)
        is_stale = kind is Kind.STALE_CONNECTION
        if kind is Kind.PERMANENT:
            return GiveUp()
        if is_outage:
            return Again(0.0, is_stale)
        if is_stale and failures.stale >= MAX_STALE:
            kind = Kind.TRANSIENT
        if not self._count(kind, failures):
            return GiveUp()
        floor = max(0.0, error.retry_after or 0.0)
        # After a 429 the pause holds for the token's whole quota; this call only queues for a permit again.
        delay = floor if kind in {Kind.TRANSIENT, Kind.TOKEN_PENDING} else 0.0
        if kind is Kind.TRANSIENT:
            delay += jittered(self._curve, failures.transient, self._rng)
            if delay < remaining and not budget.take():
                return GiveUp()
        needed = 0.0 if kind is Kind.TOKEN_REJECTED else max(delay, floor)
        return Again(delay, is_stale) if needed < remaining else GiveUp(out_of_time=True)

    def _count(self, kind: Kind, failures: Failures) -> bool:
        """Count a failure; return False if it was the last of its kind that is allowed."""
        match kind:
            case Kind.TRANSIENT:
                failures.transient += 1
                return failures.transient < self._policy.max_attempts
            case Kind.RATE_LIMITED:
                failures.rate_limited += 1
                return failures.rate_limited < self._policy.max_rate_limited
            case Kind.TOKEN_REJECTED:
                is_first, failures.replayed = not failures.replayed, True
                return is_first
            case Kind.STALE_CONNECTION:
                failures.stale += 1
                return True
            case _:
                return True


def pause_after_429(retry_after: float | None, in_a_row: int) -> float:
    """
    Return the seconds for which nobody may send after a 429, the `in_a_row`-th without another reply between.

    That is the server's Retry-After (see `parse_retry_after`) plus a guard second or, without one, a point of a curve
    from 1 s to 60 s.
    """
    if retry_after is not None:
        return retry_after + RATE_LIMIT_GUARD
    return point(_RATE_LIMIT_PAUSES, in_a_row)


@lru_cache(maxsize=64)
def curve(base_delay: float, max_delay: float, growth: float = 2.0) -> tuple[float, ...]:
    """Return delays that start at `base_delay` and grow by the factor `growth`, up to and including `max_delay`."""
    if base_delay <= 0 or max_delay <= 0:
        return (0.0,)
    # The generator's first value is the None that primes it.
    values = islice(backoff.expo(base=growth, factor=base_delay, max_value=max_delay), 1, _MAX_CURVE + 1)
    points: list[float] = []
    for value in values:
        points.append(float(value))
        if value >= max_delay:
            break
    return tuple(points)


def point(delays: tuple[float, ...], number: int) -> float:
    """Return the delay after the `number`-th failure or poll, counted from 1; the last one is used ever after."""
    return delays[min(number, len(delays)) - 1]


def jittered(delays: tuple[float, ...], number: int, rng: random.Random) -> float:
    """Return a random share of that delay, evenly drawn from 0 to all of it (full jitter)."""
    return rng.random() * point(delays, number)


_RATE_LIMIT_PAUSES = curve(1.0, 60.0)


# IMF-fixdate, and the two obsolete formats that a recipient must accept (RFC 9110, section 5.6.7).
_HTTP_DATE = re.compile(
    r"[a-z]{3}, \d\d [a-z]{3} \d{4} \d\d:\d\d:\d\d GMT"
    r"|[a-z]{6,9}, \d\d-[a-z]{3}-\d\d \d\d:\d\d:\d\d GMT"
    r"|[a-z]{3} [a-z]{3} [ \d]\d \d\d:\d\d:\d\d \d{4}",
    re.ASCII | re.IGNORECASE,
)
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


def http_date(value: str | None) -> float | None:
    """
    Return an HTTP date as seconds since 1970 (RFC 9110, section 5.6.7); None for anything else.

    HTTP's dates are in GMT. A date in another zone is none: it may be an hour off.
    """
    if value is None or not _HTTP_DATE.fullmatch(value.strip()):
        return None
    try:
        return parsedate_to_datetime(value).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def parse_retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """
    Return the seconds from now that a Retry-After header means (RFC 9110, section 10.2.3).

    `wall` is the time now, in seconds since 1970. A date counts from the reply's own Date, since this machine's clock
    may be wrong. A wait that makes no sense counts as a missing one, so None: not a number or an HTTP date, several
    values, no time at all, a time in the past, or more than a day.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return sensible_wait(float(value))
    date = http_date(value)
    if date is None:
        return None
    now = http_date(headers.get("date"))
    return sensible_wait(date - (wall if now is None else now))


def sensible_wait(seconds: float) -> float | None:
    """Return the seconds if a server can mean them as a wait, or None."""
    return seconds if 0 < seconds <= MAX_RETRY_AFTER else None
