"""The fixed window that the server is thought to count in."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from genesys_media_async.quota.headers import LEAK_MARGIN, Reading
from genesys_media_async.quota.ledger import Ledger
from genesys_media_async.quota.permit import Decision, Permit
from genesys_media_async.quota.shortcut import Shortcut
from genesys_media_async.quota.window import MAX_STRIKES, Window

FOREVER = float("inf")


@dataclass(frozen=True)
class Parts:
    window: Window
    ledger: Ledger
    shortcut: Shortcut


def parts(*answered_at: float, in_flight: int = 0) -> Parts:
    """A window that ends at 60, and the replies so far."""
    shortcut = Shortcut()
    ledger = Ledger(20, 60.0, shortcut)
    for at in answered_at:
        ledger.book(at, at)
    ledger.taken = ledger.answered + in_flight
    window = Window(20, 60.0, ledger, shortcut)
    window.end_at(60.0)
    shortcut.open(Decision(), until=FOREVER, up_to=10, window=0)
    return Parts(window, ledger, shortcut)


def permit(at: float, *, window: int = 0, answered: int = 0) -> Permit:
    return Permit(at, answered, Decision(window))


def test_its_room_is_the_limit_less_own_requests_and_those_of_others() -> None:
    window = parts(1.0, 2.0, in_flight=3).window
    window.used_by_others = 4
    assert (window.own, window.room(20)) == (2, 11)


@pytest.mark.parametrize(("count", "missing"), [(6, 0), (5, 1), (9, -3)])
def test_requests_that_must_be_in_a_count_are_missed(count: int, missing: int) -> None:
    window = parts().window
    window.count_at_opening = 2
    assert window.missing(permit(1.0, answered=3), Reading(count, 20, 30)) == missing


@pytest.mark.parametrize(
    ("reset", "ends_at", "known_reset"), [(60, 60.0, 60), (50, 60.0, 50), (49, 59.0, 49), (70, 60.0, 70)]
)
def test_its_end_is_the_earliest_that_replies_show(reset: int, ends_at: float, known_reset: int) -> None:
    each = parts()
    window, shortcut = each.window, each.shortcut
    assert window.follow(permit(9.0), 10.0, Reading(1, 20, reset), latency=0.1, is_first=False) is None
    assert (window.ends_at, window.known_reset) == (ends_at, known_reset)
    assert (shortcut.until < 0) is (ends_at != 60.0)


def test_a_reply_of_another_window_does_not_move_the_end() -> None:
    window = parts().window
    window.follow(permit(9.0, window=-1), 10.0, Reading(1, 20, 5), latency=0.1, is_first=False)
    assert window.ends_at == 60.0


@pytest.mark.parametrize(("reset", "lag"), [(1, 0), (2, 0), (30, LEAK_MARGIN)])
def test_an_end_that_comes_too_soon_after_the_last_ends_the_belief_in_windows(reset: int, lag: int) -> None:
    window = parts().window
    assert window.follow(permit(61.0), 61.1, Reading(1, 20, reset), latency=0.1, is_first=True) == lag
    assert window.strikes == MAX_STRIKES


def test_the_first_reply_after_the_end_opens_the_next_window() -> None:
    window = parts(50.0, 61.1).window
    window.follow(permit(61.0), 61.1, Reading(3, 20, 61), latency=0.1, is_first=True)
    assert (window.number, window.opened_at, window.ends_at) == (1, 61.1, 122.1)
    assert (window.own, window.count_at_opening, window.used_by_others) == (1, 2, 0)


def test_a_count_that_goes_on_after_the_end_is_a_strike() -> None:
    window = parts(50.0, 61.1).window
    window.follow(permit(61.0), 61.1, Reading(15, 20, 61), latency=0.1, is_first=True)
    assert (window.number, window.strikes, window.ends_at) == (0, 1, 122.1)


@pytest.mark.parametrize(
    ("count", "own"),
    [(0, 1), (2, 2), (3, 3), (9, 3)],
)
def test_what_was_answered_around_the_end_may_be_counted_in_the_next_window(count: int, own: int) -> None:
    window = parts(10.0, 59.5, 59.7, 60.5).window
    window.open_next(61.0, 120.0, latency=0.1, count=count)
    assert window.own == own


def test_windows_that_open_when_they_should_are_counted_and_forgive_strikes() -> None:
    each = parts()
    window, ledger = each.window, each.ledger
    window.strike()
    kept: list[int] = []
    for end in (60.0, 120.0, 180.0, 240.0):
        window.open_next(end, end + 60.0, latency=0.1)
        ledger.answered += 5
        ledger.taken += 5
        kept.append(window.kept)
    # The first has no number, the second was struck, and the others were used.
    assert (kept, window.strikes) == ([0, 0, 1, 2], 0)


def test_a_window_that_is_given_up_has_no_end_and_no_requests() -> None:
    window = parts(1.0, 2.0).window
    window.give_up()
    assert (window.own, window.ends_at, window.strikes, window.kept) == (0, FOREVER, 1, 0)


@pytest.mark.parametrize(("count", "is_news", "others"), [(5, False, 0), (6, True, 1), (9, True, 4)])
def test_what_a_count_has_beyond_our_own_requests_are_others(count: int, is_news: bool, others: int) -> None:
    each = parts(1.0, 2.0, in_flight=3)
    window, shortcut = each.window, each.shortcut
    assert window.find_others(Reading(count, 20, 30)) is is_news
    assert window.used_by_others == others
    assert (shortcut.until < 0) is is_news
