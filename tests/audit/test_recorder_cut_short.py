"""Records that nobody waits for, and an end that is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.audit.recorder import AuditRecorder
from genesys_media_async.errors import AuditWriteError
from tests.support.scripted_sink import ScriptedSink, run

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock


def recorder(clock: VirtualClock, *sinks: ScriptedSink) -> AuditRecorder:
    return AuditRecorder(sinks, clock=clock, user_agent="agent/1", then=lambda _: None)


def test_a_record_of_a_cut_off_attempt_that_cannot_be_written_is_an_error_of_the_end():
    async def main(clock: VirtualClock) -> None:
        audit = recorder(clock, ScriptedSink(fails=OSError("disk full")))
        audit.cut_off("document", "d-1", None, 0.5, 1, None)
        with pytest.raises(AuditWriteError, match=r"d-1.*disk full"):
            await audit.aclose()

    run(main)


def test_a_cancelled_end_still_writes_what_waits_and_closes_every_sink():
    class Slow(ScriptedSink):
        ended = False

        async def aclose(self) -> None:
            await super().aclose()
            self.ended = True

    async def main(clock: VirtualClock) -> None:
        sinks = [Slow(takes=2.0, close_takes=1.0) for _ in range(2)]
        audit = recorder(clock, *sinks)
        for number in range(3):
            audit.cut_off("document", f"d-{number}", None, 0.5, 1, None)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await audit.aclose()
        assert [len(sink.events) for sink in sinks] == [3, 3]
        assert [sink.ended for sink in sinks] == [True, True]

    run(main)
