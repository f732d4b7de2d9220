"""When a batch job is polled, and when it is over."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import (
    APITimeoutError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    RateLimitError,
    TokenUnavailableError,
)
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.endpoints.recordings.batch_job import MARGIN, BatchStatus, Progress
from genesys_media_async.events import BatchAbandoned, BatchCompleted, BatchSubmitted
from tests.support.batch_runs import (
    job_reply,
    polls_of,
    result_of,
    scripted,
)
from tests.support.scripted_context import ScriptedContext, codes, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.api.calls import Call
    from genesys_media_async.transports import HttpReply


class TestEnd:
    def test_is_the_status_and_not_the_counts(self) -> None:
        early = job_reply(result_of("c/r-1"), status="InProgress")
        results = scripted(early, early, job_reply(result_of("c/r-1"), result_of("c/r-2"))).run(RecordingBatch(), "c")
        assert codes(results) == {"c/r-1": None, "c/r-2": None}

    @pytest.mark.parametrize("status", ["completed", "COMPLETED"])
    def test_is_the_status_in_any_case(self, status: str) -> None:
        assert codes(scripted(job_reply(result_of("c/r"), status=status)).run(RecordingBatch(), "c/r")) == {"c/r": None}

    def test_of_a_job_that_is_never_completed_is_the_timeout(self) -> None:
        context = scripted(job_reply(result_of("c/r"), status="InProgress", expected=2))
        results = context.run(RecordingBatch(timeout=600.0), "c/r", "c/s")
        assert codes(results) == {"c/r": None, "c/s": "batch_never_completed"}
        assert isinstance(results[1].error, DeadlineExceededError)
        assert results[1].error.retryable
        assert "InProgress" in results[1].error.message
        assert context.clock.monotonic() == pytest.approx(600.0)
        assert len(polls_of(context)) < 20
        assert context.counters.abandoned_jobs == ["job-1"]
        assert context.events[1:] == [BatchAbandoned(context.clock.wall(), "job-1", 1, "batch_never_completed")]

    @pytest.mark.parametrize(
        ("reply", "code", "retryable", "advice"),
        [
            (
                json_reply({"code": "batch.download.job.not.found"}, status=404),
                "batch_download_job_not_found",
                True,
                "in a new job",
            ),
            (
                json_reply({"code": "batch.download.permission.denied"}, status=403),
                "batch_download_permission_denied",
                False,
                "Only the OAuth client that submitted a job",
            ),
            (json_reply({"code": "missing.permissions"}, status=403), "missing_permissions", False, "a role"),
            (json_reply({}, status=409), "http_error", False, ""),
        ],
    )
    def test_of_a_job_that_cannot_be_polled_has_its_reason(
        self, reply: HttpReply, code: str, retryable: bool, advice: str
    ) -> None:
        going_on = job_reply(result_of("c/r"), status="InProgress", expected=2)
        context = scripted(*[going_on] * 6, reply)
        results = context.run(RecordingBatch(), "c/r", "c/s")
        assert codes(results) == {"c/r": None, "c/s": code}
        assert results[1].error is not None
        assert results[1].error.retryable is retryable
        assert advice in str(results[1].error)
        assert len(polls_of(context)) == 7
        assert context.events[1:] == [BatchAbandoned(context.clock.wall(), "job-1", 1, code)]
        assert context.counters.abandoned_jobs == ([] if retryable else ["job-1"])

    @pytest.mark.parametrize(
        "error",
        [
            InternalServerError("It is down."),
            APITimeoutError("slow"),
            RateLimitError("a long pause", retry_after=3_600.0),
            TokenUnavailableError("no token"),
            DeadlineExceededError("out of time"),
        ],
    )
    def test_does_not_come_with_a_few_transient_failures_of_polls(self, error: GenesysMediaError) -> None:
        results = scripted(error, error, error, job_reply(result_of("c/r"))).run(RecordingBatch(), "c/r")
        assert codes(results) == {"c/r": None}

    def test_comes_after_ten_failed_polls_in_a_row(self) -> None:
        context = scripted(json_reply(["no job"]))
        results = context.run(RecordingBatch(), "c/r")
        assert codes(results) == {"c/r": "reply_shape"}
        assert len(polls_of(context)) == 10
        assert 60 < context.clock.monotonic() < 600

    def test_does_not_come_after_ten_failed_polls_that_are_not_in_a_row(self) -> None:
        down, going_on = InternalServerError("It is down."), job_reply(status="InProgress", expected=1)
        polls: list[HttpReply | GenesysMediaError] = [down, down, going_on] * 7
        results = scripted(*polls, job_reply(result_of("c/r"))).run(RecordingBatch(), "c/r")
        assert codes(results) == {"c/r": None}

    def test_emits_an_event_with_the_job(self) -> None:
        context = scripted(job_reply(result_of("c/r"), result_of("c/s", None, "No")))
        context.run(RecordingBatch(), "c", "d")
        submitted, completed = context.events
        assert isinstance(submitted, BatchSubmitted)
        assert isinstance(completed, BatchCompleted)
        assert (submitted.job_id, submitted.requests) == ("job-1", 2)
        assert (completed.job_id, completed.results, completed.errors) == ("job-1", 2, 1)
        assert completed.seconds == pytest.approx(context.clock.monotonic())
        assert completed.at > submitted.at


class TestSchedule:
    def counts(self, results: Any, expected: Any) -> BatchStatus:
        return BatchStatus(status="InProgress", resultCount=results, expectedResultCount=expected)

    @pytest.mark.parametrize(
        ("polls", "remaining"),
        [
            ([(10.0, 50, 100)], 10.0),
            ([(10.0, 25, 100)], 30.0),
            # The pace is the latest: the job had waited for another one.
            ([(30.0, 0, 100), (40.0, 50, 100)], 10.0),
            # Nothing yet: half as long again.
            ([(10.0, 0, 100)], 5.0 / MARGIN),
            ([(10.0, None, None)], 5.0 / MARGIN),
            # As many as are expected, or no more than before: it can be any moment.
            ([(10.0, 100, 100)], 0.0),
            ([(10.0, 120, 100)], 0.0),
            ([(10.0, 50, 100), (20.0, 50, 100)], 0.0),
            ([(10.0, -5, -7)], 5.0 / MARGIN),
        ],
    )
    def test_follows_the_pace_of_the_counts(self, polls: list[tuple[float, Any, Any]], remaining: float) -> None:
        progress = Progress(7.0)
        assert progress.remaining == pytest.approx(7.0 * MARGIN)
        for elapsed, results, expected in polls:
            progress.note(elapsed, self.counts(results, expected))
        assert progress.remaining == pytest.approx(remaining * MARGIN)
        assert progress.ends_at == pytest.approx(polls[-1][0] + progress.remaining)

    def test_survives_absurd_counts(self) -> None:
        progress = Progress(7.0)
        progress.note(1e-300, self.counts(1, 10**400))
        assert progress.remaining >= 0

    def job_lasting(self, seconds: float) -> tuple[Callable[[ScriptedContext], None], list[float]]:
        polled: list[float] = []

        def begin(context: ScriptedContext) -> None:
            def reply(call: Call[Any]) -> HttpReply:
                if call.method == "POST":
                    return json_reply({"id": "job"})
                elapsed = context.clock.monotonic()
                polled.append(elapsed)
                done = min(100, int(100 * elapsed / seconds))
                finished = elapsed >= seconds
                return json_reply(
                    {
                        "status": "Completed" if finished else "InProgress",
                        "resultCount": done,
                        "expectedResultCount": 100,
                        "results": [result_of("c-0/r", None, "No")] * finished,
                    }
                )

            context.replies = reply

        return begin, polled

    @pytest.mark.parametrize(("seconds", "most"), [(1.0, 1), (10.0, 3), (60.0, 3), (600.0, 13)])
    def test_costs_few_polls_and_little_time_for_any_duration(self, seconds: float, most: int) -> None:
        begin, polled = self.job_lasting(seconds)
        context = ScriptedContext(lambda _: json_reply({}))
        begin(context)
        context.run(RecordingBatch(), *(f"c-{number}" for number in range(100)))
        assert len(polled) <= most
        assert polled[-1] <= max(1.1 * seconds, 6.0)
        assert all(later - earlier <= 63.0 for earlier, later in pairwise([0.0, *polled]))

    def test_is_learnt_from_earlier_jobs(self) -> None:
        endpoint = RecordingBatch()
        ids = [f"c-{number}" for number in range(100)]
        polls, overrun = [], []
        for _ in range(12):
            begin, polled = self.job_lasting(30.0)
            context = ScriptedContext(lambda _: json_reply({}))
            begin(context)
            context.run(endpoint, *ids)
            polls.append(len(polled))
            overrun.append(polled[-1] / 30.0)
        assert sum(polls[4:]) / 8 <= 1.5
        assert max(overrun[4:]) < 1.1

    def test_is_not_misled_by_a_small_batch(self) -> None:
        endpoint = RecordingBatch()
        begin, _ = self.job_lasting(60.0)
        small = ScriptedContext(lambda _: json_reply({}))
        begin(small)
        small.run(endpoint, "c")
        begin, polled = self.job_lasting(5.0)
        large = ScriptedContext(lambda _: json_reply({}))
        begin(large)
        large.run(endpoint, *(f"c-{number}" for number in range(100)))
        assert polled[0] < 40.0
