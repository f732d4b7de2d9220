"""The book of permits: taken, answered, returned."""

from __future__ import annotations

from itertools import pairwise

import pytest

from genesys_media_async.quota.ledger import MAX_STEPS, Ledger
from genesys_media_async.quota.permit import Decision, Permit
from genesys_media_async.quota.shortcut import Shortcut

FOREVER = float("inf")


def ledger_with(*answered_at: float, limit: int = 10, in_flight: int = 0) -> Ledger:
    ledger = Ledger(limit, 60.0, Shortcut())
    for at in answered_at:
        ledger.book(at, at)
    ledger.taken = ledger.answered + in_flight
    return ledger


def charges_of(ledger: Ledger) -> list[tuple[float, int]]:
    """When each charge was made, and of how many permits it is."""
    answered = [*(charge.answered_before for charge in ledger.charges), ledger.answered]
    permits = [after - before for before, after in pairwise(answered)]
    return list(zip((charge.at for charge in ledger.charges), permits, strict=True))


@pytest.mark.parametrize(
    ("now", "used", "next_return"), [(0.0, 4, 60.0), (59.9, 4, 60.0), (60.0, 3, 61.0), (61.0, 1, FOREVER)]
)
def test_a_permit_returns_a_window_after_its_reply(now: float, used: int, next_return: float) -> None:
    ledger = ledger_with(0.0, 1.0, 1.0, in_flight=1)
    assert ledger.used(now) == used
    assert ledger.next_return == next_return
    assert (ledger.in_flight, ledger.charged) == (1, used - 1)


def test_charges_are_kept_in_order_whatever_order_they_come_in() -> None:
    ledger = ledger_with(5.0, 2.0, 9.0, 2.0)
    assert charges_of(ledger) == [(2.0, 2), (5.0, 1), (9.0, 1)]


def test_the_charges_of_a_large_limit_share_steps() -> None:
    step = 60.0 / MAX_STEPS
    ledger = ledger_with(0.0, step / 2, step, 3 * step, limit=MAX_STEPS + 1)
    assert [permits for _, permits in charges_of(ledger)] == [3, 1]
    assert ledger.used(60.0) == 4
    assert ledger.used(60.0 + step) == 1


def test_a_charge_from_a_count_is_made_in_the_past_and_marks_what_rests_on_it() -> None:
    ledger = ledger_with(1.0, 8.0, in_flight=1)
    ledger.note_counted(2.0)
    ledger.book(1.5, 30.0)
    assert charges_of(ledger) == [(1.0, 1), (2.0, 1), (8.0, 1)]
    assert ledger.forgiven_until == 90.0


def test_what_rests_on_a_count_needs_a_decision_of_its_own() -> None:
    shortcut = Shortcut()
    ledger = Ledger(10, 60.0, shortcut)
    ledger.note_counted(2.0)
    shortcut.open(Decision(), until=FOREVER, up_to=10, window=None)
    ledger.book(1.0, 30.0)
    assert shortcut.until == -FOREVER
    shortcut.open(Decision(rests_on_headers=True), until=50.0, up_to=10, window=None)
    ledger.book(1.0, 31.0)
    assert shortcut.until == 50.0


def test_a_reply_is_plain_until_a_step_later_unless_a_count_may_show_that_it_was_counted_before() -> None:
    step = 60.0 / MAX_STEPS
    ledger = ledger_with(1.0, limit=MAX_STEPS + 1)
    assert ledger.plain_until == 1.0 + step
    ledger.used(1.0 + step + 60.0)
    assert ledger.plain_until == -FOREVER
    ledger.book(100.0, 100.0)
    ledger.note_counted(100.0)
    ledger.book(100.0, 101.0)
    assert ledger.plain_until == -FOREVER


def test_a_charge_closes_the_shortcut_when_its_permit_returns() -> None:
    shortcut = Shortcut()
    shortcut.open(Decision(), until=FOREVER, up_to=10, window=None)
    ledger = Ledger(10, 60.0, shortcut)
    ledger.book(5.0, 5.0)
    assert shortcut.until == 65.0
    ledger.book(3.0, 3.0)
    assert shortcut.until == 63.0


@pytest.mark.parametrize(("time", "permits"), [(0.0, 3), (1.0, 2), (4.9, 2), (5.0, 0)])
def test_it_counts_what_was_answered_since_a_time(time: float, permits: int) -> None:
    assert ledger_with(1.0, 5.0, 5.0).answered_since(time) == permits


def test_the_highest_count_without_others_is_all_that_had_not_returned_when_the_permit_was_taken() -> None:
    ledger = ledger_with(0.0, 0.0, 30.0)
    ledger.used(61.0)
    permit = Permit(61.0, 3, Decision(returned=ledger.returned))
    ledger.taken += 2
    assert ledger.max_counted(permit) == 3
