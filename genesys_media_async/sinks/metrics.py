"""Events as numbers: counts by outcome, latency percentiles, validity."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, log
from typing import TYPE_CHECKING

from ..events import (
    Outcome,
    QuotaPaused,
    RetrievalFinished,
    RetryScheduled,
    TokenRefreshed,
    WebhookDelivered,
    WebhookUndelivered,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..events import Event

MOST_NAMES = 64
"""Content types and error codes counted by name; a server that invents more of them cannot fill the memory."""


class Histogram:
    """
    A distribution of positive numbers in buckets 5 % wide, of which a percentile is at most one bucket off.

    Memory does not grow with the count: from a microsecond to a day there are 518 buckets.
    """

    _GROWTH = log(1.05)
    _SMALLEST = 1e-6
    _LOWEST = ceil(log(_SMALLEST) / _GROWTH)

    def __init__(self) -> None:
        self._buckets: defaultdict[int, int] = defaultdict(int)
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, value: float) -> None:
        """Count a number; what is below a microsecond counts as one."""
        self._buckets[ceil(log(value) / self._GROWTH) if value > self._SMALLEST else self._LOWEST] += 1
        self.count += 1
        self.total += value
        if value > self.largest:
            self.largest = value

    def percentile(self, percent: float) -> float | None:
        """Return a number that `percent` of all do not exceed (its bucket's upper edge); None if there are none."""
        wanted = ceil(self.count * percent / 100)
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(self.largest, exp(bucket * self._GROWTH))
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
    mean_life: float | None
    attempts: int
    retries: int
    pauses: int
    token_refreshes: int
    webhooks_delivered: int
    webhooks_undelivered: int


class MetricsSink:
    """Aggregates what passes; `snapshot` reads it at any moment. No label carries an id."""

    def __init__(self) -> None:
        self._outcomes: Counter[Outcome] = Counter()
        self._error_codes: Counter[str] = Counter()
        self._content_types: Counter[str] = Counter()
        self._latency = Histogram()
        self._lives = 0
        self._total_life = 0
        self._happened: Counter[type[Event]] = Counter()
        self._attempts = 0

    def __repr__(self) -> str:
        return f"<MetricsSink {dict(self._outcomes)!r}>"

    async def write(self, events: Sequence[Event]) -> None:
        """Count the events."""
        for event in events:
            self.count(event)

    def count(self, event: Event) -> None:
        """Count one event."""
        self._happened[type(event)] += 1
        if isinstance(event, RetrievalFinished):
            self._count(event)

    async def aclose(self) -> None:
        """Do nothing: the numbers stay readable."""

    def _count(self, event: RetrievalFinished) -> None:
        self._outcomes[event.outcome] += 1
        self._attempts += event.attempts
        if event.code is not None:
            _count_name(self._error_codes, event.code)
        if event.attempts:
            self._latency.add(event.latency)
        if event.expires_in is not None:
            self._lives += 1
            self._total_life += event.expires_in
        if event.content_type is not None:
            _count_name(self._content_types, _kind_of(event.content_type))

    def snapshot(self) -> MetricsSnapshot:
        """Return the aggregates as they are now."""
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
            mean_life=self._total_life / self._lives if self._lives else None,
            attempts=self._attempts,
            retries=self._happened[RetryScheduled],
            pauses=self._happened[QuotaPaused],
            token_refreshes=self._happened[TokenRefreshed],
            webhooks_delivered=self._happened[WebhookDelivered],
            webhooks_undelivered=self._happened[WebhookUndelivered],
        )


@lru_cache(maxsize=MOST_NAMES)
def _kind_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _count_name(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MOST_NAMES else "other"] += 1
