"""The end of a token manager while a refresh is under way."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import TokenUnavailableError
from tests.support.exchanges import turns
from tests.support.login_host import grant, login


@pytest.mark.parametrize("lock_is_held", [False, True])
def test_a_refresh_that_is_cancelled_wakes_those_who_wait_for_its_token(lock_is_held: bool) -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with login(clock, grant(after=100)) as it:
            waiters = [asyncio.create_task(it.tokens.get()) for _ in range(3)]
            await anyio.sleep(1)
            tokens = it.tokens
            if lock_is_held:
                # As by a caller that looks at the token in this very turn.
                await tokens._changed.acquire()
                asyncio.get_running_loop().call_later(1, tokens._changed.release)
        with anyio.fail_after(5):
            outcomes = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(each) for each in outcomes] == [TokenUnavailableError] * 3
        await turns(1)

    clock.run(main())
