"""Runs of the endpoint `Recording` against the simulator, in virtual time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from genesys_media_async import (
    MediaResult,
    MediaRetriever,
    MemorySink,
    VirtualClock,
)
from genesys_media_async.endpoints import Recording
from genesys_media_async.simulator import (
    Simulator,
    SimulatorSettings,
)
from tests.support.retrievers import collect, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    """One run against the simulator, on virtual time."""

    def __init__(
        self,
        ids: Callable[[Simulator], list[str]],
        *,
        endpoint: Recording | None = None,
        overrides: dict[str, Any] | None = None,
        **simulated: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.simulator = Simulator(SimulatorSettings(**{"quota": None, **simulated}), clock=self.clock)
        self.audit = MemorySink()
        self.ids = ids(self.simulator)
        self.results = self.clock.run(self._run(endpoint or Recording(), overrides or {}))

    async def _run(self, endpoint: Recording, overrides: dict[str, Any]) -> list[MediaResult]:
        retriever = MediaRetriever(
            settings_for(self.simulator, **overrides),
            endpoint=endpoint,
            transport=self.simulator.transport(),
            audit=[self.audit],
            clock=self.clock,
            rng=random.Random(7),
        )
        async with retriever:
            return await collect(retriever, self.ids)


def recordings(simulator: Simulator) -> list[str]:
    return [f"{each.conversation_id}/{each.id}" for each in simulator.organization.recordings()]


def conversations(simulator: Simulator) -> list[str]:
    return [each.id for each in simulator.organization.conversations()]
