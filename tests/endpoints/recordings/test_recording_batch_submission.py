"""The submission of a batch job: its body, its failures, and when it may be repeated."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidResponseError,
    PermissionDeniedError,
    RateLimitError,
    SettingsError,
    StaleConnectionError,
)
from genesys_media_async.api.retry import Kind, classify
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.events import BatchSubmissionOrphaned
from tests.support.batch_runs import (
    job_reply,
    result_of,
    scripted,
)
from tests.support.scripted_context import ScriptedContext, codes, json_reply

if TYPE_CHECKING:
    from genesys_media_async.api.calls import Call
    from genesys_media_async.transports import HttpReply


class TestOptions:
    @pytest.mark.parametrize("size", [0, 101, -1, True, 1.5, "100"])
    def test_a_batch_size_that_genesys_would_refuse_is_refused_before_anything_is_sent(self, size: Any) -> None:
        with pytest.raises(SettingsError, match=r"batch_size is .* whole number from 1 to 100"):
            RecordingBatch(size)

    @pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": 1.5}, {"timeout": 0}, {"timeout": float("nan")}])
    def test_bounds_without_effect_are_refused(self, wrong: Any) -> None:
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            RecordingBatch(**wrong)

    def test_a_smaller_batch_is_possible(self) -> None:
        assert RecordingBatch(1).batch_size == 1
        assert RecordingBatch().batch_size == 100
        assert repr(RecordingBatch(7)) == "<RecordingBatch of 7: 0 jobs in progress>"


class TestSubmission:
    def test_names_conversations_and_recordings(self) -> None:
        context = scripted(job_reply())
        context.run(RecordingBatch(), "c-1", "c-2/r-2", "c-3")
        call = context.calls[0]
        assert (call.method, call.path) == ("POST", "/api/v2/recording/batchrequests")
        assert json.loads(call.body) == {
            "batchDownloadRequestList": [
                {"conversationId": "c-1"},
                {"conversationId": "c-2", "recordingId": "r-2"},
                {"conversationId": "c-3"},
            ]
        }

    def test_is_audited_with_its_first_id_and_each_poll_with_the_job(self) -> None:
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
        ("error", "unknown"),
        [
            (APITimeoutError("slow"), True),
            (APIConnectionError("reset"), True),
            (StaleConnectionError("closed"), True),
            (ConnectError("no route"), False),
            (InternalServerError("500", status_code=500), True),
            (InternalServerError("503", status_code=503), True),
            (InternalServerError("503", status_code=503, retry_after=3.0), False),
            (GenesysMediaError("other"), False),
            (RateLimitError("429", status_code=429), False),
            (PermissionDeniedError("403", status_code=403, code="missing_any_permissions"), False),
            (InvalidResponseError("cut", status_code=200), True),
            (InvalidResponseError("elsewhere", status_code=307, code="unexpected_status"), False),
            (DeadlineExceededError("before anything was sent"), False),
        ],
    )
    def test_with_a_lost_reply_differs_from_one_that_was_refused(self, error: GenesysMediaError, unknown: bool) -> None:
        context = ScriptedContext(lambda _: error)
        results = context.run(RecordingBatch(), "c-1", "c-2")
        assert all(type(result.error) is type(error) for result in results)
        assert codes(results) == dict.fromkeys(["c-1", "c-2"], "batch_submission_unknown" if unknown else error.code)
        assert context.counters.orphaned_submissions == len(context.events) == unknown
        if unknown:
            assert context.events == [
                BatchSubmissionOrphaned(context.clock.wall(), "c-1 +1", 2, error.code, error.status_code)
            ]
            assert all(result.error.retryable for result in results if not result.ok)
            assert "may have made a batch job whose id never arrived. " + error.message in str(results[0].error)
            assert "Retrieve these ids again, which makes another job" in str(results[0].error)

    def test_that_must_not_be_repeated_has_an_error_that_nothing_retries(self) -> None:
        context = ScriptedContext(lambda _: json_reply({}, status=503))
        (result,) = context.run(RecordingBatch(resubmit=False), "c-1")
        assert result.error is not None
        assert classify(result.error) is Kind.PERMANENT
        assert not result.error.retryable
        assert (result.error.code, result.error.status_code) == ("batch_submission_unknown", 503)
        assert "It is not submitted again, as requested" in str(result.error)
        assert context.counters.orphaned_submissions == 1

    @pytest.mark.parametrize("body", [{}, [], {"id": None}, {"id": ""}, {"id": "../x"}, {"id": "a/b"}, {"id": "?"}])
    def test_without_a_usable_job_id_in_its_reply_is_unknown(self, body: object) -> None:
        context = ScriptedContext(lambda _: json_reply(body))
        results = context.run(RecordingBatch(), "c-1", "c-2")
        assert codes(results) == {"c-1": "batch_submission_unknown", "c-2": "batch_submission_unknown"}
        assert len(context.calls) == 1

    def test_that_is_refused_fails_each_of_its_requests_once(self) -> None:
        context = ScriptedContext(
            lambda _: json_reply({"code": "missing.any.permissions", "message": "You may not."}, status=403)
        )
        results = context.run(RecordingBatch(), "c-1", "c-2/r-2")
        assert codes(results) == {"c-1": "missing_any_permissions", "c-2/r-2": "missing_any_permissions"}
        assert all(isinstance(result.error, PermissionDeniedError) for result in results)

    @pytest.mark.parametrize("status", [400, 404])
    def test_with_one_invalid_id_is_split_until_only_that_one_fails(self, status: int) -> None:
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

        context = ScriptedContext(reply)
        ids = [f"c-{number}" for number in range(99)]
        results = context.run(RecordingBatch(), "conversationId", *ids)
        assert Counter(result.file_id for result in results) == Counter(["conversationId", *ids])
        assert [result.file_id for result in results if not result.ok] == ["conversationId"]
        assert sum(call.method == "POST" for call in context.calls) <= 15
        assert len(submitted) <= 7
