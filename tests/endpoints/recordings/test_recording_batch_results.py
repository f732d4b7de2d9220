"""The results of a batch job: each is reported once, to its requests."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from genesys_media_async import (
    ValidationRule,
)
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.endpoints.recordings.batch_job import BatchStatus
from genesys_media_async.events import BatchCompleted, UnrequestedBatchResults
from tests.support.batch_runs import (
    URL,
    events_of,
    job_reply,
    result_of,
    scripted,
)
from tests.support.scripted_context import code, codes


class TestResults:
    def test_are_reported_as_they_appear_and_each_once(self) -> None:
        one, two, three = (result_of(f"c/r-{number}") for number in (1, 2, 3))
        in_progress = [job_reply(one, status="InProgress", expected=3), job_reply(one, two, status="InProgress")]
        context = scripted(*in_progress, job_reply(one, two, three))
        reported: list[int] = []
        sleep = context.sleep

        async def counting(seconds: float, /) -> None:
            reported.append(len(context.results))
            await sleep(seconds)

        context.sleep = counting  # type: ignore[method-assign]
        results = context.run(RecordingBatch(), "c")
        assert reported == [0, 1, 2]
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

    def test_are_recognized_in_another_order_and_with_another_signature(self) -> None:
        def parts(signature: str, *numbers: int) -> list[dict]:
            return [result_of("c/r", f"https://m.example/{number}?Signature={signature}") for number in numbers]

        context = scripted(
            job_reply(*parts("first", 2, 1), status="InProgress", expected=3), job_reply(*parts("second", 1, 3, 2))
        )
        results = context.run(RecordingBatch(), "c/r")
        paths = [result.unwrap().url.partition("?")[0][-1] for result in results]
        assert sorted(paths) == ["1", "2", "3"]

    def test_that_differ_only_in_their_query_are_all_reported(self) -> None:
        parts = [result_of("c/r", f"https://m.example/download?part={part}") for part in range(3)]
        assert len(scripted(job_reply(*parts, *parts)).run(RecordingBatch(), "c/r")) == 3

    def test_that_are_duplicates_are_reported_once(self) -> None:
        found = [result_of("c/r"), result_of("c/s", None, "It failed")]
        results = scripted(job_reply(*found, *found)).run(RecordingBatch(), "c/r", "c/s")
        assert codes(results) == {"c/r": None, "c/s": "recording_failed"}
        assert len(results) == 2

    def test_of_a_recording_with_two_requests_are_reported_for_both(self) -> None:
        results = scripted(job_reply(result_of("c/r"))).run(RecordingBatch(), "c", "c/r")
        assert [(result.file_id, result.media_id, result.ok) for result in results] == [
            ("c", "c/r", True),
            ("c/r", "c/r", True),
        ]

    def test_belong_to_an_id_regardless_of_its_case(self) -> None:
        results = scripted(job_reply(result_of("abc/def"), result_of("bcd/efg"))).run(
            RecordingBatch(), "ABC/DEF", "BCD"
        )
        assert [(result.file_id, result.ok) for result in results] == [("ABC/DEF", True), ("BCD", True)]

    def test_with_an_error_message_are_errors_with_advice(self) -> None:
        results = scripted(
            job_reply(
                result_of("c/r", None, "Recording is ARCHIVED"),
                result_of("c/s", None, "The recording could not be processed: https://x.example/?Signature=canary"),
                result_of("c/t", URL, "Both"),
            )
        ).run(RecordingBatch(), "c/r", "c/s", "c/t")
        assert codes(results) == {"c/r": "recording_archived", "c/s": "recording_failed", "c/t": "recording_failed"}
        assert "recording:recording:restore" in str(results[0].error)
        assert "by the endpoint `Recording`" in str(results[1].error)
        assert "canary" not in str(results[1].error)

    def test_about_a_whole_conversation_are_reported_for_each_of_its_requests(self) -> None:
        results = scripted(job_reply(result_of("c", None, "Conversation not found"), result_of("d/r"))).run(
            RecordingBatch(), "c", "c/r", "d/r"
        )
        assert [(result.file_id, code(result)) for result in results] == [
            ("c", "recording_failed"),
            ("c/r", "recording_failed"),
            ("d/r", None),
        ]

    def test_that_are_missing_are_errors_once_the_job_is_completed(self) -> None:
        results = scripted(job_reply(result_of("c-1/r"))).run(RecordingBatch(), "c-1/r", "c-1/s", "c-2")
        assert codes(results) == {"c-1/r": None, "c-1/s": "recording_not_in_batch", "c-2": "recording_not_in_batch"}
        assert "recording:recording:viewSensitiveData" in str(results[1].error)
        assert "job-1" in str(results[1].error)

    def test_that_were_not_requested_are_only_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        strangers = [result_of("c/x"), result_of("d/r"), result_of(""), result_of("d", None, "What?"), {}]
        context = scripted(job_reply(*strangers[:2], status="InProgress"), job_reply(*strangers, result_of("c/r")))
        with caplog.at_level(logging.WARNING, "genesys_media_async"):
            results = context.run(RecordingBatch(), "c/r")
        assert codes(results) == {"c/r": None}
        (event,) = events_of(context.events, UnrequestedBatchResults)
        assert (event.job_id, event.results) == ("job-1", 5)
        assert caplog.messages == ["The batch job job-1 has 5 results that were not requested"]

    def test_without_a_url_may_still_get_one_until_the_job_is_completed(self) -> None:
        waiting = [result_of("c/r", None), result_of("c/s", None)]
        context = scripted(
            job_reply(*waiting, status="InProgress"), job_reply(result_of("c/r"), result_of("c/s", None))
        )
        results = context.run(RecordingBatch(), "c/r", "c/s")
        assert [(result.media_id, code(result)) for result in results] == [
            ("c/r", None),
            ("c/s", "no_url"),
        ]

    @pytest.mark.parametrize(
        ("url", "rule", "expected"),
        [
            ("http://media.example.com/a", {}, "url_not_https"),
            ("https://media.example.com/a", {"allowed_hosts": ("*.amazonaws.com",)}, "host_refused"),
            ("/just/a/path", {}, "url_malformed"),
            ("https://[broken/", {}, "url_malformed"),
            ("https://user:canary@media.example.com/a", {}, "url_user_info"),
            ("https://media.example.com/?Expires=1000", {}, "url_expired"),
            ("https://media.example.com/a", {"max_lifetime": 60}, "lifetime_too_long"),
            ("https://media.example.com/a", {"content_types": ("video/*",)}, "content_type_refused"),
            ("https://media.example.com/a", {"content_types": ("audio/*",)}, None),
            ("https://media.example.com/a", {"required_access": "private"}, "access_level_mismatch"),
            ("", {}, "no_url"),
            (None, {}, "no_url"),
            (17, {}, "no_url"),
        ],
    )
    def test_with_a_url_that_breaks_the_rule_are_refused(self, url: Any, rule: Any, expected: str) -> None:
        found = {**result_of("c/r"), "resultUrl": url, "contentType": "audio/wav; codecs=1"}
        context = scripted(job_reply(found), rule=ValidationRule(**rule))
        (result,) = context.run(RecordingBatch(), "c/r")
        assert code(result) == expected
        assert "canary" not in repr(result)
        (completed,) = events_of(context.events, BatchCompleted)
        assert (completed.results, completed.errors) == (1, int(expected is not None))

    def test_are_shown_without_their_url(self) -> None:
        assert "canary" not in repr(BatchStatus.model_validate_json(job_reply(result_of("c/r")).body))

    @pytest.mark.parametrize("content_type", ["audio/ogg", "audio/wav; codecs=1", "application/json", None, 5])
    def test_may_have_any_content_type_unless_the_rule_names_some(self, content_type: object) -> None:
        (result,) = scripted(job_reply(result_of("c/r", content_type=content_type))).run(RecordingBatch(), "c/r")
        assert result.unwrap().content_type == (content_type if isinstance(content_type, str) else None)

    def test_have_the_lifetime_of_their_url_or_else_of_the_settings(self) -> None:
        context = scripted(
            job_reply(
                result_of("c/r"),
                result_of("c/s", "https://m.example/s?X-Amz-Date=20231114T222000Z&X-Amz-Expires=120"),
                result_of("c/t"),
            )
        )
        results = context.run(RecordingBatch(), "c")
        lifetimes = [(url.expires_in, url.expiry_source) for url in (result.unwrap() for result in results)]
        assert [known for _, known in lifetimes] == ["settings", "url", "settings"]
        assert (lifetimes[0][0], lifetimes[2][0]) == (1_800, 1_800)
        assert results[1].unwrap().expires_at == datetime(2023, 11, 14, 22, 22, tzinfo=UTC)
        assert sum(call.path == "/api/v2/recording/settings" for call in context.calls) == 1
