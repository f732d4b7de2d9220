"""An endpoint that raises: its run ends with that, and nobody waits for the id for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.endpoints.base import Endpoint
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from genesys_media_async import MediaRequest
    from genesys_media_async.endpoints.base import EndpointContext


class Broken(Endpoint):
    """An endpoint that raises after a second."""

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        await context.clock.sleep(1.0)
        raise ValueError("the endpoint is broken")


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_ids_that_wait_for_one_whose_endpoint_raised_end_with_it(copies: int) -> None:
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)

    async def main() -> None:
        transport = simulator.transport()
        async with MediaRetriever(
            settings_for(simulator), endpoint=Broken(), transport=transport, clock=clock
        ) as retriever:
            async for _ in retriever.retrieve_many(["a"] * copies, concurrency=copies):
                pass

    # If one waited for ever, the clock would report that nobody moves any more.
    with pytest.raises(ValueError, match="the endpoint is broken"):
        clock.run(main())
