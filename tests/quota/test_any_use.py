"""Everything that may be done with an account, in any order: no permit is ever lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genesys_media_async.quota.account import QuotaAccount
from tests.quota.permits import FOREVER, READINGS

if TYPE_CHECKING:
    from genesys_media_async.quota.headers import Reading
    from genesys_media_async.quota.permit import Permit

MAX_VAIN_ATTEMPTS = 3
"""An attempt may fail, since its time is computed before what happens until then: so often in a row at most."""


class AnyUseOfAnAccount(RuleBasedStateMachine):
    """Everything that may be done with permits, in any order, with any replies."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.held: list[Permit] = []

    @initialize(limit=st.integers(1, 12), window=st.integers(1, 20))
    def open(self, limit: int, window: int) -> None:
        self.account = QuotaAccount(limit, window)

    @rule(seconds=st.one_of(st.sampled_from([0.0, 0.1, 1.0, 2.0]), st.floats(0, 90)))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 8))
    def try_acquire(self, count: int) -> None:
        for _ in range(count):
            is_now = self.account.next_attempt_at(self.now) == self.now
            permit = self.account.try_acquire(self.now)
            assert (permit is not None) is is_now
            if permit is None:
                break
            self.held.append(permit)

    @rule(number=st.integers(0, 20), reading=st.one_of(st.none(), READINGS))
    def complete(self, number: int, reading: Reading | None) -> None:
        if self.held:
            self.account.complete(self.held.pop(number % len(self.held)), self.now, reading)

    @rule(
        number=st.integers(0, 20), pause=st.one_of(st.integers(0, 70), st.just(86_400)), has_retry_after=st.booleans()
    )
    def reject(self, number: int, pause: int, has_retry_after: bool) -> None:
        if self.held:
            self.account.reject(
                self.held.pop(number % len(self.held)), self.now, pause, has_retry_after=has_retry_after
            )
            assert self.account.paused_until >= self.now + pause

    @rule(number=st.integers(0, 20))
    def cancel(self, number: int) -> None:
        if self.held:
            self.account.cancel(self.held.pop(number % len(self.held)))

    @invariant()
    def the_next_attempt_is_never_in_the_past_and_is_known_while_nothing_is_in_flight(self) -> None:
        attempt_at = self.account.next_attempt_at(self.now)
        assert attempt_at >= self.now
        assert attempt_at < FOREVER or self.held

    @invariant()
    def every_permit_held_is_charged(self) -> None:
        assert self.account.used(self.now) >= len(self.held)
        assert self.account.state(self.now).used == self.account.used(self.now)

    def teardown(self) -> None:
        while self.held:
            self.account.complete(self.held.pop(), self.now)
        in_flight, _, _ = repr(self.account).partition(",")
        assert in_flight == "<QuotaAccount 0 in flight"
        for _ in range(MAX_VAIN_ATTEMPTS + 1):
            self.now = self.account.next_attempt_at(self.now)
            assert self.now < FOREVER
            if self.account.try_acquire(self.now) is not None:
                return
        raise AssertionError("the account returns one time after another, and no permit")


AnyUseOfAnAccount.TestCase.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
TestNoPermitIsEverLost = AnyUseOfAnAccount.TestCase
