"""The book of permits: taken, answered, returned."""

from __future__ import annotations

import pytest

from genesys_media_async.quota.ledger import MAX_STEPS, Ledger
from genesys_media_async.quota.permit import Permit
from genesys_media_async.quota.shortcut import Shortcut

FOREVER = float("inf")


def ledger_with(*answered_at: float, limit: int = 10, in_flight: int = 0) -> Ledger:
    ledger = Ledger(limit, 60.0, Shortcut())
    for at in answered_at:
        ledger.charge(at)
    ledger.answered = len(answered_at)
    ledger.taken = ledger.answered + in_flight
    return ledger


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
    assert [(charge.at, charge.permits) for charge in ledger.charges] == [(2.0, 2), (5.0, 1), (9.0, 1)]
    assert ledger.newest is ledger.charges[-1]


def test_the_charges_of_a_large_limit_share_steps() -> None:
    step = 60.0 / MAX_STEPS
    ledger = ledger_with(0.0, step / 2, step, 3 * step, limit=MAX_STEPS + 1)
    assert [charge.permits for charge in ledger.charges] == [3, 1]
    assert ledger.used(60.0) == 4
    assert ledger.used(60.0 + step) == 1


def test_a_charge_from_a_count_is_made_in_the_past_and_marks_what_rests_on_it() -> None:
    ledger = ledger_with(1.0, 8.0)
    ledger.taken = ledger.answered = 3
    ledger.counted_by = 2.0
    ledger.charge_from_count(30.0)
    assert [charge.at for charge in ledger.charges] == [1.0, 2.0, 8.0]
    assert ledger.forgiven_until == 90.0


def test_a_charge_closes_the_shortcut_when_its_permit_returns() -> None:
    shortcut = Shortcut()
    shortcut.open(until=FOREVER, up_to=10, window=None)
    ledger = Ledger(10, 60.0, shortcut)
    ledger.charge(5.0)
    assert shortcut.until == 65.0
    ledger.charge(3.0)
    assert shortcut.until == 63.0


@pytest.mark.parametrize(("time", "permits"), [(0.0, 3), (1.0, 2), (4.9, 2), (5.0, 0)])
def test_it_counts_what_was_answered_since_a_time(time: float, permits: int) -> None:
    assert ledger_with(1.0, 5.0, 5.0).answered_since(time) == permits


def test_the_highest_count_without_others_is_all_that_had_not_returned_when_the_permit_was_taken() -> None:
    ledger = ledger_with(0.0, 0.0, 30.0)
    ledger.used(61.0)
    permit = Permit(61.0, 0, 3, 3, ledger.returned, is_probe=False)
    ledger.taken += 2
    assert ledger.max_counted(permit) == 3
