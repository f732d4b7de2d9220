"""The end of the metrics lane, when whoever ends it is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from genesys_media_async.events import TokenRefreshed
from genesys_media_async.sinks.dispatch import Dispatcher
from tests.support.scripted_sink import ScriptedSink, run

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock


class Slow(ScriptedSink):
    """A sink that shows whether its end came to its end."""

    ended = False

    async def aclose(self) -> None:
        await super().aclose()
        self.ended = True


def test_a_cancelled_end_still_writes_what_waits_and_closes_every_sink():
    async def main(clock: VirtualClock) -> None:
        sinks = [Slow(takes=2.0, close_takes=1.0) for _ in range(2)]
        dispatcher = Dispatcher(metrics=sinks)
        for _ in range(3):
            dispatcher.emit(TokenRefreshed(at=clock.wall(), lifetime=1.0, latency=0.0))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await dispatcher.aclose()
        assert [len(sink.events) for sink in sinks] == [3, 3]
        assert [sink.ended for sink in sinks] == [True, True]
        assert dispatcher.dropped == 0

    run(main)
