"""The newest count, where no window ends."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from genesys_media_async.quota.count import POLL_INTERVAL, SIGNS, Count
from genesys_media_async.quota.headers import LEAK_MARGIN, Reading
from genesys_media_async.quota.ledger import Ledger
from genesys_media_async.quota.permit import Decision, Permit
from genesys_media_async.quota.shortcut import Shortcut

FOREVER = float("inf")


@dataclass(frozen=True)
class Parts:
    count: Count
    ledger: Ledger
    shortcut: Shortcut


def parts(*, taken: int) -> Parts:
    shortcut = Shortcut()
    ledger = Ledger(10, 60.0, shortcut)
    ledger.taken = ledger.answered = taken
    return Parts(Count(10, 60.0, ledger, shortcut), ledger, shortcut)


def read(count: Count, used: int, *, at: float = 1.0, answered: int = 4, is_careful: bool = False) -> bool:
    permit = Permit(at, answered)
    return count.read(permit, at + 0.1, Reading(used, 10, 30), allowed=10, is_careful=is_careful)


@pytest.mark.parametrize(("used", "room"), [(5, 5), (9, 1), (10, 0), (1, 9)])
def test_the_room_is_what_the_count_leaves(used: int, room: int) -> None:
    count = parts(taken=5).count
    read(count, used)
    assert count.room(10) == room


def test_before_the_first_count_the_room_is_as_small_as_can_be() -> None:
    assert parts(taken=5).count.room(10) == -10


def test_a_lower_count_of_permits_counts_only_while_careful_and_closes_the_shortcut() -> None:
    each = parts(taken=5)
    count, shortcut = each.count, each.shortcut
    read(count, 5)
    shortcut.open(Decision(), until=100.0, up_to=10, window=None)
    read(count, 7, at=2.0)
    assert (count.room(10), shortcut.until) == (5, 100.0)
    read(count, 7, at=3.0, is_careful=True)
    assert count.room(10) == 3
    assert shortcut.until < 0


def test_a_reply_that_was_overtaken_is_not_read() -> None:
    count = parts(taken=5).count
    read(count, 5, at=2.0)
    read(count, 1, at=1.0)
    assert count.room(10) == 5


def test_three_counts_in_a_row_above_our_own_are_a_sign_of_others() -> None:
    count = parts(taken=5).count
    signs = [read(count, used, at=float(at)) for at, used in enumerate([6, 6, 5, 6, 6, 6, 6])]
    assert signs == [False] * 5 + [True] * 2
    assert SIGNS == 3


@pytest.mark.parametrize(
    ("room", "lag", "is_careful", "returned", "after"),
    [
        (LEAK_MARGIN - 1, LEAK_MARGIN, False, 0, POLL_INTERVAL),
        (LEAK_MARGIN - 2, LEAK_MARGIN, False, 0, FOREVER),
        (LEAK_MARGIN - 1, 0, False, 0, FOREVER),
        (LEAK_MARGIN - 1, LEAK_MARGIN, True, 1, -FOREVER),
        (LEAK_MARGIN - 2, LEAK_MARGIN, True, 1, 12.0),
        (LEAK_MARGIN - 2, LEAK_MARGIN, False, 1, FOREVER),
    ],
)
def test_it_polls_a_second_after_the_last_count_or_when_a_permit_returned(
    room: int, lag: int, is_careful: bool, returned: int, after: float
) -> None:
    each = parts(taken=5)
    count, ledger = each.count, each.ledger
    read(count, 10 - room)
    count.lag = lag
    ledger.returned += returned
    assert count.polls_from(is_careful=is_careful) == pytest.approx(1.1 + after)


def test_after_a_refusal_there_is_room_for_one_poll() -> None:
    each = parts(taken=5)
    count, ledger = each.count, each.ledger
    read(count, 1)
    count.leave_room_for_a_poll(40.0)
    assert count.room(10) == LEAK_MARGIN - 1
    assert count.polls_from(is_careful=False) == 40.0 + POLL_INTERVAL
    ledger.taken += 1
    assert count.polls_from(is_careful=False) == FOREVER
