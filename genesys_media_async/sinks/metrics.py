"""Events as numbers: counts by outcome, latency percentiles, validity."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from math import ceil, exp2, isfinite, log2
from typing import TYPE_CHECKING

from ..events import (
    Outcome,
    QuotaPaused,
    RetrievalFinished,
    RetryScheduled,
    TokenRefreshed,
    WebhookDelivered,
    WebhookFailed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..events import Event

MAX_NAMES = 64
"""Content types and error codes counted by name; a server that invents more of them cannot fill the memory."""

MAX_UNCOUNTED = 500
"""Results that are counted in one go, or when they are asked for; one by one costs twice as much."""

_COUNTED: tuple[type[Event], ...] = (QuotaPaused, RetryScheduled, TokenRefreshed, WebhookDelivered, WebhookFailed)

# What tells results apart: outcome, attempts, code, content type, seconds of life.
_Labels = tuple[Outcome, int, str | None, str | None, int | None]

_GROWTH = log2(1.05)
_SMALLEST = 1e-6
_LOWEST = ceil(log2(_SMALLEST) / _GROWTH)


class Histogram:
    """
    A distribution of positive numbers in buckets 5 % wide, of which a percentile is at most one bucket off.

    Memory does not grow with the count: from a microsecond to a day there are 518 buckets.
    """

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.total = 0.0
        self.largest = 0.0

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self._buckets.total()

    def add(self, values: Sequence[float]) -> None:
        """Count numbers; what is below a microsecond counts as one, and what is not finite is left out."""
        total = sum(values)
        if not isfinite(total):
            values = [value for value in values if isfinite(value)]
            total = sum(values)
        self._buckets.update([ceil(log2(value) / _GROWTH) if value > _SMALLEST else _LOWEST for value in values])
        self.total += total
        self.largest = max([self.largest, *values])

    def percentile(self, percent: float) -> float | None:
        """Return a number that `percent` of all do not exceed (its bucket's upper edge); None if there are none."""
        wanted = ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(self.largest, exp2(bucket * _GROWTH))
        return None


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """
    The aggregates at one moment. Latencies are seconds and None while there are none.

    `validity_rate` is the share of the URLs received that passed validation; None while none was received.
    """

    outcomes: Mapping[Outcome, int]
    error_codes: Mapping[str, int]
    content_types: Mapping[str, int]
    latency_p50: float | None
    latency_p95: float | None
    latency_p99: float | None
    latency_mean: float | None
    validity_rate: float | None
    mean_lifetime: float | None
    attempts: int
    retries: int
    pauses: int
    token_refreshes: int
    webhooks_delivered: int
    webhooks_failed: int


class MetricsSink:
    """Aggregates what passes; `snapshot` reads it at any moment. No label carries an id."""

    def __init__(self) -> None:
        self._uncounted: defaultdict[_Labels, list[float]] = defaultdict(list)
        self._left = MAX_UNCOUNTED
        self._outcomes: Counter[Outcome] = Counter()
        self._error_codes: Counter[str] = Counter()
        self._content_types: Counter[str] = Counter()
        self._latency = Histogram()
        self._lives = 0
        self._total_life = 0
        self._attempts = 0
        self._happened: dict[type[Event], int] = dict.fromkeys(_COUNTED, 0)

    def __repr__(self) -> str:
        return f"<MetricsSink {self.snapshot().outcomes!r}>"

    async def write(self, events: Sequence[Event]) -> None:
        """Count the events."""
        for event in events:
            self.count(event)

    def count(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, RetrievalFinished):
            labels = event.outcome, event.attempts, event.code, event.content_type, event.expires_in
            self._uncounted[labels].append(event.latency)
            self._left -= 1
            if not self._left:
                self._count_up()
        elif (kind := type(event)) in self._happened:
            self._happened[kind] += 1

    async def aclose(self) -> None:
        """Do nothing: the numbers stay readable."""

    def _count_up(self) -> None:
        for (outcome, attempts, code, content_type, expires_in), latencies in self._uncounted.items():
            times = len(latencies)
            if attempts:
                self._latency.add(latencies)
            self._outcomes[outcome] += times
            self._attempts += attempts * times
            if code is not None:
                _count_name(self._error_codes, code, times)
            if content_type is not None:
                _count_name(self._content_types, content_type.partition(";")[0].strip().lower(), times)
            if expires_in is not None:
                self._lives += times
                self._total_life += expires_in * times
        self._uncounted.clear()
        self._left = MAX_UNCOUNTED

    def snapshot(self) -> MetricsSnapshot:
        """Return the aggregates as they are now."""
        self._count_up()
        latency = self._latency
        valid = self._outcomes[Outcome.SUCCESS]
        received = valid + self._outcomes[Outcome.VALIDATION_FAILED]
        return MetricsSnapshot(
            outcomes=dict(self._outcomes),
            error_codes=dict(self._error_codes),
            content_types=dict(self._content_types),
            latency_p50=latency.percentile(50),
            latency_p95=latency.percentile(95),
            latency_p99=latency.percentile(99),
            latency_mean=latency.total / latency.count if latency.count else None,
            validity_rate=valid / received if received else None,
            mean_lifetime=self._total_life / self._lives if self._lives else None,
            attempts=self._attempts,
            retries=self._happened[RetryScheduled],
            pauses=self._happened[QuotaPaused],
            token_refreshes=self._happened[TokenRefreshed],
            webhooks_delivered=self._happened[WebhookDelivered],
            webhooks_failed=self._happened[WebhookFailed],
        )


def _count_name(counts: Counter[str], name: str, times: int) -> None:
    counts[name if name in counts or len(counts) < MAX_NAMES else "other"] += times
