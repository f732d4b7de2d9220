"""Until when the last decision holds, and that the common path calls nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.quota import account as account_module
from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.quota.headers import PROOFS
from genesys_media_async.quota.permit import Decision
from genesys_media_async.quota.shortcut import Shortcut
from tests.quota.permits import taken

if TYPE_CHECKING:
    from types import FrameType

FOREVER = float("inf")


def test_it_opens_ends_earlier_and_closes() -> None:
    shortcut = Shortcut()
    assert shortcut.until == -FOREVER
    shortcut.open(Decision(window=3), until=60.0, up_to=10, window=3)
    shortcut.end_by(70.0)
    assert (shortcut.until, shortcut.up_to, shortcut.window) == (60.0, 10, 3)
    shortcut.end_by(50.0)
    assert shortcut.until == 50.0
    shortcut.close()
    assert shortcut.until == -FOREVER


@pytest.mark.parametrize("limit", [1_000, 1_000_000])
def test_a_plain_success_calls_no_other_module(limit: int) -> None:
    account = QuotaAccount(limit, 60)
    for number in range(PROOFS + 1):
        account.complete(taken(account, number * 0.1), number * 0.1 + 0.05)
    called: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        for now in (2.0, 2.1, 2.2):
            permit = account.try_acquire(now)
            assert permit is not None
            account.complete(permit, now + 0.05)
    finally:
        sys.setprofile(None)
    assert {each for each in called if not each.startswith("<")} == {account_module.__file__}
