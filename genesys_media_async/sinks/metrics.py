"""Events as numbers: counts by outcome, latency percentiles, validity."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import TYPE_CHECKING

from ..events import (
    Outcome,
    QuotaPaused,
    RetrievalFinished,
    RetryScheduled,
    TokenRefreshed,
    WebhookDelivered,
    WebhookFailed,
    outcome_of,
)
from .base import Sink
from .histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..events import Event
    from ..models import MediaResult

MAX_NAMES = 64
"""Content types and error codes counted by name; a server that invents more of them cannot fill the memory."""

MAX_UNCOUNTED = 500
"""Events that are counted in one go: one by one they cost twice as much."""

_COUNTED: tuple[type[Event], ...] = (QuotaPaused, RetryScheduled, TokenRefreshed, WebhookDelivered, WebhookFailed)

_SUCCESS = Outcome.SUCCESS
_is_ok: Callable[[MediaResult], bool] = attrgetter("ok")
_latency_of: Callable[[MediaResult], float] = attrgetter("latency")
_attempts_of: Callable[[MediaResult], int] = attrgetter("attempts")
_labels_of_success: Callable[[MediaResult], tuple[int, str | None, int | None]] = attrgetter(
    "attempts", "content_type", "expires_in"
)

# Results that agree in these are counted together: outcome, attempts, code, content type, lifetime in seconds.
_Labels = tuple[Outcome, int, str | None, str | None, int | None]


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """
    The aggregates at one moment. Latencies and lifetimes are seconds, and None while there are none.

    `validity_rate` is the share of the received URLs that passed validation; None while none was received.
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


class MetricsSink(Sink):
    """
    Aggregates events; `snapshot` returns the numbers at any moment. No label carries an id.

    A result may also be appended to the list `results`, in place of its `RetrievalFinished`: every snapshot counts what
    is there. Call `count` when `MAX_UNCOUNTED` have come together, so that the list stays short.
    """

    def __init__(self) -> None:
        self.results: list[MediaResult] = []
        self._outcomes: Counter[Outcome] = Counter()
        self._error_codes: Counter[str] = Counter()
        self._content_types: Counter[str] = Counter()
        self._latency = Histogram()
        self._lifetimes = 0
        self._total_lifetime = 0
        self._attempts = 0
        self._happened: dict[type[Event], int] = dict.fromkeys(_COUNTED, 0)

    def __repr__(self) -> str:
        return f"<MetricsSink {self.snapshot().outcomes!r}>"

    async def write(self, events: Sequence[Event]) -> None:
        """Count the events."""
        self.add(events)

    def add(self, events: Sequence[Event]) -> None:
        """Count events."""
        latencies: defaultdict[_Labels, list[float]] = defaultdict(list)
        happened = self._happened
        for event in events:
            if isinstance(event, RetrievalFinished):
                labels = event.outcome, event.attempts, event.code, event.content_type, event.expires_in
                latencies[labels].append(event.latency)
            elif (kind := type(event)) in happened:
                happened[kind] += 1
        for labels, values in latencies.items():
            self._add(labels, values)

    def count(self) -> None:
        """Count the results in `results`, and remove them."""
        results = self.results[:]
        # In place, and only what was copied: others hold the list, and another thread may append to it meanwhile.
        del self.results[: len(results)]
        # Without a line of Python for each success: there is one for each id.
        succeeded = list(filter(_is_ok, results))
        for (attempts, content_type, expires_in), times in Counter(map(_labels_of_success, succeeded)).items():
            self._add_labels((_SUCCESS, attempts, None, content_type, expires_in), times)
        self._latency.add(list(compress(map(_latency_of, succeeded), map(_attempts_of, succeeded))))
        if len(succeeded) < len(results):
            self.add([finished(result, at=0.0) for result in results if not result.ok])

    def _add(self, labels: _Labels, latencies: list[float]) -> None:
        # Without an attempt nothing was sent, and nothing took time.
        if labels[1]:
            self._latency.add(latencies)
        self._add_labels(labels, len(latencies))

    def _add_labels(self, labels: _Labels, times: int) -> None:
        outcome, attempts, code, content_type, expires_in = labels
        self._outcomes[outcome] += times
        self._attempts += attempts * times
        if code is not None:
            _count_name(self._error_codes, code, times)
        if content_type is not None:
            _count_name(self._content_types, content_type.partition(";")[0].strip().lower(), times)
        if expires_in is not None:
            self._lifetimes += times
            self._total_lifetime += expires_in * times

    def snapshot(self) -> MetricsSnapshot:
        """Return the aggregates of all events so far."""
        self.count()
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
            mean_lifetime=self._total_lifetime / self._lifetimes if self._lifetimes else None,
            attempts=self._attempts,
            retries=self._happened[RetryScheduled],
            pauses=self._happened[QuotaPaused],
            token_refreshes=self._happened[TokenRefreshed],
            webhooks_delivered=self._happened[WebhookDelivered],
            webhooks_failed=self._happened[WebhookFailed],
        )


def finished(result: MediaResult, at: float) -> RetrievalFinished:
    """Return the event of a result."""
    return RetrievalFinished(
        at,
        result.file_id,
        _SUCCESS if result.ok else outcome_of(result.error),
        result.latency,
        result.attempts,
        result.ok,
        result.media_id,
        result.content_type if result.ok else None,
        result.expires_in if result.ok else None,
        None if result.ok else result.error.code,
    )


def _count_name(counts: Counter[str], name: str, times: int) -> None:
    counts[name if name in counts or len(counts) < MAX_NAMES else "other"] += times
