"""Batch jobs that are not there yet, in states that no documentation has, or left before their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import InvalidResponseError
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.endpoints.recordings.recording_batch import MAX_ODD_TIME, YOUNG
from genesys_media_async.events import BatchAbandoned, BatchCompleted
from genesys_media_async.simulator import BatchSettings, JobFault
from tests.support.batch_runs import World, events_of, job_reply, polls_of, recordings, result_of, scripted
from tests.support.scripted_context import code, codes, json_reply

if TYPE_CHECKING:
    from genesys_media_async.models import MediaResult
    from genesys_media_async.transports import HttpReply
    from tests.support.scripted_context import ScriptedContext

NOT_FOUND = json_reply({"code": "batch.download.job.not.found"}, status=404)
GOING_ON = job_reply(result_of("c/r"), status="InProgress", expected=2)


class TestAJobThatIsNotFound:
    def test_in_its_first_seconds_is_polled_again(self) -> None:
        context = scripted(NOT_FOUND, GOING_ON, NOT_FOUND, job_reply(result_of("c/r"), result_of("c/s")))
        assert codes(context.run(RecordingBatch(), "c/r", "c/s")) == {"c/r": None, "c/s": None}
        assert context.clock.monotonic() < YOUNG
        assert events_of(context.events, BatchAbandoned) == []

    def test_for_longer_is_lost_and_can_be_retried_in_a_new_job(self) -> None:
        context = scripted(NOT_FOUND)
        (result,) = context.run(RecordingBatch(), "c/r")
        assert code(result) == "batch_download_job_not_found"
        assert result.error is not None
        assert result.error.retryable
        assert "in a new job" in str(result.error)
        assert YOUNG < context.clock.monotonic() < 2 * YOUNG

    def test_later_is_lost_at_once(self) -> None:
        context = scripted(*[GOING_ON] * 8, NOT_FOUND)
        results = context.run(RecordingBatch(), "c/r", "c/s")
        assert codes(results) == {"c/r": None, "c/s": "batch_download_job_not_found"}
        assert len(polls_of(context)) == 9
        # Nobody can poll it, so its id is of no use.
        assert context.counters.abandoned_jobs == []
        assert [each.reason for each in events_of(context.events, BatchAbandoned)] == ["batch_download_job_not_found"]

    @pytest.mark.parametrize(("seconds", "expected"), [(8.0, None), (60.0, "batch_download_job_not_found")])
    def test_costs_nothing_if_it_appears_soon(self, seconds: float, expected: str | None) -> None:
        faults = (JobFault.NOT_THERE_YET,) * 3
        world = World(recordings(300), faults=faults, batch=BatchSettings(unseen_seconds=seconds))
        assert set(world.codes.values()) == {expected}
        assert world.statistics.jobs == 0


class TestAJobInAnUndocumentedState:
    def odd(self, reply: HttpReply) -> tuple[ScriptedContext, dict[str, str | None], MediaResult]:
        """Return what a job leads to that has one result of two, and then this state for ever."""
        context = scripted(job_reply(result_of("c/r"), status="InProgress", expected=2), reply)
        results = context.run(RecordingBatch(), "c/r", "c/s")
        assert codes(results)["c/r"] is None
        assert MAX_ODD_TIME <= context.clock.monotonic() < 3 * MAX_ODD_TIME
        assert context.counters.abandoned_jobs == ["job-1"]
        assert context.counters.jobs == 0
        (last,) = [result for result in results if result.media_id == "c/s"]
        return context, codes(results), last

    @pytest.mark.parametrize("status", ["Suspended", "Failed", "completed?", "", None, 5, ["Completed"], {}])
    def test_is_polled_for_a_minute_and_then_given_up(self, status: object) -> None:
        _, found, last = self.odd(job_reply(result_of("c/r"), status=status))
        assert found["c/s"] == "batch_state_unknown"
        assert isinstance(last.error, InvalidResponseError)
        assert last.error.retryable
        assert (status if isinstance(status, str) and status else "unknown") in last.error.message

    @pytest.mark.parametrize(
        "members",
        [
            {"status": "Completed", "resultCount": 2},
            {"status": "Completed", "resultCount": 2, "results": None},
            {"status": "Completed", "resultCount": 2, "results": []},
            {"status": "Completed", "resultCount": "2", "results": "none"},
            {"status": "Completed", "results": 5},
            {},
        ],
    )
    def test_is_one_without_the_results_that_it_claims(self, members: dict[str, object]) -> None:
        assert self.odd(json_reply(members))[1]["c/s"] == "batch_state_unknown"

    def test_may_still_show_results_and_become_completed(self) -> None:
        states = [
            job_reply(result_of("c/r"), status="Paused"),
            json_reply({"status": "Completed", "results": None, "resultCount": 2}),
            job_reply(result_of("c/r"), result_of("c/s")),
        ]
        context = scripted(*states)
        assert codes(context.run(RecordingBatch(), "c/r", "c/s")) == {"c/r": None, "c/s": None}
        assert [type(each) for each in context.events[1:]] == [BatchCompleted]

    def test_is_polled_longer_while_it_shows_new_results(self) -> None:
        shown = [job_reply(*(result_of(f"c/r-{n}") for n in range(count)), status="Odd") for count in range(1, 30)]
        context = scripted(*shown)
        assert len(context.run(RecordingBatch(), "c")) == 29
        assert context.clock.monotonic() > 5 * MAX_ODD_TIME

    def test_that_comes_late_has_its_minute_too(self) -> None:
        slow = job_reply(status="InProgress", expected=1)
        context = scripted(*[slow] * 20, job_reply(status="Odd"), job_reply(result_of("c/r")))
        assert codes(context.run(RecordingBatch(), "c/r")) == {"c/r": None}


class TestAResultInAnotherShape:
    def results(self, *found: object, ids: tuple[str, ...] = ("c/r",), **more: Any) -> dict[str, str | None]:
        return codes(scripted(job_reply(*found, **more)).run(RecordingBatch(), *ids))

    def test_spoils_no_other(self) -> None:
        assert self.results(None, 5, "result", [], {}, result_of("c/r"), unknown={"member": 1}) == {"c/r": None}

    def test_with_counts_as_strings_is_read(self) -> None:
        context = scripted(
            job_reply(status="InProgress", expectedResultCount="100", resultCount="50"),
            job_reply(result_of("c/r"), resultCount=1.5, expectedResultCount=None),
        )
        assert codes(context.run(RecordingBatch(), "c/r")) == {"c/r": None}

    def test_with_numbers_as_ids_belongs_to_its_request(self) -> None:
        found = {**result_of("17/4"), "conversationId": 17, "recordingId": 4}
        assert self.results(found, ids=("17/4",)) == {"17/4": None}
        assert self.results(found, ids=("17",)) == {"17/4": None}

    def test_without_a_conversation_belongs_to_the_request_for_its_recording(self) -> None:
        nameless = {**result_of("c/R"), "conversationId": None}
        assert self.results(nameless, ids=("c/r", "c/s", "d")) == {
            "c/R": None,
            "c/s": "recording_not_in_batch",
            "d": "recording_not_in_batch",
        }
        assert self.results({**nameless, "recordingId": None}) == {"c/r": "recording_not_in_batch"}

    @pytest.mark.parametrize("error", [{"message": "No"}, ["No"], 500, True])
    def test_with_an_error_that_is_no_text_is_that_error(self, error: object) -> None:
        assert self.results(result_of("c/r", None, error)) == {"c/r": "recording_failed"}

    @pytest.mark.parametrize("error", ["", 0, False, {}])
    def test_with_an_empty_error_has_none(self, error: object) -> None:
        assert self.results(result_of("c/r", error=error)) == {"c/r": None}


class TestAJobThatIsLeft:
    def test_by_a_failure_of_its_polls_is_abandoned(self) -> None:
        context = scripted(json_reply({"code": "batch.download.permission.denied"}, status=403))
        context.run(RecordingBatch(), "c/r")
        assert context.counters.abandoned_jobs == ["job-1"]

    def test_by_a_run_that_is_cancelled_is_abandoned_and_the_others_are_not(self) -> None:
        class Enough(Exception):
            pass

        def stop_after_one_job(world: World, _: MediaResult) -> None:
            worlds.append(world)
            if events_of(world.events.events, BatchCompleted):
                raise Enough

        worlds: list[World] = []
        with pytest.raises(Enough):
            World(recordings(400), during=stop_after_one_job, batch=BatchSettings(concurrent_jobs=1))
        seen = worlds[0]
        completed = {each.job_id for each in events_of(seen.events.events, BatchCompleted)}
        left = events_of(seen.events.events, BatchAbandoned)
        assert {each.job_id for each in left} == {job.id for job in seen.simulator.batch_jobs} - completed
        assert {each.reason for each in left} == {"cancelled"}
        assert all(each.unanswered for each in left)
