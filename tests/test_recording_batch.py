"""Batches of recordings: what is submitted, when jobs are asked for, and that every id has its results."""

from __future__ import annotations

import heapq
import json
import logging
import random
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genesys_media_async import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidResponseError,
    MediaResult,
    MediaRetriever,
    MemorySink,
    PermissionDeniedError,
    QuotaLimit,
    RateLimitError,
    RetryPolicy,
    SettingsError,
    TokenRejectedError,
    TokenUnavailableError,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.api.calls import Call, CallResult
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.endpoints.recordings.batch_job import AIM, BatchStatus, Progress
from genesys_media_async.endpoints.recordings.failures import not_submitted
from genesys_media_async.events import AttemptAudited, BatchCompleted, BatchSubmitted, UnrequestedBatchResults
from genesys_media_async.simulator import (
    BatchSettings,
    Fault,
    JobFault,
    OAuthClient,
    OrganizationSettings,
    Quota,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.retrievers import collect, settings_for
from tests.test_cancellation import Stop, end_of
from tests.test_endpoints import ScriptedAssignment, codes, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from genesys_media_async.events import Event
    from genesys_media_async.transports import HttpReply

URL = "https://media.example.com/{}.ogg?Signature=canary"
ONE_EACH = OrganizationSettings(recordings=(1, 1), media=("audio",), two_part_share=0.0)
VIEW = frozenset({"recording:recording:view"})


def result_of(medium: str, url: str | None = URL, error: object = None, content_type: Any = "audio/ogg") -> dict:
    conversation, _, recording = medium.partition("/")
    return {
        "conversationId": conversation,
        "recordingId": recording or None,
        "resultUrl": url and url.format(recording),
        "contentType": content_type,
        "errorMsg": error,
    }


def job_reply(*results: object, status: object = "Completed", expected: object = None, **more: object) -> HttpReply:
    counts = {"resultCount": len(results), "expectedResultCount": len(results) if expected is None else expected}
    return json_reply({"jobId": "j", "status": status, "results": list(results), **counts, **more})


def scripted(*polls: HttpReply | GenesysMediaError, rule: ValidationRule | None = None) -> ScriptedAssignment:
    """An context whose one job is asked for with these replies, the last of them for ever."""
    said = list(polls)

    def reply(call: Call[Any]) -> HttpReply | GenesysMediaError:
        if call.method == "POST":
            return json_reply({"id": "job-1", "selfUri": "/there"})
        if call.path == "/api/v2/recording/settings":
            return json_reply({"recordingBatchDownloadUrlTtl": 30})
        return said.pop(0) if len(said) > 1 else said[0]

    return ScriptedAssignment(reply, rule)


def polls_of(context: ScriptedAssignment) -> list[Call[Any]]:
    return [call for call in context.calls if call.action == "recording_batch.poll"]


def events_of(events: Iterable[Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


class TestTheSettings:
    @pytest.mark.parametrize("size", [0, 101, -1, True, 1.5, "100"])
    def test_a_batch_that_genesys_would_refuse_is_refused_before_anything_is_sent(self, size: Any) -> None:
        with pytest.raises(SettingsError, match=r"batch_size is .* whole number from 1 to 100"):
            RecordingBatch(size)

    @pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": 1.5}, {"patience": 0}, {"patience": float("nan")}])
    def test_bounds_that_bound_nothing_are_refused(self, wrong: Any) -> None:
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            RecordingBatch(**wrong)

    def test_a_smaller_batch_can_be_wished_for(self) -> None:
        assert RecordingBatch(1).batch_size == 1
        assert RecordingBatch().batch_size == 100
        assert repr(RecordingBatch(7)) == "<RecordingBatch of 7: 0 jobs under way>"


class TestTheSubmission:
    def test_names_the_recordings_and_leaves_out_what_a_conversation_stands_for(self) -> None:
        context = scripted(job_reply())
        context.run(RecordingBatch(), "c-1", "c-2/r-2", "c-3")
        call = context.calls[0]
        assert (call.method, call.path, call.repeatable) == ("POST", "/api/v2/recording/batchrequests", False)
        assert json.loads(call.body) == {
            "batchDownloadRequestList": [
                {"conversationId": "c-1"},
                {"conversationId": "c-2", "recordingId": "r-2"},
                {"conversationId": "c-3"},
            ]
        }

    def test_is_audited_by_its_first_id_and_what_follows_by_the_job(self) -> None:
        context = scripted(job_reply())
        context.run(RecordingBatch(), "c-1", "c-2", "c-3")
        assert [(call.subject, call.action) for call in context.calls] == [
            ("c-1 +2", "recording_batch.submit"),
            ("job-1", "recording_batch.poll"),
        ]
        alone = scripted(job_reply())
        alone.run(RecordingBatch(), "c-1")
        assert alone.calls[0].subject == "c-1"

    @pytest.mark.parametrize(
        ("error", "sent", "unknown"),
        [
            (APITimeoutError("slow"), True, True),
            (APIConnectionError("reset"), True, True),
            (ConnectError("no route"), True, False),
            (InternalServerError("500", status_code=500), True, True),
            (InternalServerError("504", status_code=504), True, True),
            (InternalServerError("503", status_code=503), True, True),
            (InternalServerError("503", status_code=503, retry_after=3.0), True, False),
            (GenesysMediaError("other"), True, False),
            (RateLimitError("429", status_code=429), True, False),
            (PermissionDeniedError("403", status_code=403, code="missing.any.permissions"), True, False),
            (TokenRejectedError("401", status_code=401), True, False),
            (TokenUnavailableError("no token"), False, False),
            (InvalidResponseError("cut", status_code=200), True, True),
            (InvalidResponseError("garbage"), True, True),
            (InvalidResponseError("elsewhere", status_code=307, code="unexpected_status"), True, False),
            (DeadlineExceededError("in the middle of it"), True, True),
            (DeadlineExceededError("before anything was sent"), False, False),
        ],
    )
    def test_whose_answer_was_lost_is_told_apart_from_one_that_was_refused(
        self, error: GenesysMediaError, sent: bool, unknown: bool
    ) -> None:
        told = not_submitted(CallResult(None, error, 1, 0.5 if sent else 0.0, "correlated"))
        assert type(told) is type(error)
        assert (told.code == "batch_submission_unknown") is unknown
        if unknown:
            assert not told.retryable
            assert "may have made a batch job" in str(told)
            assert error.message in str(told)
            assert "ask for these ids again" in told.advice
        else:
            assert told is error

    @pytest.mark.parametrize("body", [{}, [], {"id": None}, {"id": ""}, {"id": "../x"}, {"id": "a/b"}, {"id": "?"}])
    def test_whose_reply_has_no_usable_job_id_is_unknown_too(self, body: object) -> None:
        context = ScriptedAssignment(lambda _: json_reply(body))
        results = context.run(RecordingBatch(), "c-1", "c-2")
        assert codes(results) == {"c-1": "batch_submission_unknown", "c-2": "batch_submission_unknown"}
        assert len(context.calls) == 1

    def test_that_is_refused_fails_each_of_its_requests_once(self) -> None:
        context = ScriptedAssignment(
            lambda _: json_reply({"code": "missing.any.permissions", "message": "You may not."}, status=403)
        )
        results = context.run(RecordingBatch(), "c-1", "c-2/r-2")
        assert codes(results) == {"c-1": "missing.any.permissions", "c-2/r-2": "missing.any.permissions"}
        assert all(isinstance(result.error, PermissionDeniedError) for result in results)

    @pytest.mark.parametrize("status", [400, 404])
    def test_that_one_id_spoils_is_split_until_only_that_one_fails(self, status: int) -> None:
        submitted: dict[str, list[str]] = {}

        def reply(call: Call[Any]) -> HttpReply:
            if call.path == "/api/v2/recording/settings":
                return json_reply({})
            if call.method == "GET":
                return job_reply(*(result_of(f"{each}/r") for each in submitted[call.subject]))
            listed = [item["conversationId"] for item in json.loads(call.body)["batchDownloadRequestList"]]
            if "conversationId" in listed:
                return json_reply({"code": "bad.request"}, status=status)
            submitted[f"job-{len(submitted)}"] = listed
            return json_reply({"id": f"job-{len(submitted) - 1}"})

        context = ScriptedAssignment(reply)
        ids = [f"c-{number}" for number in range(99)]
        results = context.run(RecordingBatch(), "conversationId", *ids)
        assert Counter(result.file_id for result in results) == Counter(["conversationId", *ids])
        assert [result.file_id for result in results if not result.ok] == ["conversationId"]
        assert sum(call.method == "POST" for call in context.calls) <= 15
        assert len(submitted) <= 7


class TestTheResults:
    def test_are_told_as_they_appear_and_each_once(self) -> None:
        one, two, three = (result_of(f"c/r-{number}") for number in (1, 2, 3))
        in_progress = [job_reply(one, status="InProgress", expected=3), job_reply(one, two, status="InProgress")]
        context = scripted(*in_progress, job_reply(one, two, three))
        told: list[int] = []
        wait = context.wait

        async def counting(seconds: float, /) -> None:
            told.append(len(context.results))
            await wait(seconds)

        context.wait = counting  # type: ignore[method-assign]
        results = context.run(RecordingBatch(), "c")
        assert told == [0, 1, 2]
        assert codes(results) == {"c/r-1": None, "c/r-2": None, "c/r-3": None}
        assert len(results) == 3

    def test_of_one_recording_are_numbered_and_those_of_a_conversation_named(self) -> None:
        parts = [result_of("c-1/r", f"https://m.example/part-{part}?s=1") for part in range(3)]
        context = scripted(job_reply(*parts, result_of("c-2/x"), result_of("c-2/y")))
        results = context.run(RecordingBatch(), "c-1/r", "c-2")
        assert [(result.file_id, result.media_id) for result in results] == [
            ("c-1/r", "c-1/r"),
            ("c-1/r", "c-1/r/2"),
            ("c-1/r", "c-1/r/3"),
            ("c-2", "c-2/x"),
            ("c-2", "c-2/y"),
        ]

    def test_are_known_again_in_another_order_and_with_another_signature(self) -> None:
        def parts(signature: str, *numbers: int) -> list[dict]:
            return [result_of("c/r", f"https://m.example/{number}?Signature={signature}") for number in numbers]

        context = scripted(
            job_reply(*parts("first", 2, 1), status="InProgress", expected=3), job_reply(*parts("second", 1, 3, 2))
        )
        results = context.run(RecordingBatch(), "c/r")
        paths = [result.unwrap().url.partition("?")[0][-1] for result in results]
        assert sorted(paths) == ["1", "2", "3"]

    def test_that_differ_only_in_their_query_are_all_told(self) -> None:
        parts = [result_of("c/r", f"https://m.example/download?part={part}") for part in range(3)]
        assert len(scripted(job_reply(*parts, *parts)).run(RecordingBatch(), "c/r")) == 3

    def test_that_are_duplicates_are_told_once(self) -> None:
        results = [result_of("c/r"), result_of("c/s", None, "It failed")]
        told = scripted(job_reply(*results, *results)).run(RecordingBatch(), "c/r", "c/s")
        assert codes(told) == {"c/r": None, "c/s": "recording_failed"}
        assert len(told) == 2

    def test_of_a_recording_that_is_asked_for_in_two_ways_are_told_to_both(self) -> None:
        told = scripted(job_reply(result_of("c/r"))).run(RecordingBatch(), "c", "c/r")
        assert [(result.file_id, result.media_id, result.ok) for result in told] == [
            ("c", "c/r", True),
            ("c/r", "c/r", True),
        ]

    def test_belong_to_an_id_in_whatever_case_it_was_given(self) -> None:
        told = scripted(job_reply(result_of("abc/def"), result_of("bcd/efg"))).run(RecordingBatch(), "ABC/DEF", "BCD")
        assert [(result.file_id, result.ok) for result in told] == [("ABC/DEF", True), ("BCD", True)]

    def test_that_an_error_stands_for_are_failures_that_say_what_to_do(self) -> None:
        told = scripted(
            job_reply(
                result_of("c/r", None, "Recording is ARCHIVED"),
                result_of("c/s", None, "The recording could not be processed: https://x.example/?Signature=canary"),
                result_of("c/t", URL, "Both"),
            )
        ).run(RecordingBatch(), "c/r", "c/s", "c/t")
        assert codes(told) == {"c/r": "recording_archived", "c/s": "recording_failed", "c/t": "recording_failed"}
        assert "recording:recording:restore" in str(told[0].error)
        assert "by the endpoint `Recording`" in str(told[1].error)
        assert "canary" not in str(told[1].error)

    def test_about_a_whole_conversation_are_told_of_each_of_its_requests(self) -> None:
        told = scripted(job_reply(result_of("c", None, "Conversation not found"), result_of("d/r"))).run(
            RecordingBatch(), "c", "c/r", "d/r"
        )
        assert [(result.file_id, result.error and result.error.code) for result in told] == [
            ("c", "recording_failed"),
            ("c/r", "recording_failed"),
            ("d/r", None),
        ]

    def test_that_never_arrive_are_failures_once_the_job_is_completed(self) -> None:
        told = scripted(job_reply(result_of("c-1/r"))).run(RecordingBatch(), "c-1/r", "c-1/s", "c-2")
        assert codes(told) == {"c-1/r": None, "c-1/s": "recording_not_in_batch", "c-2": "recording_not_in_batch"}
        assert "recording:recording:viewSensitiveData" in str(told[1].error)
        assert "job-1" in str(told[1].error)

    def test_that_nobody_asked_for_are_told_to_nobody_and_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        strangers = [result_of("c/x"), result_of("d/r"), result_of(""), result_of("d", None, "What?"), {}]
        context = scripted(job_reply(*strangers[:2], status="InProgress"), job_reply(*strangers, result_of("c/r")))
        with caplog.at_level(logging.WARNING, "genesys_media_async"):
            told = context.run(RecordingBatch(), "c/r")
        assert codes(told) == {"c/r": None}
        (event,) = events_of(context.events, UnrequestedBatchResults)
        assert (event.job_id, event.results) == ("job-1", 5)
        assert caplog.messages == ["The batch job job-1 has 5 results that nobody asked for"]

    def test_without_a_url_may_still_get_one_until_the_job_is_completed(self) -> None:
        waiting = [result_of("c/r", None), result_of("c/s", None)]
        context = scripted(
            job_reply(*waiting, status="InProgress"), job_reply(result_of("c/r"), result_of("c/s", None))
        )
        told = context.run(RecordingBatch(), "c/r", "c/s")
        assert [(result.media_id, result.error and result.error.code) for result in told] == [
            ("c/r", None),
            ("c/s", "no_url"),
        ]

    @pytest.mark.parametrize(
        ("url", "rule", "code"),
        [
            ("http://media.example.com/a", {}, "url_not_https"),
            ("https://media.example.com/a", {"hosts": ("*.amazonaws.com",)}, "host_refused"),
            ("/just/a/path", {}, "url_malformed"),
            ("https://[broken/", {}, "url_malformed"),
            ("https://user:canary@media.example.com/a", {}, "url_user_info"),
            ("https://media.example.com/?Expires=1000", {}, "url_expired"),
            ("https://media.example.com/a", {"max_lifetime": 60}, "life_too_long"),
            ("https://media.example.com/a", {"content_types": ("video/*",)}, "content_type_refused"),
            ("https://media.example.com/a", {"content_types": ("audio/*",)}, None),
            ("https://media.example.com/a", {"required_access": "private"}, "access_level_mismatch"),
            ("", {}, "no_url"),
            (None, {}, "no_url"),
            (17, {}, "no_url"),
        ],
    )
    def test_whose_url_breaks_the_rule_are_refused_with_the_reason(self, url: Any, rule: Any, code: str) -> None:
        result = {**result_of("c/r"), "resultUrl": url, "contentType": "audio/wav; codecs=1"}
        context = scripted(job_reply(result), rule=ValidationRule(**rule))
        (told,) = context.run(RecordingBatch(), "c/r")
        assert (told.error and told.error.code) == code
        assert "canary" not in repr(told)
        (completed,) = events_of(context.events, BatchCompleted)
        assert (completed.results, completed.errors) == (1, int(code is not None))

    def test_are_shown_without_their_url(self) -> None:
        assert "canary" not in repr(BatchStatus.model_validate_json(job_reply(result_of("c/r")).body))

    @pytest.mark.parametrize("content_type", ["audio/ogg", "audio/wav; codecs=1", "application/json", None, 5])
    def test_of_any_content_type_pass_unless_the_rule_names_some(self, content_type: object) -> None:
        (told,) = scripted(job_reply(result_of("c/r", content_type=content_type))).run(RecordingBatch(), "c/r")
        assert told.unwrap().content_type == (content_type if isinstance(content_type, str) else None)

    def test_live_as_long_as_their_url_says_or_else_the_organisation(self) -> None:
        context = scripted(
            job_reply(
                result_of("c/r"),
                result_of("c/s", "https://m.example/s?X-Amz-Date=20231114T222000Z&X-Amz-Expires=120"),
                result_of("c/t"),
            )
        )
        told = context.run(RecordingBatch(), "c")
        lives = [(url.expires_in, url.expiry_source) for url in (result.unwrap() for result in told)]
        assert [known for _, known in lives] == ["settings", "url", "settings"]
        assert (lives[0][0], lives[2][0]) == (1_800, 1_800)
        assert told[1].unwrap().expires_at == datetime(2023, 11, 14, 22, 22, tzinfo=UTC)
        assert sum(call.path == "/api/v2/recording/settings" for call in context.calls) == 1


class TestTheEnd:
    def test_is_the_status_and_not_the_counts(self) -> None:
        early = job_reply(result_of("c/r-1"), status="InProgress")
        told = scripted(early, early, job_reply(result_of("c/r-1"), result_of("c/r-2"))).run(RecordingBatch(), "c")
        assert codes(told) == {"c/r-1": None, "c/r-2": None}

    @pytest.mark.parametrize("status", ["Suspended", "completed?", "", None, 5])
    def test_of_a_job_whose_status_is_unknown_is_patience_and_the_failure_names_it(self, status: object) -> None:
        context = scripted(job_reply(result_of("c/r"), status=status))
        told = context.run(RecordingBatch(patience=600.0), "c/r", "c/s")
        assert codes(told) == {"c/r": None, "c/s": "batch_never_completed"}
        assert isinstance(told[1].error, DeadlineExceededError)
        assert told[1].error.retryable
        assert (status if isinstance(status, str) and status else "not known") in told[1].error.message
        assert context.clock.monotonic() == pytest.approx(600.0)
        assert len(polls_of(context)) < 20

    @pytest.mark.parametrize(
        ("said", "code", "retryable", "advice"),
        [
            (
                json_reply({"code": "batch.download.job.not.found"}, status=404),
                "batch.download.job.not.found",
                True,
                "in a new job",
            ),
            (
                json_reply({"code": "batch.download.permission.denied"}, status=403),
                "batch.download.permission.denied",
                False,
                "Only the OAuth client that submitted a job",
            ),
            (json_reply({"code": "missing.permissions"}, status=403), "missing.permissions", False, "a role"),
            (json_reply({}, status=409), "http_error", False, ""),
        ],
    )
    def test_of_a_job_that_cannot_be_asked_for_any_more_says_why(
        self, said: HttpReply, code: str, retryable: bool, advice: str
    ) -> None:
        context = scripted(job_reply(result_of("c/r"), status="InProgress", expected=2), said)
        told = context.run(RecordingBatch(), "c/r", "c/s")
        assert codes(told) == {"c/r": None, "c/s": code}
        assert told[1].error is not None
        assert told[1].error.retryable is retryable
        assert advice in str(told[1].error)
        assert len(polls_of(context)) == 2
        assert events_of(context.events, BatchCompleted) == []

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
    def test_is_not_near_because_some_questions_fail_in_a_way_that_passes(self, error: GenesysMediaError) -> None:
        told = scripted(error, error, error, job_reply(result_of("c/r"))).run(RecordingBatch(), "c/r")
        assert codes(told) == {"c/r": None}

    def test_comes_after_ten_questions_that_failed_in_a_row(self) -> None:
        context = scripted(json_reply({"status": [], "results": 5}))
        told = context.run(RecordingBatch(), "c/r")
        assert codes(told) == {"c/r": "reply_shape"}
        assert len(polls_of(context)) == 10
        assert 60 < context.clock.monotonic() < 600

    def test_does_not_come_of_ten_failed_questions_that_are_not_in_a_row(self) -> None:
        down, going_on = InternalServerError("It is down."), job_reply(status="InProgress", expected=1)
        polls: list[HttpReply | GenesysMediaError] = [down, down, going_on] * 7
        told = scripted(*polls, job_reply(result_of("c/r"))).run(RecordingBatch(), "c/r")
        assert codes(told) == {"c/r": None}

    def test_is_told_with_its_job(self) -> None:
        context = scripted(job_reply(result_of("c/r"), result_of("c/s", None, "No")))
        context.run(RecordingBatch(), "c", "d")
        submitted, completed = context.events
        assert isinstance(submitted, BatchSubmitted)
        assert isinstance(completed, BatchCompleted)
        assert (submitted.job_id, submitted.requests) == ("job-1", 2)
        assert (completed.job_id, completed.results, completed.errors) == ("job-1", 2, 1)
        assert completed.seconds == pytest.approx(context.clock.monotonic())
        assert completed.at > submitted.at


class TestTheSchedule:
    def counts(self, results: Any, expected: Any) -> BatchStatus:
        return BatchStatus(status="InProgress", resultCount=results, expectedResultCount=expected)

    @pytest.mark.parametrize(
        ("looks", "left"),
        [
            ([(10.0, 50, 100)], 10.0),
            ([(10.0, 25, 100)], 30.0),
            # The pace is the latest: the job had waited for another one.
            ([(30.0, 0, 100), (40.0, 50, 100)], 10.0),
            # Nothing yet: half as long again.
            ([(10.0, 0, 100)], 5.0 / AIM),
            ([(10.0, None, None)], 5.0 / AIM),
            # As many as are expected, or no more than before: it can be any moment.
            ([(10.0, 100, 100)], 0.0),
            ([(10.0, 120, 100)], 0.0),
            ([(10.0, 50, 100), (20.0, 50, 100)], 0.0),
            ([(10.0, -5, -7)], 5.0 / AIM),
        ],
    )
    def test_follows_the_pace_of_the_counts(self, looks: list[tuple[float, Any, Any]], left: float) -> None:
        progress = Progress(7.0)
        assert progress.left == pytest.approx(7.0 * AIM)
        for elapsed, results, expected in looks:
            progress.note(elapsed, self.counts(results, expected))
        assert progress.left == pytest.approx(left * AIM)
        assert progress.ends_at == pytest.approx(looks[-1][0] + progress.left)

    def test_stands_counts_beyond_all_reason(self) -> None:
        progress = Progress(7.0)
        progress.note(1e-300, self.counts(1, 10**400))
        assert progress.left >= 0

    def job_lasting(self, seconds: float) -> tuple[Callable[[ScriptedAssignment], None], list[float]]:
        polled: list[float] = []

        def begin(context: ScriptedAssignment) -> None:
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
                        "results": [],
                    }
                )

            context._replies = reply

        return begin, polled

    @pytest.mark.parametrize(("seconds", "most"), [(1.0, 1), (10.0, 3), (60.0, 3), (600.0, 13)])
    def test_costs_few_questions_whatever_the_job_lasts_and_little_time(self, seconds: float, most: int) -> None:
        begin, polled = self.job_lasting(seconds)
        context = ScriptedAssignment(lambda _: json_reply({}))
        begin(context)
        context.run(RecordingBatch(), *(f"c-{number}" for number in range(100)))
        assert len(polled) <= most
        assert polled[-1] <= max(1.1 * seconds, 6.0)
        assert all(later - earlier <= 63.0 for earlier, later in pairwise([0.0, *polled]))

    def test_is_learnt_from_the_jobs_before(self) -> None:
        endpoint = RecordingBatch()
        ids = [f"c-{number}" for number in range(100)]
        questions, overrun = [], []
        for _ in range(12):
            begin, polled = self.job_lasting(30.0)
            context = ScriptedAssignment(lambda _: json_reply({}))
            begin(context)
            context.run(endpoint, *ids)
            questions.append(len(polled))
            overrun.append(polled[-1] / 30.0)
        assert sum(questions[4:]) / 8 <= 1.5
        assert max(overrun[4:]) < 1.1

    def test_is_not_misled_by_a_small_batch(self) -> None:
        endpoint = RecordingBatch()
        begin, _ = self.job_lasting(60.0)
        small = ScriptedAssignment(lambda _: json_reply({}))
        begin(small)
        small.run(endpoint, "c")
        begin, polled = self.job_lasting(5.0)
        large = ScriptedAssignment(lambda _: json_reply({}))
        begin(large)
        large.run(endpoint, *(f"c-{number}" for number in range(100)))
        assert polled[0] < 40.0


class World:
    """One run of batches against the simulator, on virtual time."""

    def __init__(
        self,
        ids: Callable[[Simulator], list[str]],
        *,
        endpoint: RecordingBatch | None = None,
        faults: tuple[JobFault | None, ...] = (),
        script: tuple[Fault | None, ...] = (),
        operation: str | None = None,
        client: OAuthClient | None = None,
        during: Callable[[World, MediaResult], None] = lambda world, result: None,
        overrides: dict[str, Any] | None = None,
        **simulated: Any,
    ) -> None:
        self.clock = VirtualClock()
        simulated = {"quota": None, "organization": ONE_EACH, **simulated}
        if client is not None:
            simulated["clients"] = (client,)
        self.simulator = Simulator(SimulatorSettings(**simulated), clock=self.clock)
        self.simulator.script_jobs(*faults)
        self.simulator.script(*script, operation=operation)
        self.audit, self.events = MemorySink(), MemorySink()
        self.ids = ids(self.simulator)
        self._during = during
        self.endpoint = endpoint or RecordingBatch()
        self.results = self.clock.run(self._run(overrides or {}))
        self.codes = codes(self.results)

    async def _run(self, overrides: dict[str, Any]) -> list[MediaResult]:
        retriever = MediaRetriever(
            settings_for(self.simulator, **overrides),
            endpoint=self.endpoint,
            transport=self.simulator.transport(),
            audit=[self.audit],
            sinks=[self.events],
            clock=self.clock,
            rng=random.Random(7),
        )
        results = []
        async with retriever:
            self.retriever = retriever
            async with retriever.retrieve_many(self.ids) as told:
                async for result in told:
                    results.append(result)
                    self._during(self, result)
            self.statistics = retriever.statistics()
        return results

    def records(self, action: str) -> list[AttemptAudited]:
        return [each for each in self.audit.events if isinstance(each, AttemptAudited) and each.action == action]


def recordings(count: int) -> Callable[[Simulator], list[str]]:
    def ids(simulator: Simulator) -> list[str]:
        found = simulator.organization.recordings()
        return [f"{each.conversation_id}/{each.id}" for each, _ in zip(found, range(count), strict=False)]

    return ids


def conversations(count: int) -> Callable[[Simulator], list[str]]:
    return lambda simulator: [simulator.organization.conversation_at(number).id for number in range(count)]


class TestAgainstTheSimulator:
    def test_a_conversation_gives_all_its_recordings_with_all_their_parts(self) -> None:
        organization = OrganizationSettings(recordings=(2, 3), two_part_share=0.5)
        world = World(conversations(150), organization=organization)
        expected = Counter[str]()
        for conversation in world.ids:
            found = world.simulator.organization.conversation(conversation)
            assert found is not None
            expected[conversation] = sum(each.parts for each in world.simulator.organization.recordings_of(found))
        assert Counter(result.file_id for result in world.results) == expected
        assert all(result.ok for result in world.results)
        media = [result.media_id for result in world.results]
        assert len(set(media)) == len(media)
        assert world.statistics.done == 150
        assert world.statistics.succeeded == len(media)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (JobFault.ANSWER_LOST, "batch_submission_unknown"),
            (JobFault.NEVER_COMPLETES, "batch_never_completed"),
            (JobFault.LOST, "batch.download.job.not.found"),
            (JobFault.UNKNOWN_STATUS, None),
            (JobFault.DUPLICATE_RESULTS, None),
            (JobFault.UNASKED_RESULTS, None),
            (JobFault.MISSING_RESULTS, "recording_not_in_batch"),
            (JobFault.NULL_URLS, "no_url"),
            (JobFault.HTTP_URLS, "url_not_https"),
            (JobFault.FOREIGN_URLS, "host_refused"),
        ],
    )
    def test_every_fault_of_a_job_leaves_one_result_for_each_id_and_the_other_jobs_alone(
        self, fault: JobFault, code: str | None
    ) -> None:
        rule = ValidationRule(allowed_hosts=("127.0.0.1",))
        overrides = {"rule": rule, "concurrency": 1}
        world = World(recordings(250), faults=(None, fault, None), overrides=overrides)
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        assert set(world.codes.values()) == {None, code}
        failed = {each for each, error in world.codes.items() if error is not None}
        assert failed <= set(world.ids[100:200])
        assert bool(failed) is (code is not None)
        assert len(world.simulator.batch_jobs) == 3

    def test_jobs_that_are_lost_in_a_restart_say_so_and_the_rest_goes_on(self) -> None:
        forgotten = False

        def forget(world: World, result: MediaResult) -> None:
            nonlocal forgotten
            if result.ok and not forgotten:
                forgotten = True
                world.simulator.forget_jobs()

        world = World(recordings(400), during=forget, overrides={"concurrency": 1}, endpoint=RecordingBatch(jobs=2))
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        lost = [result.error for result in world.results if result.error]
        assert {error.code for error in lost} == {"batch.download.job.not.found"}
        assert all(error.retryable for error in lost)
        assert sum(result.ok for result in world.results) >= 200

    def test_archived_failing_and_sensitive_recordings_are_failures_each_of_its_kind(self) -> None:
        organization = OrganizationSettings(
            recordings=(1, 1), two_part_share=0.0, archived_share=0.2, failing_share=0.2, sensitive_share=0.2
        )
        client = OAuthClient("demo-client", "demo-secret", VIEW)
        world = World(recordings(200), organization=organization, client=client)
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        kinds = Counter(world.codes.values())
        assert set(kinds) == {None, "recording_archived", "recording_failed", "recording_not_in_batch"}
        assert min(kinds.values()) >= 10

    def test_ids_that_do_not_exist_or_cannot_be_sent_fail_alone(self) -> None:
        def ids(simulator: Simulator) -> list[str]:
            good = recordings(3)(simulator)
            return [*good, "no-such-conversation", "no/such", "a/b/c", "../x", "", "a b", good[0].partition("/")[0]]

        for unknown in ("error", "silent"):
            world = World(ids, batch=BatchSettings(unknown=unknown))
            assert [result.ok for result in world.results].count(True) == 4
            failed = {result.file_id: result.error.code for result in world.results if result.error}
            code = "recording_failed" if unknown == "error" else "recording_not_in_batch"
            assert failed == {
                "no-such-conversation": code,
                "no/such": code,
                **dict.fromkeys(["a/b/c", "../x", "", "a b"], "invalid_file_id"),
            }

    def test_without_the_permission_everything_fails_at_the_submission_and_names_it(self) -> None:
        client = OAuthClient("demo-client", "demo-secret", frozenset())
        world = World(recordings(120), client=client)
        assert set(world.codes.values()) == {"missing.any.permissions"}
        assert len(world.codes) == 120
        assert world.simulator.counts.api_requests == 2
        assert "recording:recording:view" in str(world.results[0].error)

    @pytest.mark.parametrize(
        ("fault", "jobs", "ok"),
        [
            (Fault.SERVER_ERROR_503_RETRY_AFTER, 1, True),
            (Fault.TOO_MANY_REQUESTS, 1, True),
            (Fault.TOKEN_EXPIRED, 1, True),
            (Fault.SERVER_ERROR_500, 0, False),
            (Fault.SERVER_ERROR_502_HTML, 0, False),
            (Fault.HANG, 0, False),
            (Fault.RESET_BEFORE_REPLY, 0, False),
            (Fault.RESET_DURING_REPLY, 1, False),
            (Fault.TRUNCATED_JSON, 1, False),
            (Fault.WRONG_CONTENT_TYPE, 1, False),
            (Fault.GARBAGE, 0, False),
        ],
    )
    def test_a_submission_is_sent_again_only_if_it_was_certainly_not_accepted(
        self, fault: Fault, jobs: int, ok: bool
    ) -> None:
        world = World(recordings(5), script=(fault,), operation="postRecordingBatchrequests")
        assert len(world.simulator.batch_jobs) <= 1
        assert len(world.simulator.batch_jobs) == jobs or fault is Fault.RESET_BEFORE_REPLY
        assert set(world.codes.values()) == {None if ok else "batch_submission_unknown"}
        assert len(world.records("recording_batch.submit")) == (2 if ok else 1)

    def test_a_long_outage_between_submission_and_end_costs_no_result(self) -> None:
        outage = (Fault.SERVER_ERROR_503,) * 12
        world = World(recordings(100), script=outage, operation="getRecordingBatchrequest")
        assert set(world.codes.values()) == {None}
        assert world.clock.monotonic() < 120

    def test_the_organisations_settings_say_how_long_a_url_lives_that_does_not_say_it(self) -> None:
        styles = {"batch": "cloudfront-policy"}
        world = World(recordings(300), batch=BatchSettings(url_minutes=7), url_styles=styles)
        assert {result.unwrap().expiry_source for result in world.results} == {"settings"}
        assert {result.unwrap().expires_in for result in world.results} == {420}
        assert len(world.records("recording.settings")) == 1
        refused = World(
            recordings(300),
            batch=BatchSettings(url_minutes=7),
            url_styles=styles,
            operation_permissions={"getRecordingSettings": frozenset({"recording:settings:view"})},
            client=OAuthClient("demo-client", "demo-secret", VIEW),
        )
        assert {result.unwrap().expiry_source for result in refused.results} == {"default"}
        assert {result.unwrap().expires_in for result in refused.results} == {3_600}
        assert len(refused.records("recording.settings")) == 1

    def test_a_life_that_was_wished_for_does_not_refuse_what_cannot_be_wished_for(self) -> None:
        assert set(World(recordings(3), overrides={"expires_in": 60}).codes.values()) == {None}
        strict = World(recordings(3), overrides={"rule": ValidationRule(max_lifetime=60)})
        assert set(strict.codes.values()) == {"life_too_long"}

    def test_never_more_jobs_are_under_way_than_are_allowed_and_little_is_read_ahead(self) -> None:
        world = World(recordings(400), endpoint=RecordingBatch(10, jobs=3), overrides={"concurrency": 2})
        under_way, most = 0, 0
        for event in events_of(world.events.events, BatchSubmitted, BatchCompleted):
            under_way += 1 if isinstance(event, BatchSubmitted) else -1
            most = max(most, under_way)
        assert (most, under_way) == (3, 0)
        assert len(world.simulator.batch_jobs) == 40
        assert set(world.codes.values()) == {None}

    def test_jobs_wait_for_each_other_at_genesys_and_the_schedule_stands_it(self) -> None:
        world = World(recordings(1_000), batch=BatchSettings(concurrent_jobs=1))
        assert set(world.codes.values()) == {None}
        assert world.statistics.requests <= 60
        assert world.clock.monotonic() < 160

    def test_the_audit_trail_names_every_request_and_every_result_and_no_url(self) -> None:
        world = World(recordings(101))
        submitted = [record.file_id for record in world.records("recording_batch.submit")]
        assert submitted == [f"{world.ids[0]} +99", world.ids[100]]
        jobs = {job.id for job in world.simulator.batch_jobs}
        assert {record.file_id for record in world.records("recording_batch.poll")} == jobs
        assert sorted(record.file_id for record in world.records("recording_batch.result")) == sorted(world.ids)
        attempts = [record for record in world.audit.events if not record.as_dict()["action"].endswith(".result")]  # type: ignore[union-attr]
        assert len(attempts) == world.simulator.counts.api_requests
        assert "Signature" not in json.dumps([event.as_dict() for event in (*world.audit.events, *world.events.events)])
        assert {event.job_id for event in events_of(world.events.events, BatchSubmitted)} == jobs

    def test_one_recording_alone_can_be_asked_for_too(self) -> None:
        clock = VirtualClock()
        simulator = Simulator(
            SimulatorSettings(organization=OrganizationSettings(recordings=(2, 2), two_part_share=0.0)), clock=clock
        )
        retriever = MediaRetriever(
            settings_for(simulator), endpoint=RecordingBatch(), transport=simulator.transport(), clock=clock
        )

        async def ask() -> None:
            (recording,) = recordings(1)(simulator)
            async with retriever:
                assert (await retriever.retrieve(recording)).content_type
                with pytest.raises(GenesysMediaError, match="has 2 media") as raised:
                    await retriever.retrieve(recording.partition("/")[0])
                assert raised.value.code == "several_media"

        clock.run(ask())

    def test_a_consumer_slower_than_the_urls_live_gets_fresh_ones_of_the_same_media(self) -> None:
        def linger(world: World, result: MediaResult) -> None:
            assert result.unwrap().remaining(world.clock.wall()) > 0
            world.clock.advance(40.0)

        world = World(
            conversations(3),
            organization=OrganizationSettings(recordings=(2, 2), two_part_share=0.0),
            batch=BatchSettings(url_minutes=2),
            during=linger,
        )
        media = [result.media_id for result in world.results]
        assert len(set(media)) == len(media) == 6
        assert len(world.simulator.batch_jobs) > 1

    def test_under_many_faults_at_once_every_id_has_its_results(self) -> None:
        faults = dict.fromkeys(JobFault, 0.03)
        world = World(
            recordings(1_500),
            endpoint=RecordingBatch(10, patience=120.0),
            organization=OrganizationSettings(conversations=1_500, recordings=(1, 1), two_part_share=0.0),
            batch=BatchSettings(faults=faults),
        )
        assert Counter(result.file_id for result in world.results) == Counter(world.ids)
        assert sum(result.ok for result in world.results) > 1_000


