"""The account of permits: what it gives out, when, and what it shows."""

from __future__ import annotations

import tracemalloc
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.quota.headers import Reading
from genesys_media_async.quota.ledger import MAX_STEPS
from genesys_media_async.quota.unlimited import UnlimitedAccount
from tests.quota.permits import FOREVER, NEVER, end, taken

if TYPE_CHECKING:
    from genesys_media_async.quota.permit import Permit


def test_a_permit_is_charged_from_when_it_is_taken_until_a_window_after_the_reply() -> None:
    account = QuotaAccount(1, 60)
    permit = taken(account, 0)
    # However long the reply takes: the server may count the request as late as that.
    assert account.try_acquire(1_000) is None
    account.complete(permit, 1_000)
    assert account.try_acquire(1_059.9) is None
    assert account.used(1_059.9) == 1
    assert account.try_acquire(1_060) is not None


def test_a_reply_that_stalls_is_charged_no_longer_than_from_when_a_count_proved_it_counted() -> None:
    account = QuotaAccount(2, 60)
    stalled, prompt = taken(account, 0), taken(account, 0)
    account.complete(prompt, 1, Reading(2, 2, 60))
    account.complete(stalled, 20)
    assert account.used(60.9) == 2
    assert account.used(61) == 0


@given(
    gaps=st.lists(st.one_of(st.floats(0, 0.02), st.floats(0, 40)), max_size=60),
    looks=st.lists(st.floats(0, 200), max_size=20),
)
@settings(deadline=None, max_examples=100)
def test_a_permit_of_a_large_limit_returns_at_most_a_step_late_and_never_early(
    gaps: list[float], looks: list[float]
) -> None:
    account, spent = QuotaAccount(MAX_STEPS + 1, 60.0), list[float]()
    for now, is_look in sorted([*((at, False) for at in accumulate(gaps)), *((at, True) for at in looks)]):
        if not is_look:
            account.complete(taken(account, now), now)
            spent.append(now)
        exact = sum(now < at + 60.0 for at in spent)
        a_step_late = sum(now < at + 60.0 / MAX_STEPS + 60.0 for at in spent)
        assert exact <= account.used(now) <= a_step_late


def test_a_reply_that_stalls_is_charged_hardly_longer_if_the_limit_is_large() -> None:
    account = QuotaAccount(MAX_STEPS + 1, 60)
    stalled, prompt = taken(account, 0), taken(account, 0)
    account.complete(prompt, 1, Reading(2, MAX_STEPS + 1, 60))
    account.complete(taken(account, 10), 10)
    account.complete(stalled, 20)
    assert account.used(60.9) == 3
    assert account.used(61 + 60 / MAX_STEPS) == 1


def test_the_account_of_a_large_limit_remembers_no_request_by_itself() -> None:
    account = QuotaAccount(10_000_000, 60)
    tracemalloc.start()
    try:
        for number in range(5_000):
            now = number / 5_000
            account.complete(taken(account, now), now)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert account.used(1) == 5_000
    assert size < 5 * 5_000


def test_a_refusal_that_arrives_late_teaches_no_more_than_the_one_before() -> None:
    account = QuotaAccount(10, 60)
    late, prompt = taken(account, 0), taken(account, 0)
    for _ in range(7):
        account.complete(taken(account, 0), 0)
    account.reject(prompt, 1, 2)
    account.reject(late, 20, 2)
    once = QuotaAccount(10, 60)
    prompt = taken(once, 0)
    for _ in range(7):
        once.complete(taken(once, 0), 0)
    once.reject(prompt, 1, 2)
    assert account.allowed == once.allowed


def test_a_cancelled_permit_is_free_at_once() -> None:
    account = QuotaAccount(1, 60)
    account.cancel(taken(account, 0))
    assert account.used(0) == 0
    assert account.try_acquire(0) is not None


def test_the_next_attempt_is_now_if_there_is_a_permit() -> None:
    account = QuotaAccount(2, 60)
    taken(account, 5)
    assert account.next_attempt_at(7) == 7


def test_the_next_attempt_is_when_the_oldest_permit_returns() -> None:
    account = QuotaAccount(2, 60)
    for now in (5, 8):
        account.complete(taken(account, now), now)
    assert account.next_attempt_at(9) == 65
    assert account.try_acquire(64.999) is None
    assert account.try_acquire(65) is not None


def test_the_next_attempt_is_unknown_while_every_permit_is_in_flight() -> None:
    account = QuotaAccount(1, 60)
    taken(account, 0)
    assert account.next_attempt_at(0) == FOREVER


