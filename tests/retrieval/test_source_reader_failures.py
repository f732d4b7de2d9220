"""A source that fails while it is closed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.retrieval.source_reader import SourceReader
from tests.support.pools import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.parametrize("fails", [True, False])
def test_a_failure_beside_the_end_of_a_task_group_over_a_yield_is_raised(fails: bool):
    async def until_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            if fails:
                raise LookupError("beside")

    async def source() -> AsyncIterator[int]:
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(until_cancelled)
            await anyio.lowlevel.checkpoint()
            yield 1
            yield 2

    async def main() -> None:
        reader = SourceReader(source())
        reading = asyncio.create_task(reader.run())
        assert await reader.take(1) == (1,)
        reader.stop()
        if not fails:
            await reading
            return
        with pytest.raises(BaseExceptionGroup) as caught:
            await reading
        assert caught.group_contains(LookupError, match="beside")

    run(main)