@pytest.mark.anyio
async def test_over_sockets_every_recording_of_a_mixed_input_has_a_url_that_downloads_it() -> None:
    organization = OrganizationSettings(conversations=30, recordings=(1, 2), archived_share=0.2)
    simulated = SimulatorSettings(organization=organization, batch=BatchSettings(seconds_per_recording=0.01))
    async with Simulator(simulated) as simulator:
        named = recordings(15)(simulator)
        whole = [each.id for each in simulator.organization.conversations()]
        async with MediaRetriever(settings_for(simulator), endpoint=RecordingBatch(8)) as retriever:
            results = await retriever.retrieve_all([*named, *whole])
        assert list(dict.fromkeys(result.file_id for result in results)) == [*named, *whole]
        states = {f"{each.conversation_id}/{each.id}": each.file_state for each in simulator.organization.recordings()}
        of_conversations = [result for result in results if result.file_id in whole]
        assert {"/".join((result.media_id or "").split("/")[:2]) for result in of_conversations} == set(states)
        archived = {result.media_id for result in results if result.error}
        assert archived == {each for each, state in states.items() if state == "ARCHIVED"}
        async with httpx.AsyncClient() as http:
            for result in [result for result in results if result.ok][:5]:
                assert (await http.get(result.unwrap().url)).status_code == 200


