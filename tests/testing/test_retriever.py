"""An open retriever against a simulator."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from genesys_media_async import SettingsError
from genesys_media_async.endpoints import Document
from genesys_media_async.simulator import DocumentSettings, Fault, Simulator, SimulatorSettings
from genesys_media_async.testing import simulated_retriever
from tests.support.retrievers import QUICK_RETRIES

pytestmark = pytest.mark.anyio


async def test_one_line_gives_a_retriever_that_works() -> None:
    async with simulated_retriever() as retriever:
        results = await retriever.retrieve_all(["recording-1", "recording-2", "missing-3"])
    assert [result.ok for result in results] == [True, True, False]


async def test_a_given_simulator_runs_as_long_as_the_block_and_keeps_its_counts() -> None:
    simulator = Simulator()
    simulator.script(Fault.SERVER_ERROR_503)
    async with simulated_retriever(simulator, retry=QUICK_RETRIES) as retriever:
        (result,) = await retriever.retrieve_all(["recording-1"])
    assert result.ok
    assert (simulator.counts.api_requests, simulator.counts.api_ok) == (2, 1)
    assert simulator.counts.connections_open == 0
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(simulator.base_url)


async def test_the_retriever_can_have_another_endpoint() -> None:
    simulator = Simulator(SimulatorSettings(document=DocumentSettings(preparing_seconds=0.0)))
    async with simulated_retriever(simulator, endpoint=Document()) as retriever:
        results = await retriever.retrieve_all(simulator.organization.document_ids()[:3])
    assert all(result.ok for result in results)
    assert simulator.counts.by_operation == {"getContentmanagementDocumentContent": 3}


async def test_a_wrong_setting_closes_the_simulator() -> None:
    simulator, wrong = Simulator(), {"expires_in": 0}
    options: Any = wrong
    with pytest.raises(SettingsError, match="expires_in"):
        async with simulated_retriever(simulator, **options):
            pytest.fail("the block was entered")
    async with httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(simulator.base_url)
