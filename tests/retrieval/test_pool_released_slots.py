"""Slots that are released while a work only waits are taken back, however many there were."""

from __future__ import annotations

import anyio

from genesys_media_async.retrieval.pool import MAX_RELEASED, Pool
from tests.support.pools import Batches, run


def test_a_run_with_more_waits_than_slots_that_may_be_released_at_once_stays_as_fast():
    count = 3 * MAX_RELEASED

    async def main() -> None:
        async def work(items: tuple[int, ...]) -> None:
            async with pool.slot_released():
                await anyio.sleep(1)
            pool.hand_over(items)

        pool = Pool[int, int, int](range(count), Batches(work), concurrency=4)
        began = anyio.current_time()
        async with pool as results:
            assert len([result async for result in results]) == count
        # A thousand wait at once; one after another they would take thousands of seconds.
        assert anyio.current_time() - began < 10

    run(main)