def test_ten_thousand_recordings_would_cost_few_requests_and_hardly_more_time_than_their_jobs_take() -> None:
    """The figures of benchmarks/sources.py, with fewer recordings."""
    count = 3_200
    world = World(
        recordings(count),
        endpoint=RecordingBatch(jobs=8),
        quota=Quota(limit=300, seconds=60.0),
        organization=OrganizationSettings(conversations=count, recordings=(1, 1), media=("audio",), two_part_share=0.0),
        overrides={"quota": QuotaLimit(limit=300, seconds=60.0)},
    )
    assert set(world.codes.values()) == {None}
    assert len(world.results) == count
    assert world.simulator.counts.api_requests / count <= 0.03
    free_at = [0.0] * 8
    for job in world.simulator.batch_jobs:
        heapq.heapreplace(free_at, free_at[0] + job.ends_at - job.begins_at)
    assert world.clock.monotonic() <= 1.1 * max(free_at)


def eventful_batches(clock: VirtualClock) -> Simulator:
    simulated = SimulatorSettings(
        quota=None,
        latency=0.05,
        organization=OrganizationSettings(conversations=6, recordings=(1, 2)),
        url_styles={"batch": "cloudfront-policy"},
        batch=BatchSettings(seconds_per_recording=1.0),
        recording=RecordingSettings(),
    )
    simulator = Simulator(simulated, clock=clock)
    simulator.script(None, Fault.SERVER_ERROR_503, operation="getRecordingBatchrequest")
    return simulator