@pytest.mark.parametrize(("latency", "most"), [(0.0, 4), (0.06, 4), (2.0, 100), (6.0, 300), (60.0, 300)])
def test_no_more_are_in_flight_than_spend_the_limit_in_a_tenth_of_the_window(latency: float, most: int) -> None:
    account = QuotaAccount(300, 60)
    account.complete(taken(account, 0), latency)
    now = latency + 60
    held = [permit for _ in range(301) if (permit := account.try_acquire(now)) is not None]
    assert len(held) == most
    assert account.next_attempt_at(now) == FOREVER
    account.cancel(held[0])
    assert account.next_attempt_at(now) == now


@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["acquire", "complete", "cancel"]), st.integers(0, 9)), max_size=40),
)
@settings(deadline=None, max_examples=100)
def test_the_next_attempt_is_exactly_when_try_acquire_succeeds_next(limit: int, steps: list[tuple[str, int]]) -> None:
    account, now = QuotaAccount(limit, 7), 0
    held: list[Permit] = []
    for step, seconds in steps:
        now += seconds
        attempt_at = account.next_attempt_at(now)
        assert attempt_at >= now
        if step == "acquire":
            permit = account.try_acquire(now)
            assert (permit is not None) is (attempt_at == now)
            held += [permit] if permit is not None else []
        elif held:
            end(account, held.pop(0), now, sent=step == "complete")
    attempt_at = account.next_attempt_at(now)
    if attempt_at == FOREVER:
        assert len(held) == limit
    else:
        assert attempt_at == now or account.try_acquire(attempt_at - 0.5) is None
        assert account.try_acquire(attempt_at) is not None


@pytest.fixture(params=["limited", "unlimited"])
def either(request: pytest.FixtureRequest) -> QuotaAccount | UnlimitedAccount:
    return QuotaAccount(10, 60) if request.param == "limited" else UnlimitedAccount()


class TestAPause:
    def test_stops_all_requests_although_there_are_permits(self, either: QuotaAccount | UnlimitedAccount) -> None:
        assert either.paused_until == NEVER
        assert either.state(0).paused_for is None
        assert either.reject(taken(either, 0), 0, 30) is True
        assert either.try_acquire(29.9) is None
        assert either.next_attempt_at(10) == either.paused_until == 30
        assert either.state(10).paused_for == 20
        assert either.try_acquire(30) is not None
        assert either.state(30).paused_for is None

    def test_that_is_shorter_never_ends_a_longer_one(self, either: QuotaAccount | UnlimitedAccount) -> None:
        first, second, third = (taken(either, 0) for _ in range(3))
        assert either.reject(first, 0, 30) is True
        assert either.reject(second, 0, 20) is False
        assert either.paused_until == 30
        assert either.reject(third, 5, 35) is True
        assert either.paused_until == 40

    def test_must_be_over_and_a_permit_returned(self) -> None:
        account = QuotaAccount(2, 60)
        spent, refused = taken(account, 0), taken(account, 0)
        account.complete(spent, 0)
        account.reject(refused, 0, 30, has_retry_after=False)
        assert account.next_attempt_at(1) == 30
        account.complete(taken(account, 30), 30)
        assert account.try_acquire(59.9) is None
        assert account.next_attempt_at(59.9) == 60
        assert account.try_acquire(60) is not None
        account = QuotaAccount(2, 60)
        spent, refused = taken(account, 0), taken(account, 0)
        account.complete(spent, 0)
        account.reject(refused, 0, 90, has_retry_after=False)
        assert account.next_attempt_at(1) == 90

    def test_frees_the_permit_of_the_refused_request(self) -> None:
        account = QuotaAccount(1, 60)
        account.reject(taken(account, 0), 0, 2)
        assert account.used(0) == 0
        assert account.try_acquire(2) is not None


@pytest.mark.parametrize("limit", [1, 300])
def test_the_account_shows_its_state(limit: int) -> None:
    account = QuotaAccount(limit, 60)
    permit = taken(account, 0)
    assert account.allowed == limit
    assert repr(account) == f"<QuotaAccount 1 in flight, 0 spent, of {limit}>"
    account.complete(permit, 0)
    assert repr(account) == f"<QuotaAccount 0 in flight, 1 spent, of {limit}>"
    state = account.state(59)
    assert (state.used, state.allowed, state.used_by_others, state.resets_in, state.paused_for) == (
        1,
        limit,
        0,
        None,
        None,
    )
    assert account.state(60).used == 0


def shown_by(account: QuotaAccount, began: float) -> list[object]:
    """What an account shows in a quarter of a minute whose every reply has only itself in its count."""
    shown: list[object] = []
    for quarter in range(60):
        now = began + quarter / 4
        permit = account.try_acquire(now)
        if permit is not None:
            account.complete(permit, now + 0.125, Reading(1, 30, 60 - quarter // 4))
        shown += [permit is not None, account.state(now + 0.125), account.next_attempt_at(now + 0.125) - began]
    return shown


def test_it_makes_no_difference_for_how_long_the_machine_has_been_up() -> None:
    assert shown_by(QuotaAccount(30, 60), 0.0) == shown_by(QuotaAccount(30, 60), 1_000_000.0)
