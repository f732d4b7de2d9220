"""A work that ends with what is no `Exception`: the iteration must not end as if all were done."""

from __future__ import annotations

import pytest

from tests.support.pools import pool_of, run


class Abandon(BaseException):
    """Like those that some frameworks raise to unwind a task."""


def test_it_is_raised_by_the_iteration():
    async def work(item: int) -> int:
        if item == 2:
            raise Abandon
        return item

    async def main() -> None:
        # Leaving the block raises it too, to whoever did not iterate.
        with pytest.raises(Abandon):
            async with pool_of(range(5), work, concurrency=1) as results:
                with pytest.raises(Abandon):
                    async for _ in results:
                        pass

    run(main)
