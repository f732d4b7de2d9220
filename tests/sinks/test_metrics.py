"""`MetricsSink`: counts, rates and percentiles of the events."""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace

import pytest

from genesys_media_async.events import (
    Event,
    Outcome,
    RetrievalFinished,
    RetryScheduled,
    TokenRefreshed,
    WebhookDelivered,
    WebhookFailed,
)
from genesys_media_async.sinks import MetricsSink
from genesys_media_async.sinks.metrics import MAX_NAMES, MAX_UNCOUNTED
from tests.support.events import Tenant, audited, finished, paused


class TestMetricsSink:
    def counted(self, *events: Event) -> MetricsSink:
        async def main() -> MetricsSink:
            sink = MetricsSink()
            await sink.write(events)
            await sink.aclose()
            return sink

        return asyncio.run(main())

    def test_without_events_there_are_no_rates(self) -> None:
        it = self.counted().snapshot()
        assert it.outcomes == {}
        assert it.validity_rate is None
        assert it.mean_lifetime is None
        assert (it.latency_p50, it.latency_p95, it.latency_p99, it.latency_mean) == (None, None, None, None)

    def test_events_are_counted_by_their_kind(self) -> None:
        sink = self.counted(
            finished(latency=0.1, attempts=3),
            finished(latency=0.3, content_type="AUDIO/Wav; codecs=1", expires_in=1_800),
            finished(outcome=Outcome.VALIDATION_FAILED, valid=False, content_type=None, expires_in=None, code="host"),
            finished(
                outcome=Outcome.PAYLOAD_INVALID,
                valid=False,
                attempts=0,
                latency=0,
                content_type=None,
                expires_in=None,
                code="invalid_file_id",
            ),
            RetryScheduled(at=1, file_id="f", attempt=1, delay=1, code="x"),
            RetryScheduled(at=1, file_id="f", attempt=2, delay=1, code="x"),
            paused(),
            TokenRefreshed(at=1, lifetime=1, latency=1),
            WebhookDelivered(at=1, file_id="f", webhook_id="w", attempts=1),
            WebhookFailed(at=1, file_id="f", webhook_id="w", attempts=1, reason="x"),
            audited(),
        )
        it = sink.snapshot()
        assert it.outcomes == {Outcome.SUCCESS: 2, Outcome.VALIDATION_FAILED: 1, Outcome.PAYLOAD_INVALID: 1}
        assert it.error_codes == {"host": 1, "invalid_file_id": 1}
        assert it.content_types == {"audio/wav": 2}
        assert it.validity_rate == pytest.approx(2 / 3)
        assert it.mean_lifetime == pytest.approx(2_700)
        # What was never sent has no latency.
        assert it.latency_mean == pytest.approx((0.1 + 0.3 + 0.25) / 3)
        assert (it.attempts, it.retries, it.pauses, it.token_refreshes) == (5, 2, 1, 1)
        assert (it.webhooks_delivered, it.webhooks_failed) == (1, 1)

    @pytest.mark.parametrize("latency", [float("inf"), float("-inf"), float("nan")])
    def test_a_latency_that_is_not_finite_is_left_out(self, latency: float) -> None:
        it = self.counted(finished(latency=latency), finished(latency=0.25), finished(latency=latency)).snapshot()
        assert it.outcomes == {Outcome.SUCCESS: 3}
        assert it.attempts == 3
        assert (it.latency_p50, it.latency_p99, it.latency_mean) == (0.25, 0.25, 0.25)

    def test_without_a_finite_latency_there_are_no_percentiles(self) -> None:
        it = self.counted(finished(latency=float("nan"))).snapshot()
        assert it.outcomes == {Outcome.SUCCESS: 1}
        assert (it.latency_p50, it.latency_mean) == (None, None)

    def test_no_label_and_no_repr_has_an_id(self) -> None:
        sink = self.counted(finished("canary"), finished("canary", outcome=Outcome.GENERATION_FAILED, code="x"))
        assert "canary" not in f"{sink!r} {sink.snapshot()!r}"

    def test_content_types_are_bounded(self) -> None:
        sink = self.counted(*(finished(content_type=f"audio/x-{number}") for number in range(1_000)))
        types = sink.snapshot().content_types
        assert len(types) <= MAX_NAMES + 1
        assert types["other"] == 1_000 - MAX_NAMES

    def test_error_codes_are_bounded(self) -> None:
        sink = self.counted(
            *(finished(outcome=Outcome.GENERATION_FAILED, code=f"not.found.{number}") for number in range(1_000))
        )
        codes = sink.snapshot().error_codes
        assert len(codes) == MAX_NAMES + 1
        assert sum(codes.values()) == 1_000

    @pytest.mark.parametrize("results", [1, MAX_UNCOUNTED - 1, MAX_UNCOUNTED, MAX_UNCOUNTED + 1, 1_234])
    def test_a_snapshot_does_not_depend_on_earlier_snapshots(self, results: int) -> None:
        async def main() -> None:
            watched, unwatched = MetricsSink(), MetricsSink()
            for number in range(results):
                event = finished(latency=number / 1_000, attempts=number % 3, expires_in=number % 7, content_type="a/b")
                await unwatched.write([event])
                await watched.write([event])
                if number % 100 == 0:
                    assert watched.snapshot().outcomes == {Outcome.SUCCESS: number + 1}
            it = unwatched.snapshot()
            assert it.outcomes == {Outcome.SUCCESS: results}
            assert it.content_types == {"a/b": results}
            assert it.attempts == sum(number % 3 for number in range(results))
            assert it.mean_lifetime == pytest.approx(sum(number % 7 for number in range(results)) / results)
            assert it.latency_mean == pytest.approx(watched.snapshot().latency_mean)
            assert replace(it, latency_mean=0) == replace(watched.snapshot(), latency_mean=0)

        asyncio.run(main())

    def test_memory_does_not_grow_with_the_results(self) -> None:
        async def main() -> list[int]:
            sink = MetricsSink()
            held: list[int] = []
            for number in range(1, 20 * MAX_UNCOUNTED):
                await sink.write([finished(latency=1 + 1 / number)])
                if number % MAX_UNCOUNTED == MAX_UNCOUNTED - 1:
                    held.append(tracemalloc.get_traced_memory()[0])
            return held

        tracemalloc.start()
        try:
            held = asyncio.run(main())
        finally:
            tracemalloc.stop()
        assert held[-1] < held[0] + 20_000

    def test_a_subclass_of_an_event_counts_as_that_event(self) -> None:
        class Mine(RetrievalFinished, frozen=True):
            pass

        event = finished()
        mine = Mine(*(getattr(event, name) for name in event.__struct_fields__))
        assert self.counted(mine, event, Tenant(at=1.0, tenant="t")).snapshot().outcomes == {Outcome.SUCCESS: 2}

    def test_a_snapshot_does_not_change_later(self) -> None:
        async def main() -> None:
            sink = MetricsSink()
            await sink.write([finished()])
            before = sink.snapshot()
            await sink.write([finished()])
            assert before.outcomes[Outcome.SUCCESS] == 1
            assert sink.snapshot().outcomes[Outcome.SUCCESS] == 2

        asyncio.run(main())
