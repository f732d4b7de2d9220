"""A work that ends with what is no `Exception`: the run must not end as if all were done."""

from __future__ import annotations

import pytest

from tests.support.pools import pool_of, run


class Abandon(BaseException):
    """Like those that some frameworks raise to unwind a task."""


def test_it_is_raised_by_the_iteration_or_by_the_end_of_its_block():
    async def work(item: int) -> int:
        if item == 2:
            raise Abandon
        return item

    async def main() -> None:
        with pytest.raises(Abandon):
            async with pool_of(range(5), work, concurrency=1) as results:
                async for _ in results:
                    pass

    run(main)
