"""Where events go: two dispatcher, of which one waits and the other never does, and the sinks at their ends."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import stat
import tracemalloc
from contextlib import asynccontextmanager, contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import events
from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import AuditWriteError
from genesys_media_async.events import (
    AttemptAudited,
    BatchCompleted,
    BatchSubmitted,
    Event,
    Outcome,
    QuotaLimitChanged,
    QuotaPaused,
    QuotaResumed,
    RetrievalFinished,
    RetryScheduled,
    TokenRefreshed,
    TokenRefreshFailed,
    UnrequestedBatchResults,
    WebhookDelivered,
    WebhookFailed,
    iso,
)
from genesys_media_async.sinks import Dispatcher, JsonLinesSink, LoggingSink, MemorySink, MetricsSink, Sink
from genesys_media_async.sinks.dispatch import CLOSE_TIMEOUT, MAX_WAITING
from genesys_media_async.sinks.metrics import MAX_NAMES, MAX_UNCOUNTED, Histogram

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence


def audited(file_id: str = "f-1", **changes: Any) -> AttemptAudited:
    values: dict[str, Any] = {
        "at": 1_700_000_000.25,
        "action": "media_storage.download_url",
        "outcome": Outcome.SUCCESS,
        "status": 200,
        "latency": 0.25,
        "user_agent": "agent/1",
        "attempt": 1,
    }
    return AttemptAudited(file_id=file_id, **(values | changes))


def finished(file_id: str = "f-1", **changes: Any) -> RetrievalFinished:
    values: dict[str, Any] = {
        "at": 1.0,
        "outcome": Outcome.SUCCESS,
        "latency": 0.25,
        "attempts": 1,
        "valid": True,
        "content_type": "audio/wav",
        "expires_in": 3_600,
    }
    return RetrievalFinished(file_id=file_id, **(values | changes))


def paused(seconds: float = 1.0) -> QuotaPaused:
    return QuotaPaused(at=1.0, seconds=seconds)


@record
class Tenant(Event):
    """An event of a user's own."""

    name: ClassVar[str] = 'tenant \u00e4 "quoted"'

    tenant: str
    share: float = 0.0


@record
class TenantAudited(AttemptAudited):
    """An audit record of a user's own."""

    name: ClassVar[str] = "tenant_audited"

    tenant: str = ""


CLASSES = [each for each in vars(events).values() if isinstance(each, type) and issubclass(each, Event)]
TEXT = st.text(st.characters(categories=None) | st.sampled_from('"\\\n\u2028\ud800'), max_size=20)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
VALUES: dict[object, st.SearchStrategy[object]] = {
    str: TEXT,
    str | None: st.none() | TEXT,
    int: st.integers(),
    int | None: st.none() | st.integers(),
    float: NUMBER,
    bool: st.booleans(),
    Outcome: st.sampled_from(Outcome),
}


