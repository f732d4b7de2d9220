"""The audit recorder: its records, its lane, which is waited for, and its end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.audit.group import WRITTEN, RecordGroup
from genesys_media_async.audit.recorder import AuditRecorder
from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    AuditWriteError,
    AuthenticationError,
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    TokenRejectedError,
    UrlRejectedError,
)
from genesys_media_async.events import AttemptAudited, Outcome, outcome_of
from genesys_media_async.models import Failed, Retrieved
from tests.support.scripted_sink import ScriptedSink, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from genesys_media_async.models import MediaResult

WALL = 1_700_000_000.0
RESULTS: list[MediaResult] = [Retrieved("f-1", "https://a.test/1", 2e9, 60), Failed("f-2", NotFoundError("No."))]


class Audit(AuditRecorder):
    """A recorder with a clock of its own that keeps what it passes on."""

    def __init__(self, *sinks: ScriptedSink, on_lost: Callable[[AuditWriteError], bool] = lambda _: False) -> None:
        self.passed_on: list[AttemptAudited] = []
        super().__init__(sinks, clock=VirtualClock(wall=WALL), user_agent="agent/1", then=self._keep, on_lost=on_lost)

    def _keep(self, records: Sequence[AttemptAudited]) -> None:
        self.passed_on += records

    def record(self, file_id: str = "f-1") -> RecordGroup:
        """Record a successful attempt."""
        return self.attempt("media_storage.download_url", file_id, None, 200, 0.25, 1, "corr-1")


def audited(file_id: str = "f-1") -> AttemptAudited:
    """Return what `Audit.record` records."""
    return AttemptAudited(
        at=WALL,
        action="media_storage.download_url",
        file_id=file_id,
        outcome=Outcome.SUCCESS,
        status=200,
        latency=0.25,
        user_agent="agent/1",
        attempt=1,
        correlation_id="corr-1",
    )


@asynccontextmanager
async def writing(audit: Audit) -> AsyncIterator[Audit]:
    """Start the recorder; the test closes it."""
    async with anyio.create_task_group() as task_group:
        audit.start(task_group)
        yield audit
        task_group.cancel_scope.cancel()


def ids_in(sink: ScriptedSink) -> list[str]:
    return [getattr(event, "file_id", "") for event in sink.events]


class TestRecord:
    def test_of_an_attempt_has_its_error_and_its_status(self) -> None:
        audit = Audit()
        error = NotFoundError("It is not there.", status_code=404)
        assert audit.attempt("document", "d-1", error, 404, 0.5, 3, "corr-1") is WRITTEN
        assert audit.passed_on == [
            AttemptAudited(
                WALL, "document", "d-1", Outcome.GENERATION_FAILED, 404, 0.5, "agent/1", 3, "not_found", "corr-1"
            )
        ]

    def test_of_a_request_that_was_not_sent_has_attempt_0(self) -> None:
        audit = Audit()
        audit.unsent("document", "a b", InvalidRequestError("It has a space.", code="invalid_file_id"))
        assert audit.passed_on == [
            AttemptAudited(WALL, "document", "a b", Outcome.PAYLOAD_INVALID, None, 0.0, "agent/1", 0, "invalid_file_id")
        ]

    def test_of_a_medium_has_an_action_of_its_own_and_the_status_of_its_error(self) -> None:
        audit = Audit()
        audit.result("recording", "c/r/0", None, 0.5, 2, "corr-1")
        audit.result("recording", "c/r/1", NotFoundError("No.", status_code=404), 0.5, 2, "corr-1")
        assert [(each.action, each.file_id, each.status, each.code, each.attempt) for each in audit.passed_on] == [
            ("recording.result", "c/r/0", None, None, 2),
            ("recording.result", "c/r/1", 404, "not_found", 2),
        ]

    def test_of_a_cancelled_attempt_is_written_although_nobody_waits(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink()
            async with writing(Audit(sink)) as audit:
                audit.cut_off("document", "d-1", None, 0.5, 1, None)
                await anyio.sleep(1)
            (record,) = audit.passed_on
            assert (record.outcome, record.code, record.latency) == (Outcome.GENERATION_FAILED, "cut_off", 0.5)
            assert sink.events == [record]
            await audit.aclose()

        run(main)

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (None, Outcome.SUCCESS),
            (InvalidRequestError("x"), Outcome.PAYLOAD_INVALID),
            (AuthenticationError("x"), Outcome.AUTH_FAILURE),
            (CredentialsRejectedError("x"), Outcome.AUTH_FAILURE),
            (TokenRejectedError("x"), Outcome.AUTH_FAILURE),
            (UrlRejectedError("x"), Outcome.VALIDATION_FAILED),
            (InternalServerError("x"), Outcome.GENERATION_FAILED),
            (DeadlineExceededError("x"), Outcome.GENERATION_FAILED),
            (GenesysMediaError("x"), Outcome.GENERATION_FAILED),
        ],
    )
    def test_has_the_outcome_of_its_error(self, error: GenesysMediaError | None, outcome: Outcome) -> None:
        assert outcome_of(error) is outcome


async def waiting_for(audit: Audit, file_id: str) -> None:
    """Record an attempt and wait until it is written, as a call does."""
    await audit.record(file_id).written()


class TestLane:
    def test_a_record_is_written_when_every_sink_has_taken_it(self) -> None:
        async def main(clock: VirtualClock) -> None:
            quick, slow = ScriptedSink(), ScriptedSink(takes=3)
            async with writing(Audit(quick, slow)) as audit:
                await audit.record().written()
            assert clock.monotonic() == pytest.approx(3, abs=0.01)
            assert quick.events == slow.events == [audited()]

        run(main)

    def test_without_a_sink_there_is_nothing_to_wait_for(self) -> None:
        audit = Audit()
        assert audit.record() is WRITTEN
        assert audit.passed_on == [audited()]

    def test_records_that_come_together_are_one_batch_in_their_order(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=1)
            async with writing(Audit(sink)) as audit, anyio.create_task_group() as callers:
                for number in range(5):
                    callers.start_soon(waiting_for, audit, f"f-{number}")
                    await anyio.sleep(0.1 if number == 1 else 0)
            assert ids_in(sink) == [f"f-{n}" for n in range(5)]
            assert sum(sink.batches) == 5
            assert len(sink.batches) == 2, "those that came during the first write are one batch"

        run(main)

    def test_a_failing_sink_fails_the_record_with_the_reason(self) -> None:
        async def main(clock: VirtualClock) -> None:
            before, after = ScriptedSink(), ScriptedSink()
            broken = ScriptedSink(fails=OSError("disk full at https://a.test/?sig=canary"))
            async with writing(Audit(before, broken, after)) as audit:
                with pytest.raises(AuditWriteError) as caught:
                    await audit.record("f-7").written()
            assert "f-7" in str(caught.value)
            assert "disk full" in str(caught.value)
            assert "<ScriptedSink>" in str(caught.value)
            assert "canary" not in str(caught.value)
            assert isinstance(caught.value.__cause__, OSError)
            assert after.events == []
            await audit.aclose()
            assert audit.passed_on == []

        run(main)

    def test_the_error_of_records_that_are_lost_together_names_the_first_and_counts_the_others(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Audit(ScriptedSink(fails=OSError("full")))) as audit:
                groups = [audit.record(f"f-{number}") for number in range(3)]
                outcomes = await asyncio.gather(*(group.written() for group in groups), return_exceptions=True)
            assert ["The audit records of f-0 and 2 more could not" in str(outcome) for outcome in outcomes] == [
                True
            ] * 3
            assert len(set(map(id, outcomes))) == 3, "each has a traceback of its own"

        run(main)

    def test_an_error_without_a_message_is_named_by_its_class(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Audit(ScriptedSink(fails=TimeoutError()))) as audit:
                with pytest.raises(AuditWriteError, match="TimeoutError"):
                    await audit.record().written()

        run(main)

    def test_a_sink_that_hangs_is_given_up(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Audit(ScriptedSink(takes=1_000))) as audit:
                with pytest.raises(AuditWriteError, match="TimeoutError"):
                    await audit.record().written()
            assert clock.monotonic() < 15

        run(main)

    def test_the_record_of_a_cancelled_caller_is_written(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=5)
            async with writing(Audit(sink)) as audit:
                with anyio.move_on_after(1):
                    await audit.record("cut off").written()
                await audit.record("next").written()
            assert ids_in(sink) == ["cut off", "next"]

        run(main)

    def test_a_write_is_not_cancelled(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=5)
            audit = Audit(sink)
            with anyio.move_on_after(1):
                async with writing(audit):
                    audit.record("first")
                    await anyio.sleep(0.5)
                    audit.record("second")
                    await anyio.sleep_forever()
            assert ids_in(sink) == ["first", "second"]

        run(main)

    def test_a_write_is_not_cancelled_between_two_sinks(self) -> None:
        async def main(clock: VirtualClock) -> None:
            first, second = ScriptedSink(takes=5), ScriptedSink(takes=5)
            with anyio.move_on_after(1):
                async with writing(Audit(first, second)) as audit:
                    audit.record()
                    await anyio.sleep_forever()
            assert first.events == second.events == [audited()]

        run(main)

    def test_closing_during_a_write_loses_nothing(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=5)
            audit = Audit(sink)
            async with anyio.create_task_group() as closing:
                async with writing(audit):
                    groups = [audit.record("first")]
                    await anyio.sleep(1)
                    groups.append(audit.record("second"))
                    closing.start_soon(audit.aclose)
                    await anyio.sleep(1)
            assert ids_in(sink) == ["first", "second"]
            assert [group.is_pending or group.is_lost for group in groups] == [False, False]
            assert sink.closed == 1

        run(main)

    def test_closing_raises_for_a_lost_record_that_nobody_heard_of(self) -> None:
        async def main(clock: VirtualClock) -> None:
            audit = Audit(ScriptedSink(fails=OSError("full")))
            audit.record("f-9")
            with pytest.raises(AuditWriteError, match="f-9"):
                await audit.aclose()

        run(main)

    def test_passes_a_batch_on_once_every_sink_has_written_it(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Audit(ScriptedSink(takes=1), ScriptedSink(takes=1))) as audit:
                group = audit.record("f-1")
                assert audit.record("f-2") is group
                await anyio.sleep(1.5)
                assert audit.passed_on == []
                await group.written()
                assert audit.passed_on == [audited("f-1"), audited("f-2")]
            await audit.aclose()

        run(main)

    def test_closing_raises_for_a_sink_that_cannot_be_closed_and_closes_the_others(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sinks = [ScriptedSink(), ScriptedSink(), ScriptedSink()]
            sinks[1].close_fails = OSError("cannot flush")
            with pytest.raises(AuditWriteError, match="cannot flush"):
                await Audit(*sinks).aclose()
            assert [sink.closed for sink in sinks] == [1, 1, 1]

        run(main)

    def test_closing_raises_for_a_sink_that_does_not_close_in_time(self) -> None:
        async def main(clock: VirtualClock) -> None:
            other = ScriptedSink()
            with pytest.raises(AuditWriteError):
                await Audit(ScriptedSink(close_takes=1_000), other).aclose()
            assert clock.monotonic() < 10
            assert other.closed == 1

        run(main)

    def test_a_record_after_closing_fails_at_once(self) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink()
            audit = Audit(sink)
            async with writing(audit):
                await audit.record("in time").written()
                await audit.aclose()
                with pytest.raises(AuditWriteError, match=r"f-8 .* the audit trail is closed\. Let every run end"):
                    audit.record("f-8").require()
            assert sink.events == audit.passed_on == [audited("in time")]

        run(main)

    @pytest.mark.parametrize("comes_after", [1, 4], ids=["during the last write", "while the sink closes"])
    def test_a_record_during_closing_fails(self, comes_after: float) -> None:
        async def main(clock: VirtualClock) -> None:
            sink = ScriptedSink(takes=3, close_takes=3)
            audit = Audit(sink)
            in_time = audit.record("in time")
            async with anyio.create_task_group() as closing:
                closing.start_soon(audit.aclose)
                await anyio.sleep(comes_after)
                late = audit.record("late")
            assert not in_time.is_pending
            assert not in_time.is_lost
            assert late.is_lost
            assert sink.events == [audited("in time")]

        run(main)

    @pytest.mark.parametrize("is_heard", [True, False])
    def test_closing_is_silent_about_lost_records_that_somebody_heard_of(self, is_heard: bool) -> None:
        async def main(clock: VirtualClock) -> None:
            told: list[AuditWriteError] = []

            def on_lost(error: AuditWriteError) -> bool:
                told.append(error)
                return is_heard

            audit = Audit(ScriptedSink(fails=OSError("full")), on_lost=on_lost)
            async with writing(audit):
                audit.record("f-1")
                await anyio.sleep(1)
            with nullcontext() if is_heard else pytest.raises(AuditWriteError, match="f-1"):
                await audit.aclose()
            assert len(told) == 1

        run(main)


def writes(audit: Audit, group: RecordGroup) -> bool:
    """Return whether the sinks are writing a group."""
    return audit.writing is group


class Told:
    """An audience that remembers."""

    def __init__(self) -> None:
        self.results: list[MediaResult] = []

    def tell(self, results: list[MediaResult]) -> None:
        self.results += results


class TestHeldResults:
    def test_are_told_in_their_order_once_every_sink_has_the_records(self) -> None:
        async def main(clock: VirtualClock) -> None:
            told = Told()
            async with writing(Audit(ScriptedSink(takes=1), ScriptedSink(takes=1))) as audit:
                for result in RESULTS:
                    audit.record(result.file_id).tell_later(told, result)
                await anyio.sleep(1.5)
                assert told.results == []
                await anyio.sleep(1)
                assert told.results == RESULTS
                audit.newest.tell_later(told, RESULTS[0])
                assert told.results == [*RESULTS, RESULTS[0]], "what is recorded already is told at once"
            await audit.aclose()

        run(main)

    def test_are_never_told_if_the_records_are_lost(self) -> None:
        async def main(clock: VirtualClock) -> None:
            told = Told()
            async with writing(Audit(ScriptedSink(fails=OSError("full")))) as audit:
                group = audit.record("f-1")
                group.tell_later(told, RESULTS[0])
                await anyio.sleep(1)
                with pytest.raises(AuditWriteError, match="f-1"):
                    group.tell_later(told, RESULTS[1])
            assert told.results == []
            await audit.aclose()

        run(main)

    def test_a_write_in_progress_is_seen_only_while_a_sink_makes_others_wait(self) -> None:
        async def main(clock: VirtualClock) -> None:
            async with writing(Audit(ScriptedSink(takes=2))) as audit:
                group = audit.record("f-1")
                assert not writes(audit, group)
                await anyio.sleep(1)
                assert writes(audit, group)
                later = audit.record("f-2")
                assert later is not group
                await anyio.sleep(2)
                assert writes(audit, later)
                await later.written()
                assert not writes(audit, later)
            await audit.aclose()

        run(main)
