"""The retry rules: what is retried, when, and within which budget."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.api.retry import (
    MAX_STALE,
    STATUSES,
    Again,
    Failures,
    GiveUp,
    Kind,
    RetryBudget,
    RetryRule,
    StatusQuestion,
    classify,
    may_have_been_carried_out,
    pause_after_429,
)
from genesys_media_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuditWriteError,
    AuthenticationError,
    ConnectError,
    CredentialsRejectedError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    InvalidRequestError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    SettingsError,
    StaleConnectionError,
    TokenRejectedError,
    TokenUnavailableError,
    UrlRejectedError,
)
from genesys_media_async.settings.policies import RetryPolicy
from tests.support.randomness import Steady

FOREVER = float("inf")
WALL = 1_700_000_000.0


def rule_of(policy: RetryPolicy | None = None, *, jitter: float = 0.5) -> RetryRule:
    return RetryRule(policy or RetryPolicy(), Steady(jitter))


def server_error(status: int = 503, retry_after: float | None = None) -> InternalServerError:
    return InternalServerError("x", status_code=status, retry_after=retry_after)


def status_error(status: int) -> GenesysMediaError:
    kinds: dict[int, type[APIStatusError]] = {
        401: TokenRejectedError,
        403: PermissionDeniedError,
        404: NotFoundError,
        429: RateLimitError,
    }
    return kinds.get(status, InternalServerError if status >= 500 else APIStatusError)("x", status_code=status)


class TestStatuses:
    @pytest.mark.parametrize(
        ("question", "expected"),
        [
            ("retry", {408, 500, 502, 503, 504}),
            ("later", {408, 429, 500, 502, 503, 504, 505, 599}),
            ("login", {408, 429, 500, 501, 502, 503, 504, 505, 599}),
            ("webhook", {404, 408, 409, 425, 429, 500, 501, 502, 503, 504, 505, 599}),
            ("unavailable", {401, 408, 429, 500, 501, 502, 503, 504, 505, 599}),
            ("carried_out", {408, 500, 502, 503, 504, 505, 599}),
        ],
    )
    def test_each_question_has_its_row(self, question: StatusQuestion, expected: set[int]) -> None:
        sample = {200, 204, 301, 400, 401, 403, 404, 405, 408, 409, 410, 413, 422, 425, 429, 451, *range(500, 506), 599}
        assert sample & STATUSES[question] == expected

    def test_every_row_is_tested_here(self) -> None:
        assert set(STATUSES) == set(get_args(StatusQuestion))
        assert len(STATUSES) == 6


class TestClassify:
    @pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
    def test_a_status_that_may_change_is_transient(self, status: int) -> None:
        assert classify(status_error(status)) is Kind.TRANSIENT

    @pytest.mark.parametrize("status", [400, 402, 403, 404, 405, 409, 410, 413, 415, 422, 451, 501, 505])
    def test_any_other_status_is_permanent(self, status: int) -> None:
        assert classify(status_error(status)) is Kind.PERMANENT

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (status_error(429), Kind.RATE_LIMITED),
            (status_error(401), Kind.TOKEN_REJECTED),
            (APIConnectionError("x"), Kind.TRANSIENT),
            (ConnectError("x"), Kind.TRANSIENT),
            (StaleConnectionError("x"), Kind.STALE_CONNECTION),
            (APITimeoutError("x"), Kind.TRANSIENT),
            (APIConnectionError("x", retryable=False), Kind.PERMANENT),
            (InvalidResponseError("x"), Kind.TRANSIENT),
            (InvalidResponseError("x", retryable=False), Kind.PERMANENT),
            (TokenUnavailableError("x"), Kind.TOKEN_PENDING),
            (TokenUnavailableError("x", retryable=False), Kind.PERMANENT),
            (CredentialsRejectedError("x"), Kind.PERMANENT),
            (AuthenticationError("x"), Kind.PERMANENT),
            (UrlRejectedError("x"), Kind.PERMANENT),
            (InvalidRequestError("x"), Kind.PERMANENT),
            (SettingsError("x"), Kind.PERMANENT),
            (DeadlineExceededError("x"), Kind.PERMANENT),
            (AuditWriteError("x"), Kind.PERMANENT),
            (GenesysMediaError("x"), Kind.PERMANENT),
        ],
    )
    def test_follows_the_class_of_the_error(self, error: GenesysMediaError, kind: Kind) -> None:
        assert classify(error) is kind

    @pytest.mark.parametrize(
        ("error", "carried_out"),
        [
            (ConnectError("x"), False),
            (StaleConnectionError("x"), True),
            (APIConnectionError("x"), True),
            (APITimeoutError("x"), True),
            (InvalidResponseError("x"), True),
            (InvalidResponseError("x", status_code=200), True),
            (InvalidResponseError("x", status_code=307), False),
            (APIStatusError("x", status_code=408), True),
            (InternalServerError("x", status_code=500, retry_after=3.0), True),
            (InternalServerError("x", status_code=503), True),
            (InternalServerError("x", status_code=503, retry_after=3.0), False),
            (status_error(501), False),
            (status_error(400), False),
            (status_error(401), False),
            (status_error(429), False),
            (TokenUnavailableError("x"), False),
            (GenesysMediaError("x"), False),
        ],
    )
    def test_shows_whether_the_request_may_have_been_carried_out(
        self, error: GenesysMediaError, carried_out: bool
    ) -> None:
        assert may_have_been_carried_out(error) is carried_out


class TestStaleConnection:
    def test_is_retried_at_once_for_nothing_and_over_a_fresh_connection(self) -> None:
        rule, failures, budget = rule_of(RetryPolicy(max_attempts=1)), Failures(), RetryBudget(0)
        stale = [rule.decide(StaleConnectionError("x"), failures, remaining=FOREVER, budget=budget) for _ in range(4)]
        assert stale == [Again(0.0, fresh=True)] * 3 + [GiveUp()]

    def test_is_an_ordinary_failure_after_a_few(self) -> None:
        rule, failures, budget = rule_of(RetryPolicy(max_attempts=3)), Failures(stale=MAX_STALE), RetryBudget(9)
        stale = [rule.decide(StaleConnectionError("x"), failures, remaining=FOREVER, budget=budget) for _ in range(3)]
        assert [type(each) for each in stale] == [Again, Again, GiveUp]
        assert budget.left == 7

    def test_is_not_retried_after_the_deadline(self) -> None:
        decision = rule_of(RetryPolicy()).decide(
            StaleConnectionError("x"), Failures(), remaining=0.0, budget=RetryBudget(9)
        )
        assert decision == GiveUp(out_of_time=True)


class TestTransientFailure:
    def test_is_retried_until_the_attempts_are_used_up(self) -> None:
        rule, failures, budget = rule_of(RetryPolicy(max_attempts=4)), Failures(), RetryBudget(100)
        decisions = [rule.decide(server_error(), failures, remaining=FOREVER, budget=budget) for _ in range(4)]
        assert [type(each) for each in decisions] == [Again, Again, Again, GiveUp]
        assert decisions[-1] == GiveUp(out_of_time=False)
        assert budget.left == 97

    def test_with_one_attempt_is_never_retried(self) -> None:
        budget = RetryBudget(100)
        decision = rule_of(RetryPolicy(max_attempts=1)).decide(
            server_error(), Failures(), remaining=FOREVER, budget=budget
        )
        assert decision == GiveUp()
        assert budget.left == 100

    @pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.0), (0.5, 0.5), (0.999, 0.999)])
    def test_waits_for_a_random_share_of_a_doubling_curve(self, jitter: float, share: float) -> None:
        rule = rule_of(RetryPolicy(max_attempts=9, base_delay=0.5, max_delay=10), jitter=jitter)
        failures, budget = Failures(), RetryBudget(100)
        decisions = [rule.decide(server_error(), failures, remaining=FOREVER, budget=budget) for _ in range(8)]
        delays = [each.delay for each in decisions if isinstance(each, Again)]
        assert delays == pytest.approx([share * top for top in (0.5, 1, 2, 4, 8, 10, 10, 10)])

    def test_adds_its_jitter_to_retry_after(self) -> None:
        rule = rule_of(RetryPolicy(base_delay=4, max_delay=4), jitter=0.5)
        decision = rule.decide(server_error(retry_after=5), Failures(), remaining=FOREVER, budget=RetryBudget(9))
        assert decision == Again(7.0)

    @given(seed=st.integers(), base=st.floats(0.01, 10), floor=st.one_of(st.none(), st.floats(-10, 1e4)))
    @settings(deadline=None, max_examples=100)
    def test_waits_between_the_floor_and_the_floor_plus_the_curve(
        self, seed: int, base: float, floor: float | None
    ) -> None:
        rule = RetryRule(RetryPolicy(max_attempts=6, base_delay=base, max_delay=30), random.Random(seed))
        failures, budget, least = Failures(), RetryBudget(100), max(0.0, floor or 0.0)
        for number in range(5):
            decision = rule.decide(server_error(retry_after=floor), failures, remaining=FOREVER, budget=budget)
            assert isinstance(decision, Again)
            assert least <= decision.delay <= least + min(30, base * 2**number) + 1e-9

    def test_spreads_its_waits_over_the_whole_curve(self) -> None:
        rule = RetryRule(RetryPolicy(base_delay=1, max_delay=1), random.Random(7))
        decisions = [
            rule.decide(server_error(), Failures(), remaining=FOREVER, budget=RetryBudget(1)) for _ in range(900)
        ]
        delays = sorted(each.delay for each in decisions if isinstance(each, Again))
        assert len(delays) == 900
        assert delays[0] < 0.02
        assert delays[-1] > 0.98
        assert delays[450] == pytest.approx(0.5, abs=0.06)

    def test_is_not_retried_if_the_wait_would_exceed_the_deadline(self) -> None:
        rule = rule_of(RetryPolicy(base_delay=4, max_delay=4))
        for remaining, expected in ((2.1, Again(2.0)), (2.0, GiveUp(out_of_time=True)), (-1, GiveUp(out_of_time=True))):
            decision = rule.decide(server_error(), Failures(), remaining=remaining, budget=RetryBudget(9))
            assert decision == expected

    def test_that_is_given_up_because_of_the_deadline_takes_nothing_from_the_budget(self) -> None:
        budget = RetryBudget(10)
        for _ in range(50):
            decision = rule_of().decide(server_error(retry_after=60), Failures(), remaining=5, budget=budget)
            assert decision == GiveUp(out_of_time=True)
        assert budget.left == 10


class TestRateLimiting:
    def test_takes_neither_a_transient_attempt_nor_the_budget(self) -> None:
        rule, failures, budget = rule_of(RetryPolicy(max_attempts=2)), Failures(), RetryBudget(1)
        for _ in range(10):
            assert rule.decide(status_error(429), failures, remaining=FOREVER, budget=budget) == Again(0.0)
        assert failures.transient == 0
        assert budget.left == 1
        assert isinstance(rule.decide(server_error(), failures, remaining=FOREVER, budget=budget), Again)
        assert rule.decide(server_error(), failures, remaining=FOREVER, budget=budget) == GiveUp()

    def test_has_its_own_bound(self) -> None:
        rule, failures = rule_of(RetryPolicy(max_rate_limited=3)), Failures()
        decisions = [rule.decide(status_error(429), failures, remaining=9, budget=RetryBudget(0)) for _ in range(3)]
        assert decisions == [Again(0.0), Again(0.0), GiveUp()]

    def test_is_given_up_at_once_if_the_pause_exceeds_the_deadline(self) -> None:
        error = RateLimitError("x", status_code=429, retry_after=60)
        assert rule_of().decide(error, Failures(), remaining=59, budget=RetryBudget(1)) == GiveUp(out_of_time=True)
        assert rule_of().decide(error, Failures(), remaining=61, budget=RetryBudget(1)) == Again(0.0)

    @pytest.mark.parametrize(
        ("retry_after", "pause"),
        [(7.0, 8.0), (0.0, 1.0), (-5.0, 1.0), (60.5, 61.5), (1e9, 86_400.0), (FOREVER, 86_400.0)],
    )
    def test_pauses_for_retry_after_and_a_guard_second(self, retry_after: float, pause: float) -> None:
        assert [pause_after_429(retry_after, in_a_row) for in_a_row in (1, 5)] == [pause, pause]

    def test_pauses_along_a_curve_without_retry_after(self) -> None:
        pauses = [pause_after_429(None, in_a_row) for in_a_row in (1, 2, 3, 6, 7, 8, 10_000)]
        assert pauses == [1, 2, 4, 32, 60, 60, 60]


class TestToken:
    def test_rejected_is_retried_once_at_once(self) -> None:
        rule, failures, budget = rule_of(), Failures(), RetryBudget(0)
        assert rule.decide(status_error(401), failures, remaining=9, budget=budget) == Again(0.0)
        assert rule.decide(status_error(401), failures, remaining=9, budget=budget) == GiveUp()
        assert failures.transient == 0

    def test_rejected_is_retried_once_for_a_call_whatever_happened_in_between(self) -> None:
        rule, failures, budget = rule_of(), Failures(), RetryBudget(9)
        rule.decide(status_error(401), failures, remaining=9, budget=budget)
        rule.decide(status_error(429), failures, remaining=9, budget=budget)
        rule.decide(server_error(), failures, remaining=9, budget=budget)
        assert rule.decide(status_error(401), failures, remaining=9, budget=budget) == GiveUp()

    def test_not_available_at_the_moment_is_waited_for_without_counting(self) -> None:
        rule, failures, budget = rule_of(), Failures(), RetryBudget(0)
        for _ in range(100):
            error = TokenUnavailableError("x", retry_after=4)
            assert rule.decide(error, failures, remaining=9, budget=budget) == Again(4.0)
        assert failures == Failures()
        too_late = rule.decide(TokenUnavailableError("x", retry_after=9), failures, remaining=9, budget=budget)
        assert too_late == GiveUp(out_of_time=True)

    def test_that_will_never_be_available_is_not_waited_for(self) -> None:
        error = TokenUnavailableError("x", retryable=False)
        assert rule_of().decide(error, Failures(), remaining=FOREVER, budget=RetryBudget(9)) == GiveUp()


@pytest.mark.parametrize(
    "error", [status_error(403), status_error(404), UrlRejectedError("x"), CredentialsRejectedError("x")]
)
def test_a_permanent_failure_is_given_up_at_once_even_with_retry_after(
    error: GenesysMediaError,
) -> None:
    error.retry_after = 1
    budget, failures = RetryBudget(9), Failures()
    assert rule_of().decide(error, failures, remaining=FOREVER, budget=budget) == GiveUp()
    assert (budget.left, failures) == (9, Failures())


class TestBudget:
    def test_bounds_the_retries_of_an_outage_whatever_the_number_of_ids(self) -> None:
        rule, budget, sent = rule_of(RetryPolicy(max_attempts=5)), RetryBudget(20), 0
        for _ in range(1_000):
            failures = Failures()
            sent += 1
            while isinstance(rule.decide(server_error(), failures, remaining=FOREVER, budget=budget), Again):
                sent += 1
        assert sent == 1_000 + 20

    def test_returns_what_a_successful_call_took(self) -> None:
        budget = RetryBudget(10)
        for _ in range(4):
            assert budget.take()
        budget.succeeded(4)
        assert budget.left == 10

    def test_earns_one_for_ten_calls_that_succeed_at_once_up_to_its_size(self) -> None:
        budget = RetryBudget(2)
        assert [budget.take() for _ in range(3)] == [True, True, False]
        for _ in range(9):
            budget.succeeded(0)
        assert not budget.take()
        for _ in range(2):
            budget.succeeded(0)
        assert budget.take()
        for _ in range(1_000):
            budget.succeeded(0)
        assert budget.left == 2

    def test_of_zero_allows_no_retry(self) -> None:
        assert rule_of().decide(server_error(), Failures(), remaining=FOREVER, budget=RetryBudget(0)) == GiveUp()

    @given(st.lists(st.one_of(st.just("take"), st.integers(0, 9)), max_size=60), st.integers(0, 9))
    @settings(deadline=None, max_examples=60)
    def test_stays_between_zero_and_its_size(self, steps: list[str | int], size: int) -> None:
        budget = RetryBudget(size)
        for step in steps:
            before = budget.left
            if isinstance(step, int):
                budget.succeeded(step)
                assert budget.left >= before
            else:
                assert budget.take() is (before >= 1)
            assert 0 <= budget.left <= size

    def test_shows_what_is_left(self) -> None:
        budget = RetryBudget(5)
        budget.take()
        assert repr(budget) == "<RetryBudget 4.0 of 5 left>"
