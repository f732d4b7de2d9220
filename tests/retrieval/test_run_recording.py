"""A run and its audit trail: what is handed out was recorded before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio

from genesys_media_async import MediaRetriever, MemorySink, VirtualClock
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.events import AttemptAudited
from genesys_media_async.simulator import BatchSettings, Simulator, SimulatorSettings
from genesys_media_async.transports import HttpxTransport
from genesys_media_async.transports.base import MAX_REPLY_SIZE
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genesys_media_async.events import Event
    from genesys_media_async.transports import HttpReply, HttpRequest, Transport


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


def test_the_audit_record_of_a_page_is_written_before_an_id_of_it_is_told():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    audit = SlowSink()

    async def main() -> None:
        until = datetime.fromtimestamp(clock.wall(), UTC)
        retriever = MediaRetriever(settings_for(simulator), transport=simulator.transport(), audit=[audit], clock=clock)
        async with retriever:
            search = retriever.discover((until - timedelta(days=2), until), by="query", look_back_days=0)
            async for _ in search:
                assert len(recorded_in(audit)) == simulator.counts.api_requests

    clock.run(main())
    assert audit.events


class Noted:
    """A transport and a quick sink that note in turn what they do."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.notes: list[str] = []

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        if "/oauth/" not in request.url:
            self.notes.append("sent")
        return await self.transport.exchange(request, timeout=timeout, max_reply_size=max_reply_size)

    async def write(self, events: Sequence[Event]) -> None:
        self.notes += ["written"] * len(events)

    async def aclose(self) -> None: ...


def test_a_worker_sends_its_next_request_before_the_record_of_its_last_one_is_written():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    noted = Noted(HttpxTransport(simulator.transport()))

    async def main() -> None:
        retriever = MediaRetriever(settings_for(simulator), transport=noted, audit=[noted], clock=clock)
        async with retriever, retriever.retrieve_many(["a", "b", "c"], concurrency=1) as run:
            async for _ in run:
                told = noted.notes.count("told")
                assert noted.notes.count("written") > told
                noted.notes.append("told")

    clock.run(main())
    assert noted.notes.index("written") > noted.notes.index("sent", 1)
