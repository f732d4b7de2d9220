"""The end of a session: each part of it has ended when `aclose` returns."""

from __future__ import annotations

import asyncio

import pytest

from genesys_media_async import MediaRetriever
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.exchanges import ask, until
from tests.support.retrievers import other_tasks, settings_for
from tests.support.scripted_sink import ScriptedSink

pytestmark = pytest.mark.anyio


async def test_a_closed_session_has_ended_its_runs_tasks_sinks_and_connections() -> None:
    async with Simulator(SimulatorSettings(quota=None, fault_seconds=300.0)) as simulator:
        simulator.script(None, *[Fault.HANG] * 10)
        audit, metrics = ScriptedSink(), ScriptedSink()
        before = other_tasks()
        retriever = MediaRetriever(settings_for(simulator), audit=[audit], sinks=[metrics])
        await retriever.open()
        session = retriever._session
        assert session is not None
        run = retriever.retrieve_many(["a", "b"], concurrency=1)
        await run.__aenter__()
        assert (await anext(run)).ok
        waiting = asyncio.ensure_future(anext(run))
        await until(lambda: simulator.counts.faults[Fault.HANG] > 0)

        await retriever.aclose()

        with pytest.raises(RuntimeError, match="closed"):
            await waiting
        assert other_tasks() == before
        assert (audit.closed, metrics.closed) == (1, 1)
        assert audit.events
        assert metrics.events
        with pytest.raises(RuntimeError, match="closed"):
            await ask(session.transports.api, simulator.base_url)
