"""What replies have taught, part by part: the room, and the limit in force."""

from __future__ import annotations

import pytest

from genesys_media_async.quota.evidence import Evidence
from genesys_media_async.quota.headers import PROOFS, HeaderKind, Reading
from genesys_media_async.quota.ledger import Ledger
from genesys_media_async.quota.permit import Decision, Permit
from genesys_media_async.quota.shortcut import Shortcut

FOREVER = float("inf")
SHORT, LONG = 2.0, 31.0


class Replies:
    """Evidence from replies that come one at a time, a tenth of a second apart."""

    def __init__(self, limit: int = 100) -> None:
        self.now = 0.0
        shortcut = Shortcut()
        self.ledger = Ledger(limit, 60.0, shortcut)
        self.evidence = Evidence(limit, 60.0, self.ledger, shortcut)

    @property
    def kind(self) -> HeaderKind:
        return self.evidence.headers.kind

    def permit(self, *, is_probe: bool = False) -> Permit:
        ledger, window = self.ledger, self.evidence.window
        permit = Permit(
            self.now,
            ledger.answered,
            Decision(window.number, window.answered_before, ledger.returned, is_probe),
        )
        ledger.taken += 1
        self.now += 0.1
        return permit

    def answer(self, count: int | None = None, *, allowed: int = 100, reset: int = 60) -> None:
        permit = self.permit()
        self.ledger.book(permit.taken_at, self.now)
        reading = None if count is None else Reading(count, allowed, reset)
        self.evidence.learn(permit, self.now, reading, latency=0.1)

    def refuse(self, pause: float, *, has_retry_after: bool = True, is_probe: bool = False) -> None:
        permit = self.permit(is_probe=is_probe)
        self.ledger.taken -= 1
        self.evidence.learn_from_refusal(
            permit, self.now, paused_until=self.now + pause, has_retry_after=has_retry_after
        )


@pytest.fixture
def replies() -> Replies:
    return Replies()


def test_headers_that_agree_ten_times_show_a_window(replies: Replies) -> None:
    for number in range(1, PROOFS):
        replies.answer(number)
    assert not replies.evidence.follows_window()
    replies.answer(PROOFS)
    assert replies.evidence.follows_window()
    assert replies.evidence.room(replies.now) == 90


def test_headers_show_others_and_call_for_care(replies: Replies) -> None:
    for number in range(1, PROOFS + 1):
        replies.answer(number)
    replies.answer(PROOFS + 6)
    assert replies.evidence.window.used_by_others == 5
    assert replies.evidence.caution.until > replies.now
    assert replies.evidence.room(replies.now) == 84


def test_a_lower_limit_in_the_headers_is_in_force_once_they_are_proven(replies: Replies) -> None:
    for number in range(1, PROOFS):
        replies.answer(number, allowed=40)
    assert replies.evidence.allowed == 100
    replies.answer(PROOFS, allowed=40)
    assert replies.evidence.allowed == 40


@pytest.mark.parametrize(
    ("count", "allowed", "reset"), [(0, 100, 60), (101, 100, 60), (-1, 100, 60), (1, 100, -1), (1, 100, 63)]
)
def test_headers_that_cannot_be_are_not_believed_again(replies: Replies, count: int, allowed: int, reset: int) -> None:
    replies.answer(count, allowed=allowed, reset=reset)
    assert replies.kind is HeaderKind.BROKEN


def test_a_count_that_misses_a_few_requests_is_no_windows(replies: Replies) -> None:
    for number in (1, 2, 3, 3):
        replies.answer(number)
    assert replies.kind is HeaderKind.LEAKY


def test_a_count_that_misses_too_many_requests_is_not_believed_again(replies: Replies) -> None:
    for _ in range(PROOFS):
        replies.answer(1)
    assert replies.kind is HeaderKind.BROKEN


def test_headers_that_vanish_are_not_believed_again(replies: Replies) -> None:
    for number in range(1, PROOFS + 1):
        replies.answer(number)
    for _ in range(PROOFS):
        assert replies.evidence.headers.is_proven
        replies.answer()
    assert not replies.evidence.headers.is_proven
    assert replies.evidence.room(replies.now) == 100 - 2 * PROOFS


def test_a_refusal_late_in_a_window_of_our_own_lowers_the_limit_and_shows_the_end(replies: Replies) -> None:
    for _ in range(80):
        replies.answer()
    replies.now = 30.0
    replies.refuse(LONG)
    assert replies.evidence.allowed == 76
    assert replies.evidence.window.ends_at == pytest.approx(61.1)
    assert replies.evidence.follows_window()


def test_one_refusal_out_of_turn_lowers_nothing_and_a_second_soon_after_does(replies: Replies) -> None:
    for _ in range(20):
        replies.answer()
    replies.now = 30.0
    replies.refuse(15.0)
    assert replies.evidence.allowed == 100
    assert replies.evidence.window.ends_at == pytest.approx(45.1)
    replies.now = 40.0
    replies.refuse(5.0)
    assert replies.evidence.allowed == 19


def test_a_refusal_whose_pause_ends_elsewhere_is_a_strike_and_no_window_is_known(replies: Replies) -> None:
    for _ in range(20):
        replies.answer()
    replies.now = 30.0
    replies.refuse(15.0)
    replies.refuse(SHORT, has_retry_after=False)
    assert not replies.evidence.follows_window()
    assert (replies.evidence.window.strikes, replies.evidence.window.ends_at) == (1, FOREVER)


def test_a_refused_probe_moves_the_end_and_is_a_strike_only_if_the_pause_is_long(replies: Replies) -> None:
    replies.refuse(SHORT, is_probe=True)
    assert replies.evidence.window.strikes == 0
    assert replies.evidence.window.ends_at == pytest.approx(2.1)
    replies.refuse(LONG, is_probe=True)
    assert replies.evidence.window.strikes == 1
    assert replies.evidence.window.ends_at == pytest.approx(31.2)


def test_without_evidence_the_room_is_what_is_safe(replies: Replies) -> None:
    replies.answer()
    replies.permit()
    assert replies.evidence.room(replies.now) == 98
    assert replies.evidence.polls_from(replies.now) == FOREVER
