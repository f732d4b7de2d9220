"""A retriever: opened, shared and closed."""

from __future__ import annotations

import pytest

from genesys_media_async import (
    MediaRetriever,
)
from genesys_media_async.simulator import Simulator
from tests.support.retrievers import settings_for


@pytest.mark.anyio
async def test_the_error_of_a_closed_retriever_explains_how_to_open_it():
    async with Simulator() as simulator:
        retriever = MediaRetriever(settings_for(simulator))
        with pytest.raises(RuntimeError, match="async with MediaRetriever"):
            await retriever.retrieve("recording-1")
        async with retriever:
            with pytest.raises(RuntimeError, match="open already"):
                await retriever.__aenter__()
            await retriever.retrieve("recording-1")
        with pytest.raises(RuntimeError, match="not open"):
            retriever.retrieve_many(["recording-1"])
