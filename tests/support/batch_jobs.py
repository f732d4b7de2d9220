"""Batch download jobs of a simulator, submitted and polled over httpx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genesys_media_async.simulator import BatchSettings, OrganizationSettings

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.simulator import Simulator

BATCH = "/api/v2/recording/batchrequests"
STEADY = BatchSettings(seconds_per_recording=1.0, spread=0.0)
ONE_EACH = OrganizationSettings(recordings=(1, 1), media=("audio",), two_part_share=0.0)


async def submit(http: httpx.AsyncClient, *items: object) -> httpx.Response:
    listed = [{"conversationId": item} if isinstance(item, str) else item for item in items]
    return await http.post(BATCH, json={"batchDownloadRequestList": listed})


async def status(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    reply = await http.get(f"{BATCH}/{job_id}")
    assert reply.status_code == 200
    job: dict[str, Any] = reply.json()
    return job


async def finished(http: httpx.AsyncClient, clock: VirtualClock, *items: object) -> dict[str, Any]:
    """Submit a batch and return its job after more time than any test lets it take."""
    job_id = (await submit(http, *items)).json()["id"]
    await clock.sleep(1000.0)
    return await status(http, job_id)


def ids_of(simulator: Simulator, count: int) -> list[str]:
    return [simulator.organization.conversation_at(index).id for index in range(count)]