def any_event(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(kind)
    members = {member.name: VALUES[hints[member.name]] for member in fields(kind)}
    return st.builds(kind, **(members | {"at": st.floats(0, 4e9)}))


class Notebook:
    """A sink that takes its time, may fail, and checks what the seam promises."""

    def __init__(self, *, takes: float = 0.0, fails: Exception | None = None, close_takes: float = 0.0) -> None:
        self.takes = takes
        self.fails = fails
        self.close_takes = close_takes
        self.close_fails: Exception | None = None
        self.events: list[Event] = []
        self.batches: list[int] = []
        self.writing = False
        self.closed = 0

    def __repr__(self) -> str:
        return "<Notebook>"

    async def write(self, events: Sequence[Event]) -> None:
        assert not self.writing, "calls overlap"
        assert not self.closed, "written to after it was closed"
        assert events, "nothing to write"
        self.writing = True
        try:
            await anyio.sleep(self.takes)
            if self.fails is not None:
                raise self.fails
            self.events.extend(events)
            self.batches.append(len(events))
        finally:
            self.writing = False

    async def aclose(self) -> None:
        self.closed += 1
        await anyio.sleep(self.close_takes)
        if self.close_fails is not None:
            raise self.close_fails


def run(main: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    clock = VirtualClock()
    clock.run(main(clock))


@asynccontextmanager
async def writing(dispatcher: Dispatcher) -> AsyncIterator[Dispatcher]:
    """The dispatcher at work; they are not closed."""
    async with anyio.create_task_group() as task_group:
        dispatcher.start(task_group)
        yield lanes
        task_group.cancel_scope.cancel()


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that becomes full: what still has room is written, and the next write fails."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def audit(dispatcher: Dispatcher, record: AttemptAudited) -> None:
    """Wait until a record is written, as a call does."""
    written = dispatcher.audit(record)
    assert written is not None
    await written


class TestAnEvent:
    @pytest.mark.parametrize(
        ("at", "time"),
        [
            (0, "1970-01-01T00:00:00.000+00:00"),
            (1.0009, "1970-01-01T00:00:01.000+00:00"),
            (-0.5, "1969-12-31T23:59:59.500+00:00"),
            (1_700_000_000.25, "2023-11-14T22:13:20.250+00:00"),
            (253_402_300_799.5, "9999-12-31T23:59:59.500+00:00"),
        ],
    )
    def test_says_its_time_in_utc_to_the_millisecond(self, at: float, time: str) -> None:
        assert iso(at) == time
        assert QuotaPaused(at=at, seconds=1).as_dict()["time"] == time

    def test_of_a_class_of_ones_own_has_all_its_members(self) -> None:
        record = TenantAudited(1.0, "a", "f", Outcome.SUCCESS, 200, 0.5, "u", 1, tenant="t")
        assert list(record.as_dict()) == [*audited().as_dict(), "tenant"]
        assert Tenant(1.0, "t").as_dict() == {
            "event": Tenant.name,
            "time": "1970-01-01T00:00:01.000+00:00",
            "tenant": "t",
            "share": 0.0,
        }


class TestTheAuditLane:
    def test_says_when_every_sink_has_taken_the_record(self) -> None:
        async def main(clock: VirtualClock) -> None:
            quick, slow = Notebook(), Notebook(takes=3)
            async with writing(Dispatcher(audit=[quick, slow])) as dispatcher:
                await audit(dispatcher, audited())
            assert clock.monotonic() == pytest.approx(3, abs=0.01)
            assert quick.events == slow.events == [audited()]

        run(main)

    def test_has_nothing_to_wait_for_where_there_is_no_sink(self) -> None:
        assert Dispatcher().audit(audited()) is None

    def test_writes_what_comes_together_at_once_in_its_order_and_never_overlaps(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=1)
            async with writing(Dispatcher(audit=[notebook])) as dispatcher, anyio.create_task_group() as callers:
                for number in range(5):
                    callers.start_soon(audit, dispatcher, audited(f"f-{number}"))
                    await anyio.sleep(0.1 if number == 1 else 0)
            assert [getattr(event, "file_id", "") for event in notebook.events] == [f"f-{n}" for n in range(5)]
            assert sum(notebook.batches) == 5
            assert len(notebook.batches) == 2, "those that came during the first write are one batch"

        run(main)

    def test_fails_closed_with_the_reason_and_tells_nobody_else(self) -> None:
        async def main(clock: VirtualClock) -> None:
            before, after, metrics = Notebook(), Notebook(), Notebook()
            broken = Notebook(fails=OSError("disk full at https://a.test/?sig=canary"))
            async with writing(Dispatcher(audit=[before, broken, after], metrics=[metrics])) as dispatcher:
                with pytest.raises(AuditWriteError) as caught:
                    await audit(dispatcher, audited("f-7"))
            assert "f-7" in str(caught.value)
            assert "disk full" in str(caught.value)
            assert "<Notebook>" in str(caught.value)
            assert "canary" not in str(caught.value)
            assert isinstance(caught.value.__cause__, OSError)
            assert after.events == []
            await dispatcher.aclose()
            assert metrics.events == []

        run(main)

    def test_tells_everyone_whose_record_is_lost_in_words_of_its_own(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Dispatcher(audit=[Notebook(fails=OSError("full"))])) as dispatcher:
                records = [dispatcher.audit(audited(f"f-{number}")) for number in range(3)]
                outcomes = await asyncio.gather(*filter(None, records), return_exceptions=True)
            assert [f"f-{number}" in str(outcome) for number, outcome in enumerate(outcomes)] == [True] * 3

        run(main)

    def test_names_the_class_of_an_error_without_words(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Dispatcher(audit=[Notebook(fails=TimeoutError())])) as dispatcher:
                with pytest.raises(AuditWriteError, match="TimeoutError"):
                    await audit(dispatcher, audited())

        run(main)

    def test_gives_up_a_sink_that_takes_for_ever(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Dispatcher(audit=[Notebook(takes=1_000)])) as dispatcher:
                with pytest.raises(AuditWriteError, match="TimeoutError"):
                    await audit(dispatcher, audited())
            assert clock.monotonic() < 15

        run(main)

    def test_writes_the_record_of_a_caller_that_was_cancelled_too(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=5)
            async with writing(Dispatcher(audit=[notebook])) as dispatcher:
                with anyio.move_on_after(1):
                    await audit(dispatcher, audited("cut off"))
                await audit(dispatcher, audited("next"))
            assert [getattr(event, "file_id", "") for event in notebook.events] == ["cut off", "next"]

        run(main)

    def test_is_not_cut_off_while_it_writes(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=5)
            dispatcher = Dispatcher(audit=[notebook])
            with anyio.move_on_after(1):
                async with writing(dispatcher):
                    dispatcher.audit(audited("first"))
                    await anyio.sleep(0.5)
                    dispatcher.audit(audited("second"))
                    await anyio.sleep_forever()
            assert [getattr(event, "file_id", "") for event in notebook.events] == ["first", "second"]

        run(main)

    def test_is_not_cut_off_between_two_sinks(self) -> None:
        async def main(clock: VirtualClock) -> None:
            first, second = Notebook(takes=5), Notebook(takes=5)
            with anyio.move_on_after(1):
                async with writing(Dispatcher(audit=[first, second])) as dispatcher:
                    dispatcher.audit(audited())
                    await anyio.sleep_forever()
            assert first.events == second.events == [audited()]

        run(main)

    def test_that_is_closed_and_cut_off_while_it_writes_loses_nothing(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=5)
            dispatcher = Dispatcher(audit=[notebook])
            async with anyio.create_task_group() as closing:
                async with writing(dispatcher):
                    records = [dispatcher.audit(audited("first"))]
                    await anyio.sleep(1)
                    records.append(dispatcher.audit(audited("second")))
                    closing.start_soon(dispatcher.aclose)
                    await anyio.sleep(1)
            assert [getattr(event, "file_id", "") for event in notebook.events] == ["first", "second"]
            assert [record is not None and record.done() for record in records] == [True, True]
            assert notebook.closed == 1

        run(main)

    def test_that_lost_a_record_nobody_waits_for_says_so_on_closing(self) -> None:
        async def main(clock: VirtualClock) -> None:
            dispatcher = Dispatcher(audit=[Notebook(fails=OSError("full"))])
            written = dispatcher.audit(audited("f-9"))
            assert written is not None
            written.cancel()
            with pytest.raises(AuditWriteError, match="f-9"):
                await dispatcher.aclose()

        run(main)

    def test_passes_each_record_on_to_the_metrics_lane(self) -> None:
        async def main(clock: VirtualClock) -> None:
            metrics = Notebook()
            async with writing(Dispatcher(audit=[Notebook()], metrics=[metrics])) as dispatcher:
                await audit(dispatcher, audited())
                await anyio.sleep(1)
            await dispatcher.aclose()
            assert metrics.events == [audited()]

        run(main)

    def test_that_cannot_be_closed_is_evidence_lost_and_the_others_are_closed_all_the_same(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sinks = [Notebook(), Notebook(), Notebook()]
            sinks[1].close_fails = OSError("cannot flush")
            with pytest.raises(AuditWriteError, match="cannot flush"):
                await Dispatcher(audit=sinks).aclose()
            assert [sink.closed for sink in sinks] == [1, 1, 1]

        run(main)

    def test_that_does_not_close_in_time_is_evidence_lost_too(self) -> None:
        async def main(clock: VirtualClock) -> None:
            other = Notebook()
            with pytest.raises(AuditWriteError):
                await Dispatcher(audit=[Notebook(close_takes=1_000), other]).aclose()
            assert clock.monotonic() < 10
            assert other.closed == 1

        run(main)

    def test_that_is_closed_refuses_what_still_comes_instead_of_leaving_it_to_wait(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook, metrics = Notebook(), Notebook()
            dispatcher = Dispatcher(audit=[notebook], metrics=[metrics])
            async with writing(dispatcher):
                await audit(dispatcher, audited("in time"))
                await dispatcher.aclose()
                written = dispatcher.audit(audited("f-8"))
                assert written is not None
                assert written.done()
                with pytest.raises(AuditWriteError, match=r"f-8 .* the audit trail is closed\. Let every run end"):
                    await written
            assert notebook.events == metrics.events == [audited("in time")]

        run(main)

    @pytest.mark.parametrize("comes_after", [1, 4], ids=["during the last write", "while the sink closes"])
    def test_that_is_closing_leaves_no_record_behind(self, comes_after: float) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=3, close_takes=3)
            dispatcher = Dispatcher(audit=[notebook])
            in_time = dispatcher.audit(audited("in time"))
            async with anyio.create_task_group() as closing:
                closing.start_soon(dispatcher.aclose)
                await anyio.sleep(comes_after)
                late = dispatcher.audit(audited("late"))
            assert in_time is not None
            assert in_time.result() is None
            assert late is not None
            assert late.done()
            assert isinstance(late.exception(), AuditWriteError)
            assert notebook.events == [audited("in time")]

        run(main)

    @pytest.mark.parametrize(("cancelled", "complaints"), [(True, 0), (False, 1)])
    def test_that_is_closed_is_complained_of_unless_who_does_not_wait_has_cancelled(
        self, caplog: pytest.LogCaptureFixture, cancelled: bool, complaints: int
    ) -> None:
        async def main(clock: VirtualClock) -> None:
            dispatcher = Dispatcher(audit=[Notebook()])
            await dispatcher.aclose()
            written = dispatcher.audit(audited())
            assert written is not None
            if cancelled:
                written.cancel()
            del written
            gc.collect()

        run(main)
        assert caplog.text.count("Future exception was never retrieved") == complaints
        assert len(caplog.records) == complaints


class TestTheMetricsLane:
    def test_never_makes_anybody_wait(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=3)
            dispatcher = Dispatcher(metrics=[notebook])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                for number in range(100):
                    dispatcher.emit(paused(number))
                assert clock.monotonic() < 0.001
                await anyio.sleep(3.1)
                assert notebook.events == [paused(number) for number in range(100)]
                task_group.cancel_scope.cancel()
            assert dispatcher.dropped == 0

        run(main)

    def test_writes_what_came_meanwhile_in_one_go(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=1)
            dispatcher = Dispatcher(metrics=[notebook])
            async with anyio.create_task_group() as task_group:
                dispatcher.start(task_group)
                dispatcher.emit(paused(0))
                await anyio.sleep(0.5)
                for number in range(1, 8):
                    dispatcher.emit(paused(number))
                await anyio.sleep(3)
                task_group.cancel_scope.cancel()
            assert notebook.batches == [1, 7]

        run(main)

    def test_drops_and_counts_what_finds_the_queue_full(self) -> None:
        async def main(clock: VirtualClock) -> None:
            hung, fine = Notebook(takes=1e6), Notebook()
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
                assert repr(dispatcher) == "<Dispatcher: 0 audit, 2 metrics, 14 dropped>"
                task_group.cancel_scope.cancel()

        run(main)

    def test_takes_of_records_that_come_together_what_there_is_room_for(self) -> None:
        async def main(clock: VirtualClock) -> None:
            hung = Notebook(takes=1e6)
            dispatcher = Dispatcher(audit=[Notebook()], metrics=[hung])
            async with writing(dispatcher):
                dispatcher.emit(paused())
                await anyio.sleep(1)
                for _ in range(MAX_WAITING - 2):
                    dispatcher.emit(paused())
                records = [dispatcher.audit(audited(f"f-{number}")) for number in range(5)]
                await asyncio.gather(*filter(None, records))
                assert dispatcher.dropped == 3
                dispatcher.emit(paused())
                assert dispatcher.dropped == 4

        run(main)

    def test_counts_what_a_failing_sink_lost_says_so_and_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main(clock: VirtualClock) -> None:
            broken, fine = Notebook(fails=OSError("no route")), Notebook()
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
        assert "<Notebook> failed; 3 events are lost" in caplog.text

    def test_is_written_out_on_closing_and_then_closed_once(self) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook()
            dispatcher = Dispatcher(metrics=[notebook])
            for number in range(5):
                dispatcher.emit(paused(number))
            await dispatcher.aclose()
            assert len(notebook.events) == 5
            assert notebook.closed == 1

        run(main)

    @pytest.mark.parametrize("cancelled_after", [0.0, 0.5, 1.0, 1.5, 2.5])
    def test_accounts_for_every_event_whenever_it_is_ended(self, cancelled_after: float) -> None:
        async def main(clock: VirtualClock) -> None:
            notebook = Notebook(takes=1)
            dispatcher = Dispatcher(metrics=[notebook])
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
            assert len(notebook.events) + dispatcher.dropped == 20
            assert notebook.closed == 1

        run(main)

    def test_that_hangs_does_not_hold_up_the_exit_and_its_events_are_counted_as_dropped(self) -> None:
        async def main(clock: VirtualClock) -> None:
            hung, fine = Notebook(takes=1e6), Notebook()
            dispatcher = Dispatcher(metrics=[hung, fine])
            for number in range(5):
                dispatcher.emit(paused(number))
            await dispatcher.aclose()
            assert clock.monotonic() < 10
            assert dispatcher.dropped == 5
            assert len(fine.events) == 5
            assert (hung.closed, fine.closed) == (1, 1)

        run(main)

    def test_that_hangs_in_closing_too_is_said_and_does_not_hold_up_the_exit(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main(clock: VirtualClock) -> None:
            dispatcher = Dispatcher(metrics=[Notebook(takes=1e6, close_takes=1e6)])
            dispatcher.emit(paused())
            await dispatcher.aclose()
            assert clock.monotonic() == pytest.approx(2 * CLOSE_TIMEOUT, abs=0.1)
            assert dispatcher.dropped == 1

        run(main)
        assert "<Notebook> could not be closed" in caplog.text

    def test_that_cannot_be_closed_is_said_and_nothing_more(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main(clock: VirtualClock) -> None:
            broken, fine = Notebook(), Notebook()
            broken.close_fails = OSError("gone")
            await Dispatcher(metrics=[broken, fine]).aclose()
            assert fine.closed == 1

        run(main)
        assert "could not be closed" in caplog.text


class TestJsonLines:
    def write(self, sink: Sink, *events: Event) -> None:
        async def main() -> None:
            await sink.write(events)
            await sink.aclose()

        asyncio.run(main())

    @pytest.mark.parametrize("durable", [False, True])
    def test_are_one_object_a_line_and_whole_before_write_returns(self, tmp_path: Path, durable: bool) -> None:
        async def main() -> None:
            sink = JsonLinesSink(tmp_path / "audit.jsonl", durable=durable)
            await sink.write([audited(), paused()])
            lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
            assert [json.loads(line) for line in lines] == [
                {
                    "event": "attempt_audited",
                    "time": "2023-11-14T22:13:20.250+00:00",
                    "action": "media_storage.download_url",
                    "file_id": "f-1",
                    "outcome": "success",
                    "status": 200,
                    "latency": 0.25,
                    "user_agent": "agent/1",
                    "attempt": 1,
                    "code": None,
                    "correlation_id": None,
                },
                {"event": "quota_paused", "time": "1970-01-01T00:00:01.000+00:00", "seconds": 1.0},
            ]
            await sink.aclose()

        asyncio.run(main())

    def test_are_added_to_what_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        for _ in range(3):
            self.write(JsonLinesSink(str(path)), paused())
        assert len(path.read_text().splitlines()) == 3

    def test_of_two_programs_in_one_file_do_not_overwrite_each_other(self, tmp_path: Path) -> None:
        async def main() -> None:
            sinks = [JsonLinesSink(tmp_path / "audit.jsonl") for _ in range(2)]
            for number in range(6):
                await sinks[number % 2].write([paused(number)])
            for sink in sinks:
                await sink.aclose()

        asyncio.run(main())
        lines = (tmp_path / "audit.jsonl").read_text().splitlines()
        assert [json.loads(line)["seconds"] for line in lines] == list(range(6))

    def test_are_for_their_owner_alone(self, tmp_path: Path) -> None:
        self.write(JsonLinesSink(tmp_path / "audit.jsonl"), paused())
        assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600

    @pytest.mark.parametrize("file_id", ["a\nb", "a\u2028b", 'a"b', "ä", "\x00", "\ud800", "a\udcffb", "\U0001f600"])
    def test_hold_any_id_in_one_line_since_one_bad_id_must_not_end_a_run(self, tmp_path: Path, file_id: str) -> None:
        path = tmp_path / "audit.jsonl"
        self.write(JsonLinesSink(path), audited(file_id), paused())
        lines = path.read_bytes().split(b"\n")
        assert [json.loads(line)["event"] for line in lines[:-1]] == ["attempt_audited", "quota_paused"]
        assert json.loads(lines[0])["file_id"] == file_id
        assert lines[-1] == b""

    @given(written=st.lists(st.sampled_from([*CLASSES, Tenant, TenantAudited]).flatmap(any_event), max_size=4))
    @settings(deadline=None, max_examples=100)
    def test_say_of_any_event_what_its_members_say(
        self, tmp_path_factory: pytest.TempPathFactory, written: list[Event]
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any.jsonl"
        path.unlink(missing_ok=True)
        self.write(JsonLinesSink(path), *written)
        *lines, rest = path.read_bytes().split(b"\n")
        told = [json.loads(line, object_pairs_hook=list) for line in lines]
        assert told == [list(event.as_dict().items()) for event in written]
        assert rest == b""

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_have_null_for_a_number_that_json_cannot_say(self, tmp_path: Path, number: float) -> None:
        path = tmp_path / "audit.jsonl"
        self.write(JsonLinesSink(path), audited(latency=number), finished(latency=number), paused(number))
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert [line.get("latency", line.get("seconds")) for line in lines] == [None] * 3

    def test_that_cannot_be_written_are_found_out_on_opening(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="missing"):
            JsonLinesSink(tmp_path / "missing" / "audit.jsonl")

    def test_say_where_they_are(self, tmp_path: Path) -> None:
        sink = JsonLinesSink(tmp_path / "audit.jsonl")
        assert str(tmp_path / "audit.jsonl") in repr(sink)
        self.write(sink)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no bound on the size of files")
    @pytest.mark.parametrize("reopened", [False, True])
    def test_begin_a_line_of_their_own_wherever_the_disk_became_full(self, tmp_path: Path, reopened: bool) -> None:
        async def write(path: Path, room: int) -> bytes:
            sink = JsonLinesSink(path)
            await sink.write([paused(0)])
            with files_no_larger_than(path.stat().st_size + room), pytest.raises(OSError, match="large"):
                await sink.write([paused(1), paused(2)])
            if reopened:
                await sink.aclose()
                sink = JsonLinesSink(path)
            await sink.write([paused(3)])
            await sink.write([paused(4)])
            await sink.aclose()
            return path.read_bytes()

        self.write(JsonLinesSink(tmp_path / "whole.jsonl"), *map(paused, range(5)))
        first, *cut_off, fourth, fifth = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
        for room in range(len(b"".join(cut_off))):
            kept = b"".join(cut_off)[:room]
            end = b"\n" if kept[-1:] not in {b"", b"\n"} else b""
            path = tmp_path / f"{room}.jsonl"
            assert asyncio.run(write(path, room)) == first + kept + end + fourth + fifth

    @pytest.mark.parametrize(("there", "end"), [(b"", b""), (b"{}\n", b""), (b"{}\n{", b"\n"), (b"{", b"\n")])
    def test_begin_a_line_of_their_own_in_a_file_whose_last_line_is_torn(
        self, tmp_path: Path, there: bytes, end: bytes
    ) -> None:
        new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
        old.write_bytes(there)
        for path in (new, old):
            self.write(JsonLinesSink(path), paused(), paused())
        assert old.read_bytes() == there + end + new.read_bytes()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_are_added_to_a_file_that_may_only_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_bytes(b"{}\n")
        path.chmod(0o200)
        self.write(JsonLinesSink(path), paused(), paused())
        path.chmod(0o600)
        assert path.read_bytes().count(b"\n") == 3

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
    def test_go_into_a_pipe_as_they_are(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        try:
            self.write(JsonLinesSink(tmp_path / "pipe"), paused(2))
            assert json.loads(os.read(reader, 1_000))["seconds"] == 2
        finally:
            os.close(reader)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_on_a_full_disk_raise(self, tmp_path: Path) -> None:
        async def main() -> None:
            sink = JsonLinesSink("/dev/full")
            with pytest.raises(OSError, match="No space"):
                await sink.write([paused()])
            await sink.aclose()

        asyncio.run(main())


class TestLogging:
    def log(self, *events: Event, level: int = logging.INFO) -> None:
        async def main() -> None:
            sink = LoggingSink(logging.getLogger("tests.events"), level=level)
            await sink.write(events)
            await sink.aclose()

        asyncio.run(main())

    def test_has_a_record_for_each_event_with_its_members_as_extra(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "tests.events")
        self.log(audited())
        (record,) = caplog.records
        assert record.name == "tests.events"
        assert record.levelno == logging.INFO
        assert record.getMessage().startswith("attempt_audited action=media_storage.download_url file_id=f-1")
        members = vars(record)
        assert (members["media_file_id"], members["media_status"], members["media_outcome"]) == ("f-1", 200, "success")

    @pytest.mark.parametrize(
        ("event", "level"),
        [
            (paused(), logging.WARNING),
            (TokenRefreshFailed(at=1, code="x", pause=1), logging.WARNING),
            (WebhookFailed(at=1, file_id="f", webhook_id="w", attempts=1, reason="x"), logging.WARNING),
            (finished(outcome=Outcome.GENERATION_FAILED), logging.WARNING),
            (finished(), logging.DEBUG),
            (audited(outcome=Outcome.GENERATION_FAILED), logging.DEBUG),
            (TokenRefreshed(at=1, life=1, latency=1), logging.DEBUG),
            (WebhookDelivered(at=1, file_id="f", webhook_id="w", attempts=1), logging.DEBUG),
            (RetryScheduled(at=1, file_id="f", attempt=1, delay=1, code="x"), logging.DEBUG),
        ],
    )
    def test_warns_of_what_somebody_should_look_at(
        self, caplog: pytest.LogCaptureFixture, event: Event, level: int
    ) -> None:
        caplog.set_level(logging.DEBUG, "tests.events")
        self.log(event, level=logging.DEBUG)
        assert [record.levelno for record in caplog.records] == [level]

    def test_is_silent_below_the_loggers_level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, "tests.events")
        self.log(audited(), paused())
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_lets_no_id_forge_a_line_of_its_own(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "tests.events")
        self.log(audited("x\n2026-01-01 root: all is well\x1b[2J"))
        message = caplog.records[0].getMessage()
        assert len(message.splitlines()) == 1
        assert "\x1b" not in message

    def test_goes_to_the_packages_own_logger_by_default(self) -> None:
        assert repr(LoggingSink()) == "<LoggingSink 'genesys_media_async.events'>"


class TestMemory:
    def test_keeps_events_in_order_up_to_the_last_so_many(self) -> None:
        async def main() -> None:
            sink = MemorySink(most=3)
            await sink.write([paused(number) for number in range(2)])
            await sink.write([paused(number) for number in range(2, 5)])
            await sink.aclose()
            assert list(sink.events) == [paused(2), paused(3), paused(4)]
            assert repr(sink) == "<MemorySink with 3 events>"

        asyncio.run(main())


class TestMetrics:
    def counted(self, *events: Event) -> MetricsSink:
        async def main() -> MetricsSink:
            sink = MetricsSink()
            await sink.write(events)
            await sink.aclose()
            return sink

        return asyncio.run(main())

    def test_of_nothing_are_nothing_and_no_division_by_zero(self) -> None:
        it = self.counted().snapshot()
        assert it.outcomes == {}
        assert it.validity_rate is None
        assert it.mean_lifetime is None
        assert (it.latency_p50, it.latency_p95, it.latency_p99, it.latency_mean) == (None, None, None, None)

    def test_count_what_happened(self) -> None:
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
            TokenRefreshed(at=1, life=1, latency=1),
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
    def test_count_a_result_whose_latency_is_no_number_without_it(self, latency: float) -> None:
        it = self.counted(finished(latency=latency), finished(latency=0.25), finished(latency=latency)).snapshot()
        assert it.outcomes == {Outcome.SUCCESS: 3}
        assert it.attempts == 3
        assert (it.latency_p50, it.latency_p99, it.latency_mean) == (0.25, 0.25, 0.25)

    def test_of_no_latency_that_is_a_number_have_none(self) -> None:
        it = self.counted(finished(latency=float("nan"))).snapshot()
        assert it.outcomes == {Outcome.SUCCESS: 1}
        assert (it.latency_p50, it.latency_mean) == (None, None)

    def test_have_no_label_with_an_id_nor_show_one(self) -> None:
        sink = self.counted(finished("canary"), finished("canary", outcome=Outcome.GENERATION_FAILED, code="x"))
        assert "canary" not in f"{sink!r} {sink.snapshot()!r}"

    def test_are_bounded_whatever_content_types_a_server_invents(self) -> None:
        sink = self.counted(*(finished(content_type=f"audio/x-{number}") for number in range(1_000)))
        types = sink.snapshot().content_types
        assert len(types) <= MAX_NAMES + 1
        assert types["other"] == 1_000 - MAX_NAMES

    def test_are_bounded_whatever_error_codes_a_server_invents(self) -> None:
        sink = self.counted(
            *(finished(outcome=Outcome.GENERATION_FAILED, code=f"not.found.{number}") for number in range(1_000))
        )
        codes = sink.snapshot().error_codes
        assert len(codes) == MAX_NAMES + 1
        assert sum(codes.values()) == 1_000

    @pytest.mark.parametrize("results", [1, MAX_UNCOUNTED - 1, MAX_UNCOUNTED, MAX_UNCOUNTED + 1, 1_234])
    def test_are_the_same_however_many_results_come_before_somebody_looks(self, results: int) -> None:
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

    def test_take_no_more_memory_the_more_results_they_count(self) -> None:
        sink = MetricsSink()
        tracemalloc.start()
        try:
            held: list[int] = []
            for number in range(1, 20 * MAX_UNCOUNTED):
                sink.count(finished(latency=1 + 1 / number))
                if number % MAX_UNCOUNTED == MAX_UNCOUNTED - 1:
                    held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        assert held[-1] < held[0] + 20_000

    def test_count_an_event_of_a_class_of_ones_own_as_what_it_is(self) -> None:
        class Mine(RetrievalFinished):
            pass

        event = finished()
        mine = Mine(*(getattr(event, member.name) for member in fields(event)))
        assert self.counted(mine, event, Tenant(at=1.0, tenant="t")).snapshot().outcomes == {Outcome.SUCCESS: 2}

    def test_are_a_snapshot_that_does_not_move(self) -> None:
        async def main() -> None:
            sink = MetricsSink()
            await sink.write([finished()])
            before = sink.snapshot()
            await sink.write([finished()])
            assert before.outcomes[Outcome.SUCCESS] == 1
            assert sink.snapshot().outcomes[Outcome.SUCCESS] == 2

        asyncio.run(main())


class TestAHistogram:
    @given(
        parts=st.lists(st.lists(st.floats(1e-5, 1e5), max_size=50), max_size=8).filter(any),
        percent=st.sampled_from([1, 50, 90, 95, 99, 99.9, 100]),
    )
    @settings(deadline=None, max_examples=150)
    def test_is_never_more_than_a_bucket_off(self, parts: list[list[float]], percent: float) -> None:
        histogram = Histogram()
        for part in parts:
            histogram.add(part)
        values = [value for part in parts for value in part]
        rank = next(rank for rank in range(1, len(values) + 1) if rank >= len(values) * percent / 100)
        true = sorted(values)[rank - 1]
        found = histogram.percentile(percent)
        assert found is not None
        assert true * (1 - 1e-9) <= found <= true * 1.0500001
        assert histogram.count == len(values)
        assert histogram.total == pytest.approx(sum(values))
        assert histogram.largest == max(values)

    def test_takes_nothing_and_next_to_nothing(self) -> None:
        histogram = Histogram()
        histogram.add([])
        assert histogram.percentile(50) is None
        histogram.add([0.0])
        assert histogram.percentile(50) == 0.0
        histogram.add([1e-12])
        assert histogram.percentile(100) == pytest.approx(1e-12)

    def test_says_no_more_than_the_largest_number_seen(self) -> None:
        histogram = Histogram()
        histogram.add([1.01])
        assert histogram.percentile(99) == 1.01


def test_every_event_is_one_flat_json_object_without_a_place_for_secrets(tmp_path: Path) -> None:
    examples: list[Event] = [
        audited(),
        finished(),
        paused(),
        QuotaResumed(at=1, seconds=1),
        QuotaLimitChanged(at=1, allowed=1),
        TokenRefreshed(at=1, life=1, latency=1),
        TokenRefreshFailed(at=1, code="x", pause=1),
        WebhookDelivered(at=1, file_id="f", webhook_id="w", attempts=1),
        WebhookFailed(at=1, file_id="f", webhook_id="w", attempts=1, reason="x"),
        RetryScheduled(at=1, file_id="f", attempt=1, delay=1, code="x"),
        BatchSubmitted(at=1, job_id="j", requests=1),
        BatchCompleted(at=1, job_id="j", results=1, errors=1, seconds=1),
        UnrequestedBatchResults(at=1, job_id="j", results=1),
    ]
    defined = {each for each in vars(events).values() if isinstance(each, type) and issubclass(each, Event)}
    assert {type(each) for each in examples} == defined - {Event}
    assert len({each.name for each in examples}) == len(examples)
    path = tmp_path / "events.jsonl"

    async def write() -> None:
        sink = JsonLinesSink(path)
        await sink.write(examples)
        await sink.aclose()

    asyncio.run(write())
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [each.as_dict() for each in examples]
    for each in examples:
        flat = json.loads(json.dumps(each.as_dict()))
        assert list(flat)[:2] == ["event", "time"]
        assert flat["event"] == each.name
        assert not {"url", "token", "secret"} & set(flat)
        assert all(value is None or isinstance(value, str | int | float) for value in flat.values())
