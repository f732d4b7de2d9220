"""Runs over many ids on a virtual clock, without sockets."""

from __future__ import annotations

import random

from genesys_media_async import MediaRetriever, MemorySink, VirtualClock
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.retrievers import collect, settings_for


def ids(count: int) -> list[str]:
    return [f"recording-{number:06}" for number in range(count)]


def run_virtual(
    simulated: SimulatorSettings, count: int, *, script: tuple[Fault | None, ...] = (), **overrides: object
) -> tuple[VirtualClock, Simulator, list, MemorySink, MemorySink]:
    """Retrieve `count` ids on a virtual clock, without sockets."""
    clock = VirtualClock()
    simulator = Simulator(simulated, clock=clock)
    simulator.script(*script)
    audit, events = MemorySink(), MemorySink()

    async def run():
        retriever = MediaRetriever(
            settings_for(simulator, **overrides),
            transport=simulator.transport(),
            audit=[audit],
            sinks=[events],
            clock=clock,
            rng=random.Random(7),
        )
        async with retriever:
            return await collect(retriever, ids(count))

    return clock, simulator, clock.run(run()), audit, events
