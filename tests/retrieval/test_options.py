"""The options of one run: completed from the settings, and checked."""

from __future__ import annotations

import pytest

from genesys_media_async import (
    MediaRetriever,
    SettingsError,
)
from genesys_media_async.simulator import Simulator
from tests.support.retrievers import settings_for


@pytest.mark.anyio
async def test_options_that_cannot_work_are_refused_before_a_request():
    async with Simulator() as simulator, MediaRetriever(settings_for(simulator)) as retriever:
        for options in ({"expires_in": 0}, {"expires_in": -1}, {"expires_in": 86_401}, {"concurrency": 0}):
            with pytest.raises(SettingsError):
                retriever.retrieve_many(["a"], **options)  # type: ignore[arg-type]
        with pytest.raises(SettingsError):
            await retriever.retrieve("a", expires_in="abc")  # type: ignore[arg-type]
        for deadline in (float("nan"), "5", None):
            with pytest.raises(SettingsError, match="deadline is"):
                await retriever.retrieve_all(["a"], deadline=deadline)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="rule is None"):
            retriever.retrieve_many(["a"], rule=None)  # type: ignore[arg-type]
        with pytest.raises(SettingsError, match="dedline: unknown option; did you mean deadline"):
            retriever.retrieve_many(["a"], dedline=5)  # type: ignore[call-arg]
        with pytest.raises(SettingsError, match="a single string"):
            await retriever.retrieve_all("abc")
        assert simulator.counts.token_requests == 0
