"""The reader of an async source: one task from its first item to its end."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from tests.support.pools import double, pool_of, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TestASourceThatHoldsAScopeOpenOverItsYields:
    @pytest.mark.parametrize("end", ["to the end", "stop", "break", "time-out", "exception"])
    def test_is_left_in_the_order_in_which_it_was_entered(self, end: str) -> None:
        left: list[bool] = []

        async def scoped() -> AsyncIterator[int]:
            async with anyio.create_task_group() as task_group:
                with anyio.fail_after(600):
                    try:
                        for item in range(20):
                            yield item
                    finally:
                        await anyio.sleep(0.1)
                        left.append(True)
                task_group.cancel_scope.cancel()

        async def main() -> None:
            got: list[int] = []
            with anyio.move_on_after(5.5 if end == "time-out" else 1_000), suppress(LookupError):
                async with pool_of(scoped(), double, concurrency=2) as results:
                    async for result in results:
                        got.append(result)
                        if len(got) == 4:
                            await anyio.sleep(0.5)
                            if end == "stop":
                                results.stop()
                            elif end == "break":
                                break
                            elif end == "time-out":
                                await anyio.sleep_forever()
                            elif end == "exception":
                                raise LookupError
            assert left == [True]
            assert len(got) == {"to the end": 20, "stop": 6}.get(end, 4)

        run(main)
