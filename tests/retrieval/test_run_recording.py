"""A run and its audit trail: what is handed out was recorded before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from genesys_media_async import MediaRetriever, MemorySink, VirtualClock
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import BatchSettings, Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.events import Event


class SlowSink(MemorySink):
    """A sink that takes three seconds for each batch, and shows only what it has written."""

    async def write(self, events: Sequence[Event]) -> None:
        await anyio.sleep(3)
        await super().write(events)


def recorded_in(audit: SlowSink) -> list[str]:
    return [event.file_id for event in audit.events if isinstance(event, AttemptAudited)]


def test_the_audit_record_of_a_medium_is_written_before_anybody_is_told():
    clock = VirtualClock()
    batch = BatchSettings(seconds_per_recording=0.0)
    simulator = Simulator(SimulatorSettings(quota=None, batch=batch), clock=clock)
    conversations = [each.id for each in simulator.organization.conversations() if each.recording_count][:3]
    audit = SlowSink()

    async def main() -> list[str | None]:
        told: list[str | None] = []
        retriever = MediaRetriever(
            settings_for(simulator),
            endpoint=RecordingBatch(),
            transport=simulator.transport(),
            audit=[audit],
            clock=clock,
        )
        async with retriever, retriever.retrieve_many(conversations) as run:
            async for result in run:
                told.append(result.media_id)
                assert result.media_id in recorded_in(audit)
        return told

    assert len(clock.run(main())) >= len(conversations)


def test_the_audit_record_of_a_refused_id_is_written_before_anybody_is_told():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    audit = SlowSink()

    async def main() -> None:
        retriever = MediaRetriever(settings_for(simulator), transport=simulator.transport(), audit=[audit], clock=clock)
        async with retriever:
            (result,) = await retriever.retrieve_all(["no id"])
            assert not result.ok
            assert recorded_in(audit) == ["no id"]

    clock.run(main())
