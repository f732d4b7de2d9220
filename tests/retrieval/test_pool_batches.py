"""Work of a pool that gets several items, hands over several results, or releases its slot."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.retrieval.pool import Pool
from tests.support.pools import Batches, Source, run

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestWorkThatReleasesItsSlot:
    @given(
        seed=st.integers(0, 10_000),
        total=st.integers(1, 40),
        concurrency=st.integers(1, 6),
        batch_size=st.sampled_from([1, 3]),
        is_async=st.booleans(),
    )
    @settings(deadline=None, max_examples=60)
    def test_all_its_results_come_to_a_consumer_of_any_speed(
        self, seed: int, total: int, concurrency: int, batch_size: int, is_async: bool
    ) -> None:
        rng = random.Random(seed)
        handed_over: list[int] = []

        async def work(batch: tuple[int, ...]) -> None:
            for item in batch:
                if rng.random() < 0.7:
                    async with pool.slot_released():
                        await anyio.sleep(rng.choice([1, 1, 5]))
                for _ in range(rng.choice([0, 1, 1, 3])):
                    handed_over.append(item)
                    pool.hand_over([item])

        source = Source(range(total))
        pool = Pool[int, int, int](
            source() if is_async else range(total), Batches(work), concurrency=concurrency, batch_size=batch_size
        )

        async def main() -> None:
            got: list[int] = []
            async with pool as results:
                async for result in results:
                    got.append(result)
                    await anyio.sleep(rng.choice([0, 0, 0.3, 10]))
            assert sorted(got) == sorted(handed_over)

        run(main)


def test_an_exception_of_the_input_comes_after_the_incomplete_batch() -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise ConnectionError("the list of ids broke off")

    async def main() -> None:
        got: list[int] = []

        async def work(batch: tuple[int, ...]) -> None:
            for item in batch:
                pool.hand_over([item])

        pool = Pool[int, int, int](broken(), Batches(work), concurrency=1, batch_size=3)
        with pytest.raises(ConnectionError, match="broke off"):
            async with pool as results:
                async for result in results:
                    got.append(result)
        assert got == [0, 1, 2, 3, 4]

    run(main)
