"""To look at the state changes nothing."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.quota.headers import Reading
from genesys_media_async.quota.ledger import MAX_STEPS
from genesys_media_async.simulator.quota_models import LATENCIES, quota_window
from tests.quota.permits import taken
from tests.support.quota_world import World

if TYPE_CHECKING:
    from genesys_media_async.quota.permit import Permit


def limit_after_a_refusal(*, looked_at: bool) -> int:
    account = QuotaAccount(10, 60)
    for _ in range(9):
        account.complete(taken(account, 0), 0)
    late = taken(account, 59)
    if looked_at:
        # The nine have returned by now, whether or not anybody looks.
        assert account.state(61).used == 1
    account.reject(late, 61, 2)
    return account.allowed


def test_a_look_at_the_state_before_a_refusal_changes_nothing_that_it_teaches() -> None:
    assert limit_after_a_refusal(looked_at=True) == limit_after_a_refusal(looked_at=False) == 10


def answered_in_a_window_that_a_late_reply_opened(*, looked_at: bool) -> int:
    account = QuotaAccount(3, 5)
    late, refused = taken(account, 0), taken(account, 0)
    account.reject(refused, 0, 6)
    account.complete(late, 6.5)
    first_of_next = taken(account, 6.5)
    if looked_at:
        account.state(14)
    account.complete(first_of_next, 14)
    return taken(account, 14).answered_in_window


def test_a_look_at_the_state_changes_no_window_that_a_late_reply_opens() -> None:
    assert answered_in_a_window_that_a_late_reply_opened(looked_at=True) == 1
    assert answered_in_a_window_that_a_late_reply_opened(looked_at=False) == 1


def used_after_a_stall(*, looked_at: bool) -> int:
    limit, step = MAX_STEPS + 1, 60 / MAX_STEPS
    account = QuotaAccount(limit, 60)
    stalled, first, second = (taken(account, 0) for _ in range(3))
    account.complete(first, 1)
    account.complete(second, 1 + step / 2, Reading(3, limit, 60))
    now = 61 + 1.25 * step
    if looked_at:
        account.state(now)
    account.complete(stalled, now)
    return account.used(now)


def test_a_look_at_the_state_changes_no_step_that_a_stalled_reply_is_charged_to() -> None:
    assert used_after_a_stall(looked_at=True) == used_after_a_stall(looked_at=False) == 1


class Recorded:
    """An account and its decisions; with `looked_at` its state is read before and after each."""

    def __init__(self, account: QuotaAccount, *, looked_at: bool) -> None:
        self.decided: list[object] = []
        self._account = account
        self._looked_at = looked_at

    def _look(self, now: float) -> None:
        if self._looked_at:
            assert self._account.state(now).used == self._account.used(now)

    def try_acquire(self, now: float) -> Permit | None:
        self._look(now)
        permit = self._account.try_acquire(now)
        self.decided.append(permit)
        self._look(now)
        return permit

    def next_attempt_at(self, now: float) -> float:
        self._look(now)
        attempt_at = self._account.next_attempt_at(now)
        self.decided.append(attempt_at)
        return attempt_at

    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._look(now)
        self._account.complete(permit, now, reading)
        self.decided.append(self._account.allowed)
        self._look(now)

    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool:
        self._look(now)
        longer = self._account.reject(permit, now, pause, has_retry_after=has_retry_after)
        self.decided += [longer, self._account.allowed]
        self._look(now)
        return longer


@pytest.mark.parametrize("headers", ["on", "off", "adversarial"])
@pytest.mark.parametrize("kind", ["fixed", "aligned", "sliding", "bucket"])
def test_a_reader_of_the_state_changes_no_run(kind: str, headers: str) -> None:
    for limit, others, workers, latency in product([5, 20, 100], [0.0, 1.0], [3, 12], ["log-normal", "stalling"]):
        runs: list[list[object]] = []
        for looked_at in (False, True):
            world = World(
                quota_window(kind, limit, 5),
                latency=LATENCIES[latency],
                workers=workers,
                requests=200,
                others_rate=others,
                headers=headers,
                limit=limit,
            )
            account = Recorded(QuotaAccount(limit + limit // 5, 5), looked_at=looked_at)
            world.run(account)
            runs.append(account.decided)
        assert runs[0] == runs[1]
