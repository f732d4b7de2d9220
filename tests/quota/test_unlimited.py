"""The account of a token without a limit."""

from __future__ import annotations

from genesys_media_async.quota.unlimited import UnlimitedAccount
from tests.quota.permits import taken


def test_a_token_without_a_limit_never_runs_out_of_permits() -> None:
    account = UnlimitedAccount()
    held = [taken(account, 0) for _ in range(10_000)]
    assert account.next_attempt_at(0) == 0
    assert account.state(0).used == 10_000
    for permit in held[:9_998]:
        account.complete(permit, 1)
    account.cancel(held[9_998])
    state = account.state(1)
    assert (state.used, state.allowed, state.used_by_others, state.resets_in, state.paused_for) == (
        1,
        None,
        0,
        None,
        None,
    )
    assert account.allowed is None
    assert repr(account) == "<UnlimitedAccount 1 in flight>"
