"""`MemorySink`: the last events, in a list."""

from __future__ import annotations

import asyncio

from genesys_media_async.sinks import MemorySink
from tests.support.events import paused


def test_the_last_events_are_kept_in_their_order() -> None:
    async def main() -> None:
        sink = MemorySink(max_events=3)
        await sink.write([paused(number) for number in range(2)])
        await sink.write([paused(number) for number in range(2, 5)])
        await sink.aclose()
        assert list(sink.events) == [paused(2), paused(3), paused(4)]
        assert repr(sink) == "<MemorySink with 3 events>"

    asyncio.run(main())
