"""What the tests of the account share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from genesys_media_async.quota.headers import Reading

if TYPE_CHECKING:
    from genesys_media_async.quota.account import QuotaAccount
    from genesys_media_async.quota.permit import Permit
    from genesys_media_async.quota.unlimited import UnlimitedAccount

NEVER, FOREVER = float("-inf"), float("inf")

READINGS = st.builds(
    Reading,
    *[st.one_of(st.integers(-2, 75), st.sampled_from([10**400, -(10**400)])) for _ in ("count", "allowed", "reset")],
)


def taken(account: QuotaAccount | UnlimitedAccount, now: float) -> Permit:
    permit = account.try_acquire(now)
    assert permit is not None
    return permit


def end(account: QuotaAccount, permit: Permit, now: float, *, sent: bool) -> None:
    if sent:
        account.complete(permit, now)
    else:
        account.cancel(permit)
