"""The audit lane: it waits for every sink, and a record that is lost ends the run."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import AuditWriteError
from genesys_media_async.events import (
    AttemptAudited,
    Event,
    Outcome,
)
from genesys_media_async.sinks.dispatch import Dispatcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence


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
        yield dispatcher
        task_group.cancel_scope.cancel()


async def audit(dispatcher: Dispatcher, record: AttemptAudited) -> None:
    """Wait until a record is written, as a call does."""
    written = dispatcher.audit(record)
    assert written is not None
    await written


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
