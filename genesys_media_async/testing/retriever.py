"""An open retriever against a simulator, as one context manager."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..retrieval.retriever import MediaRetriever
from ..simulator.simulator import Simulator
from .settings import simulator_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import Unpack

    from ..endpoints.base import Endpoint
    from ..settings.settings import SettingsOptions


@asynccontextmanager
async def simulated_retriever(
    simulator: Simulator | None = None, /, *, endpoint: Endpoint | None = None, **overrides: Unpack[SettingsOptions]
) -> AsyncGenerator[MediaRetriever]:
    """
    Yield an open retriever whose requests go to a simulator, which runs as long as the block.

    `simulator` is one that is not started yet, so that you can give it settings, script its faults and read its counts;
    without it a default one is made. `endpoint` is that of the retriever. `overrides` are settings, as in
    `simulator_settings`:

        simulator = Simulator()
        simulator.script(Fault.SERVER_ERROR_503)
        async with simulated_retriever(simulator, concurrency=4) as retriever:
            await retriever.retrieve("recording-1")
        assert simulator.counts.api_requests == 2
    """
    async with (
        simulator or Simulator() as running,
        MediaRetriever(simulator_settings(running, **overrides), endpoint=endpoint) as retriever,
    ):
        yield retriever