def run_and_cancel(at: int) -> tuple[int, str]:
    clock = VirtualClock()
    simulator = eventful_batches(clock)
    audit = MemorySink()
    stop = Stop(at)

    async def retrieve() -> int:
        retriever = MediaRetriever(
            settings_for(simulator, retry=RetryPolicy(base_delay=0.1, max_delay=0.2)),
            endpoint=RecordingBatch(2, jobs=2),
            transport=simulator.transport(),
            audit=[audit],
            clock=clock,
            rng=random.Random(1),
        )
        async with retriever:
            return len({result.file_id for result in await collect(retriever, conversations(6)(simulator))})

    ended = end_of(retrieve, stop, clock, simulator, finds=6)
    records = [
        record
        for record in audit.events
        if isinstance(record, AttemptAudited) and record.attempt and not record.action.endswith(".result")
    ]
    assert len(records) == simulator.counts.api_requests, f"a request without its audit record at step {at}"
    return stop.steps, ended


def test_a_run_of_batches_that_is_cancelled_at_any_step_leaves_nothing_behind() -> None:
    steps, ended = run_and_cancel(at=0)
    assert ended == "finished"
    assert steps > 100
    assert "cancelled" in {run_and_cancel(at)[1] for at in range(1, steps + 1)}


# Whatever a job says, in whatever shape.
WORDS = st.sampled_from(["c-1", "c-2", "r-1", "r-2", "C-1", "", "https://m.example/a", "http://x", "é\n"])
ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just([]) | st.just({})
)
RESULTS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["conversationId", "recordingId", "resultUrl", "contentType", "errorMsg"], WORDS | ANYTHING),
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["InProgress", "Completed"]) | ANYTHING,
        "expectedResultCount": st.integers() | ANYTHING,
        "resultCount": st.integers() | ANYTHING,
        "results": st.lists(RESULTS | ANYTHING, max_size=5) | ANYTHING,
    },
)
REPLIES = st.builds(json_reply, STATUSES | ANYTHING, st.sampled_from([200, 200, 200, 202, 204, 307, 403, 404, 500]))


@given(
    polls=st.lists(REPLIES, min_size=1, max_size=6), ids=st.sets(st.sampled_from(["c-1", "c-2", "c-1/r-1"]), min_size=1)
)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_job_replies_each_request_has_a_result_and_nothing_raises(
    polls: list[HttpReply], ids: set[str]
) -> None:
    context = scripted(*polls)
    results = context.run(RecordingBatch(patience=300.0), *ids)
    assert {result.file_id for result in results} == ids
    assert all((result.url is None) is (result.error is not None) for result in results)
    assert len({(result.file_id, result.media_id, result.ok) for result in results}) == len(results)
