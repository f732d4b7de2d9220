"""The dispatcher: the metrics lane, which never waits, and the counting of every event."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.errors import InvalidRequestError, NotFoundError
from genesys_media_async.events import Outcome
from genesys_media_async.models import Failed, MediaResult, Retrieved
from genesys_media_async.sinks import MetricsSink
from genesys_media_async.sinks.dispatch import CLOSE_TIMEOUT, MAX_WAITING, Dispatcher
from genesys_media_async.sinks.metrics import MAX_UNCOUNTED
from genesys_media_async.sinks.metrics import finished as event_of
from tests.support.events import audited, finished, paused
from tests.support.scripted_sink import ScriptedSink, run, writing

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from genesys_media_async.clock import VirtualClock


class TestMetricsLane:
    def test_emit_never_waits_for_a_sink(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=3)
            dispatcher = Dispatcher(metrics=[sink])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                for number in range(100):
                    dispatcher.emit(paused(number))
                assert clock.monotonic() < 0.001
                await anyio.sleep(3.1)
                assert sink.events == [paused(number) for number in range(100)]
                task_group.cancel_scope.cancel()
            assert dispatcher.dropped == 0

        run(main)

    def test_events_that_come_during_a_write_are_the_next_batch(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=1)
            dispatcher = Dispatcher(metrics=[sink])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                dispatcher.emit(paused(0))
                await anyio.sleep(0.5)
                for number in range(1, 8):
                    dispatcher.emit(paused(number))
                await anyio.sleep(3)
                task_group.cancel_scope.cancel()
            assert sink.batches == [1, 7]

        run(main)

    def test_events_that_find_the_queue_full_are_dropped_and_counted(self) -> None:
        async def main(clock: VirtualClock) -> None:
            hung, fine = ScriptedSink(takes=1e6), ScriptedSink()
            dispatcher = Dispatcher(metrics=[hung, fine])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                dispatcher.emit(paused())
                await anyio.sleep(1)
                for _ in range(MAX_WAITING + 7):
                    dispatcher.emit(paused())
                assert dispatcher.dropped == 14
                await anyio.sleep(1)
                assert len(fine.events) == 1 + MAX_WAITING
                assert repr(dispatcher) == "<Dispatcher: 2 sinks, 14 dropped>"
                task_group.cancel_scope.cancel()

        run(main)

    def test_a_full_queue_takes_part_of_the_records_that_come_together(self) -> None:
        async def main(clock: VirtualClock) -> None:
            hung = ScriptedSink(takes=1e6)
            dispatcher = Dispatcher(metrics=[hung])
            async with writing(dispatcher):
                dispatcher.emit(paused())
                await anyio.sleep(1)
                for _ in range(MAX_WAITING - 2):
                    dispatcher.emit(paused())
                dispatcher.emit_all([audited(f"f-{number}") for number in range(5)])
                assert dispatcher.dropped == 3
                dispatcher.emit(paused())
                assert dispatcher.dropped == 4

        run(main)

    def test_a_batch_that_a_sink_fails_to_write_is_counted_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main(clock: VirtualClock) -> None:
            broken, fine = ScriptedSink(fails=OSError("no route")), ScriptedSink()
            dispatcher = Dispatcher(metrics=[broken, fine])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                for _ in range(3):
                    dispatcher.emit(paused())
                await anyio.sleep(1)
                assert dispatcher.dropped == 3
                broken.fails = None
                dispatcher.emit(paused())
                await anyio.sleep(1)
                assert len(broken.events) == 1
                assert len(fine.events) == 4
                task_group.cancel_scope.cancel()

        run(main)
        assert "<ScriptedSink> failed; 3 events are lost" in caplog.text

    def test_closing_writes_the_queue_and_then_closes_the_sink_once(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink()
            dispatcher = Dispatcher(metrics=[sink])
            for number in range(5):
                dispatcher.emit(paused(number))
            await dispatcher.aclose()
            assert len(sink.events) == 5
            assert sink.closed == 1

        run(main)

    @pytest.mark.parametrize("cancelled_after", [0.0, 0.5, 1.0, 1.5, 2.5])
    def test_every_event_is_written_or_counted_after_a_cancellation(self, cancelled_after: float) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=1)
            dispatcher = Dispatcher(metrics=[sink])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                for number in range(10):
                    dispatcher.emit(paused(number))
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                for number in range(10):
                    dispatcher.emit(paused(number))
                await anyio.sleep(cancelled_after)
                task_group.cancel_scope.cancel()
            await dispatcher.aclose()
            assert len(sink.events) + dispatcher.dropped == 20
            assert sink.closed == 1

        run(main)

    def test_a_sink_that_hangs_does_not_delay_the_exit_and_its_events_count_as_dropped(self) -> None:
        async def main(clock: VirtualClock) -> None:
            hung, fine = ScriptedSink(takes=1e6), ScriptedSink()
            dispatcher = Dispatcher(metrics=[hung, fine])
            for number in range(5):
                dispatcher.emit(paused(number))
            await dispatcher.aclose()
            assert clock.monotonic() < 10
            assert dispatcher.dropped == 5
            assert len(fine.events) == 5
            assert (hung.closed, fine.closed) == (1, 1)

        run(main)

    def test_a_sink_that_also_hangs_in_closing_is_logged_and_does_not_delay_the_exit(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main(clock: VirtualClock) -> None:
            dispatcher = Dispatcher(metrics=[ScriptedSink(takes=1e6, close_takes=1e6)])
            dispatcher.emit(paused())
            await dispatcher.aclose()
            assert clock.monotonic() == pytest.approx(2 * CLOSE_TIMEOUT, abs=0.1)
            assert dispatcher.dropped == 1

        run(main)
        assert "<ScriptedSink> could not be closed" in caplog.text

    def test_a_sink_that_cannot_be_closed_is_only_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main(clock: VirtualClock) -> None:
            broken, fine = ScriptedSink(), ScriptedSink()
            broken.close_fails = OSError("gone")
            await Dispatcher(metrics=[broken, fine]).aclose()
            assert fine.closed == 1

        run(main)
        assert "could not be closed" in caplog.text


class TestOwnMetrics:
    @pytest.mark.parametrize("results", [1, MAX_UNCOUNTED - 1, MAX_UNCOUNTED, MAX_UNCOUNTED + 1, 3 * MAX_UNCOUNTED + 7])
    def test_a_snapshot_counts_every_event_so_far(self, results: int) -> None:
        own = MetricsSink()
        dispatcher = Dispatcher(own=own)
        for number in range(results):
            dispatcher.emit(finished())
            if number % 97 == 0:
                assert own.snapshot().outcomes == {Outcome.SUCCESS: number + 1}
        assert own.snapshot().outcomes == {Outcome.SUCCESS: results}

    def test_events_that_come_together_are_counted_too(self) -> None:
        own = MetricsSink()
        dispatcher = Dispatcher(own=own)
        dispatcher.emit_all([finished(), paused()])
        dispatcher.emit_all([paused()] * (2 * MAX_UNCOUNTED))
        it = own.snapshot()
        assert (it.outcomes, it.pauses) == ({Outcome.SUCCESS: 1}, 2 * MAX_UNCOUNTED + 1)

    def test_results_count_as_their_events_do(self) -> None:
        results: list[MediaResult] = [
            Retrieved("a", "https://a.test/?sig=canary", 2e9, 60, None, "audio/wav", attempts=2, latency=0.5),
            Failed("b", NotFoundError("No."), attempts=1, latency=0.25),
            Failed("c", InvalidRequestError("No."), media_id="m"),
        ]
        own, watching = MetricsSink(), MetricsSink()
        dispatcher = Dispatcher(own=own)
        dispatcher.finish(results)
        asyncio.run(watching.write([event_of(result, 1.0) for result in results]))
        assert own.snapshot() == watching.snapshot()

    def test_uncounted_results_stay_few(self) -> None:
        own = MetricsSink()
        dispatcher = Dispatcher(own=own)
        for _ in range(3 * MAX_UNCOUNTED):
            dispatcher.finish([Failed("a", NotFoundError("No."))])
            assert len(own.results) < MAX_UNCOUNTED
        assert own.snapshot().outcomes == {Outcome.GENERATION_FAILED: 3 * MAX_UNCOUNTED}

    def test_metrics_outlive_the_dispatcher(self) -> None:
        own = MetricsSink()
        for _ in range(2):
            Dispatcher(own=own).emit(finished())
        assert own.snapshot().outcomes == {Outcome.SUCCESS: 2}

    def test_a_dispatcher_without_metrics_of_its_own_works(self) -> None:
        dispatcher = Dispatcher()
        for _ in range(MAX_UNCOUNTED):
            dispatcher.emit(finished())
        assert dispatcher.dropped == 0

    def test_finish_calls_nothing_else_of_the_package(self) -> None:
        dispatcher = Dispatcher(own=MetricsSink())
        result = Failed("a", NotFoundError("No."))
        called: list[CodeType] = []

        def note(frame: FrameType, kind: str, _: object) -> None:
            if kind == "call":
                called.append(frame.f_code)

        sys.setprofile(note)
        try:
            dispatcher.finish([result])
        finally:
            sys.setprofile(None)
        assert [code.co_qualname for code in called] == ["Dispatcher.finish"]
