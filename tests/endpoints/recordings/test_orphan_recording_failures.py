"""An orphan recording that cannot be had has a result as well."""

from __future__ import annotations

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.endpoints import OrphanRecording
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for


def test_an_unknown_orphan_recording_is_a_failed_result():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def main() -> None:
        retriever = MediaRetriever(
            settings_for(simulator), endpoint=OrphanRecording(), transport=simulator.transport(), clock=clock
        )
        async with retriever:
            (result,) = await retriever.retrieve_all(["no-such-orphan"])
        assert not result.ok
        assert (result.error.code, result.error.status_code) == ("not_found", 404)

    clock.run(main())
