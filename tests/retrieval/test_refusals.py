"""The rule for failures that end a run: which count, which end the counting, and what the error advises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async import (
    AllRefusedError,
    APIStatusError,
    APITimeoutError,
    ConnectError,
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    TokenRejectedError,
    TokenUnavailableError,
    UrlRejectedError,
)
from genesys_media_async.endpoints import MediaStorage, Recording, RecordingBatch
from genesys_media_async.retrieval.refusals import Refusals


def not_found(code: str = "not_found") -> GenesysMediaError:
    return NotFoundError("Genesys answered 404 (x).", code=code, status_code=404, correlation_id="the-id")


def forbidden() -> GenesysMediaError:
    return PermissionDeniedError("Genesys answered 403.", status_code=403)


NEUTRAL = [
    InvalidRequestError("x", code="invalid_file_id"),
    ConnectError("x"),
    APITimeoutError("x"),
    DeadlineExceededError("x"),
    InternalServerError("x", status_code=503),
    RateLimitError("x", status_code=429),
    TokenUnavailableError("x", status_code=503),
    NotFoundError("x", code="recording_not_in_batch"),
]
OTHER_REPLIES = [
    forbidden(),
    not_found(code="no_such_thing"),
    UrlRejectedError("x", status_code=200),
    NotFoundError("x", code="no_recordings", status_code=200),
    APIStatusError("x", status_code=501),
]


def after(errors: list[GenesysMediaError], limit: int | None = 3) -> AllRefusedError | None:
    refusals = Refusals(limit, MediaStorage())
    for error in errors:
        assert refusals.add(error, has_success=False) is None
    return refusals.all_refused


class TestAllRefused:
    def test_are_as_many_as_the_limit(self):
        assert after([not_found()] * 2) is None
        assert after([not_found()] * 3) is not None
        assert after([not_found()] * 100, limit=None) is None

    @pytest.mark.parametrize("neutral", NEUTRAL, ids=repr)
    def test_are_counted_past_what_shows_nothing_of_the_source(self, neutral: GenesysMediaError):
        assert after([neutral] * 100) is None
        assert after([not_found(), neutral, not_found(), neutral, not_found()]) is not None

    @pytest.mark.parametrize("other", OTHER_REPLIES, ids=repr)
    def test_are_not_counted_after_another_reply(self, other: GenesysMediaError):
        assert after([not_found(), not_found(), other, *[not_found()] * 100]) is None

    def test_are_not_counted_after_a_success(self):
        refusals = Refusals(3, MediaStorage())
        for _ in range(2):
            refusals.add(not_found(), has_success=False)
        refusals.add(not_found(), has_success=True)
        for _ in range(100):
            refusals.add(not_found(), has_success=False)
        assert refusals.all_refused is None

    def test_are_at_least_one_whole_batch(self):
        refusals = Refusals(3, RecordingBatch())
        for _ in range(99):
            refusals.add(forbidden(), has_success=False)
        assert refusals.all_refused is None
        refusals.add(forbidden(), has_success=False)
        assert refusals.all_refused is not None

    @given(st.lists(st.sampled_from([*NEUTRAL, *OTHER_REPLIES, not_found()]), max_size=60), st.integers(1, 5))
    def test_have_one_status_and_code_from_the_first_reply_on(self, errors: list[GenesysMediaError], limit: int):
        replies = [(each.status_code, each.code) for each in errors if each.status_code and not each.retryable]
        first = replies[:limit]
        expected = len(first) == limit and len(set(first)) == 1 and 400 <= (first[0][0] or 0) < 500
        assert (after(errors, limit) is not None) == expected


class TestTheError:
    @pytest.mark.parametrize(
        ("error", "endpoint", "words"),
        [
            (not_found(), MediaStorage(), "--source recording-batch"),
            (
                not_found(),
                Recording(),
                "each id is a conversationId/recordingId or conversationId of",
            ),
            (forbidden(), Recording(), "needs one of the permissions recording:recording:view"),
            (APIStatusError("x", status_code=400), MediaStorage(), "suit this source"),
        ],
    )
    def test_names_the_source_and_the_repair(self, error: GenesysMediaError, endpoint, words: str):
        refusals = Refusals(1, endpoint)
        refusals.add(error, has_success=False)
        all_refused = refusals.all_refused
        assert all_refused is not None
        assert endpoint.action in str(all_refused)
        assert words in str(all_refused)
        assert (all_refused.status_code, all_refused.retryable) == (error.status_code, False)


class TestATokenThatGenesysRejects:
    @pytest.mark.parametrize("has_success", [True, False])
    def test_ends_the_run_if_there_will_be_no_other(self, has_success: bool):
        error = CredentialsRejectedError("x", code="access_token_rejected")
        end = Refusals(None, MediaStorage()).add(error, has_success=has_success)
        assert str(end) == str(error)
        assert end is not error, "raising it would give frames to the error of the result"

    def test_ends_the_run_if_none_was_ever_accepted(self):
        error = TokenRejectedError("x", status_code=401)
        assert isinstance(Refusals(None, MediaStorage()).add(error, has_success=False), TokenRejectedError)

    def test_is_the_bad_luck_of_one_id_if_another_was_accepted(self):
        error = TokenRejectedError("x", status_code=401)
        refusals = Refusals(None, MediaStorage())
        assert refusals.add(error, has_success=True) is None
        refusals.add(not_found(), has_success=False)
        assert refusals.add(error, has_success=False) is None
