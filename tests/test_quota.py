"""The account of permits, held against servers that count in every way a server may."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.quota import QuotaAccount

# Whole numbers, so that the sums below are exact: what is tested is the rule and not the rounding.
NEVER = float("-inf")


@dataclass(frozen=True)
class Wish:
    """A request somebody wants to send: when, how long the exchange takes, and when in it the server counts it."""

    at: int
    duration: int
    counted_after: int
    sent: bool = True


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    duration = draw(st.integers(0, 12))
    return Wish(
        at=draw(st.integers(0, 60)),
        duration=duration,
        counted_after=draw(st.integers(0, duration)),
        sent=draw(st.sampled_from([True, True, True, False])),
    )


def arrivals(account: QuotaAccount, wanted: list[Wish]) -> list[int]:
    """Let the wishes be sent as early as the account allows, tick by tick; return when the server saw them."""
    waiting = sorted(wanted, key=lambda wish: wish.at)
    under_way: list[tuple[int, Wish]] = []
    seen: list[int] = []
    for now in range(10_000):
        for ends, wish in [each for each in under_way if each[0] == now]:
            under_way.remove((ends, wish))
            if wish.sent:
                account.spend(now)
            else:
                account.give_back()
        while waiting and waiting[0].at <= now and account.take(now):
            wish = waiting.pop(0)
            under_way.append((now + wish.duration, wish))
            if wish.sent:
                seen.append(now + wish.counted_after)
            if wish.duration == 0:
                under_way.remove((now, wish))
                if wish.sent:
                    account.spend(now)
                else:
                    account.give_back()
        if not waiting and not under_way:
            return sorted(seen)
    raise AssertionError("the account never lets the rest go")


def most_in_a_sliding_window(seen: list[int], window: int) -> int:
    return max((sum(start <= each < start + window for each in seen) for start in seen), default=0)


def most_in_an_aligned_window(seen: list[int], window: int, phase: int) -> int:
    counts: dict[int, int] = {}
    for each in seen:
        counts[(each + phase) // window] = counts.get((each + phase) // window, 0) + 1
    return max(counts.values(), default=0)


def most_in_a_fixed_window(seen: list[int], window: int) -> int:
    """A window that opens with the first request after the last one closed."""
    most = count = 0
    opened = -window
    for each in seen:
        if each >= opened + window:
            opened, count = each, 0
        count += 1
        most = max(most, count)
    return most


@given(limit=st.integers(1, 6), window=st.integers(1, 15), wanted=st.lists(wishes(), max_size=40))
@example(limit=3, window=10, wanted=[Wish(0, 0, 0)] * 9)
@example(limit=3, window=10, wanted=[Wish(0, 10, 10)] * 3 + [Wish(10, 0, 0)] * 3)
@settings(deadline=None, max_examples=150)
def test_no_window_of_any_server_ever_holds_more_than_the_limit(limit: int, window: int, wanted: list[Wish]) -> None:
    seen = arrivals(QuotaAccount(limit, window), wanted)
    assert len(seen) == sum(wish.sent for wish in wanted)
    assert most_in_a_sliding_window(seen, window) <= limit
    assert most_in_a_fixed_window(seen, window) <= limit
    for phase in range(window):
        assert most_in_an_aligned_window(seen, window, phase) <= limit


def test_the_models_of_the_servers_see_the_double_first_minute_of_a_leaky_bucket() -> None:
    """The property above could not fail if they did not: 300 at once, then 299 more within the minute."""
    seen = [0] * 300 + [each // 5 for each in range(299)]
    assert most_in_a_sliding_window(seen, 60) == 599
    assert most_in_a_fixed_window(seen, 60) == 599
    assert most_in_an_aligned_window(seen, 60, 0) == 599


@given(limit=st.integers(1, 5), window=st.integers(1, 10), count=st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_instant_exchanges_use_the_whole_limit_of_every_window(limit: int, window: int, count: int) -> None:
    seen = arrivals(QuotaAccount(limit, window), [Wish(0, 0, 0)] * count)
    assert seen == [window * (number // limit) for number in range(count)]


def test_a_permit_is_charged_from_when_it_is_taken_until_a_window_after_the_reply() -> None:
    account = QuotaAccount(1, 60)
    assert account.take(0)
    # However long the reply takes: the server may count the request as late as that.
    assert not account.take(1_000)
    account.spend(1_000)
    assert not account.take(1_059.9)
    assert account.used(1_059.9) == 1
    assert account.take(1_060)


def test_a_permit_given_back_is_free_at_once() -> None:
    account = QuotaAccount(1, 60)
    assert account.take(0)
    account.give_back()
    assert account.used(0) == 0
    assert account.take(0)


def test_the_next_chance_is_now_if_there_is_a_permit() -> None:
    account = QuotaAccount(2, 60)
    account.take(5)
    assert account.next_chance(7) == 7


def test_the_next_chance_is_when_the_oldest_permit_comes_back() -> None:
    account = QuotaAccount(2, 60)
    for now in (5, 8):
        account.take(now)
        account.spend(now)
    assert account.next_chance(9) == 65
    assert not account.take(64.999)
    assert account.take(65)


def test_nobody_knows_the_next_chance_while_every_permit_is_in_flight() -> None:
    account = QuotaAccount(1, 60)
    account.take(0)
    assert account.next_chance(0) == float("inf")


@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["take", "spend", "back", "pause"]), st.integers(0, 9)), max_size=40),
)
@settings(deadline=None, max_examples=100)
def test_the_next_chance_is_exactly_when_take_succeeds_next(limit: int, steps: list[tuple[str, int]]) -> None:
    account, now, in_flight = QuotaAccount(limit, 7), 0, 0
    for step, seconds in steps:
        now += seconds
        chance = account.next_chance(now)
        assert chance >= now
        if step == "take":
            succeeds = account.take(now)
            assert succeeds is (chance == now)
            in_flight += succeeds
        elif step == "spend" and in_flight:
            account.spend(now)
            in_flight -= 1
        elif step == "back" and in_flight:
            account.give_back()
            in_flight -= 1
        elif step == "pause":
            account.pause(now + seconds)
    chance = account.next_chance(now)
    if chance == float("inf"):
        assert in_flight == limit
    else:
        assert chance == now or not account.take(chance - 0.5)
        assert account.take(chance)


def test_a_pause_lets_nobody_send_although_there_are_permits() -> None:
    account = QuotaAccount(10, 60)
    assert account.paused_until == NEVER
    account.pause(30)
    assert not account.take(29.9)
    assert account.next_chance(10) == 30
    assert account.take(30)


def test_a_shorter_pause_never_ends_a_longer_one() -> None:
    account = QuotaAccount(10, 60)
    account.pause(30)
    account.pause(20)
    assert account.paused_until == 30
    account.pause(40)
    assert account.paused_until == 40


def test_a_permit_and_a_pause_both_have_to_be_over() -> None:
    account = QuotaAccount(1, 60)
    account.take(0)
    account.spend(0)
    account.pause(90)
    assert account.next_chance(1) == 90
    account = QuotaAccount(1, 60)
    account.take(0)
    account.spend(0)
    account.pause(30)
    assert account.next_chance(1) == 60


@pytest.mark.parametrize("limit", [1, 300])
def test_the_account_shows_its_state(limit: int) -> None:
    account = QuotaAccount(limit, 60)
    account.take(0)
    assert account.limit == limit
    assert repr(account) == f"<QuotaAccount 1 in flight, 0 spent, of {limit}>"
    account.spend(0)
    assert repr(account) == f"<QuotaAccount 0 in flight, 1 spent, of {limit}>"
