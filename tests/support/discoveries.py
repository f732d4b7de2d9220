"""Discovery in virtual time, in a simulated organisation or with scripted replies."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from genesys_media_async import MediaRetriever, QuotaLimit, Settings, VirtualClock
from genesys_media_async.simulator import OrganizationSettings, Simulator, SimulatorSettings
from tests.support.retrievers import QUICK_RETRIES, other_tasks, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


NOW = datetime.fromtimestamp(1_700_000_000, UTC)
DAY = timedelta(days=1)

QUERY = "postAnalyticsConversationsDetailsQuery"
SUBMIT = "postAnalyticsConversationsDetailsJobs"
RESULTS = "getAnalyticsConversationsDetailsJobResults"
AVAILABILITY = "getAnalyticsConversationsDetailsJobsAvailability"


def virtual(
    scenario: Callable[[MediaRetriever, Simulator, VirtualClock], Coroutine[Any, Any, Any]],
    *,
    quota: QuotaLimit | None = None,
    **simulated: Any,
) -> Any:
    """Run a scenario in virtual time, against a simulated organisation of 40 days with 3,000 conversations."""
    clock = VirtualClock()
    organization = OrganizationSettings(conversations=3_000, days=40.0, recordings=(0, 2), queues=3)
    values: dict[str, Any] = {"quota": None, "organization": organization} | simulated
    simulator = Simulator(SimulatorSettings(**values), clock=clock)

    async def main() -> Any:
        configured = settings_for(simulator, quota=quota, retry=QUICK_RETRIES)
        async with MediaRetriever(configured, transport=simulator.transport(), clock=clock) as retriever:
            outcome = await scenario(retriever, simulator, clock)
        assert other_tasks() == set()
        return outcome

    return clock.run(main())


def active(simulator: Simulator, begin: datetime, end: datetime, **traits: object) -> set[str]:
    """The recorded conversations of the simulator that were active in an interval."""
    return {
        each.id
        for each in simulator.organization.conversations()
        if each.recording_count
        and each.started_at < end.timestamp()
        and each.ended_at >= begin.timestamp()
        and all(getattr(each, name) == value for name, value in traits.items())
    }


class Scripted:
    """An analytics API with a scripted body for each last part of a path."""

    def __init__(self, **bodies: object) -> None:
        self.bodies = bodies
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "token", "token_type": "bearer", "expires_in": 3_600})
        self.asked.append(json.loads(request.content or b"{}"))
        body = self.bodies[request.url.path.rpartition("/")[2]]
        return httpx.Response(200, json=body(request) if callable(body) else body)

    def discover(self, searches: list[Any] | None = None, **options: Any) -> list[str]:
        """Return the ids that a search finds; `searches` gets the search itself."""
        clock = VirtualClock()

        async def main() -> list[str]:
            configured = Settings(client_id="a", client_secret="b", quota=None, retry=QUICK_RETRIES)
            async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
                async with MediaRetriever(configured, transport=client, clock=clock) as retriever:
                    search = retriever.discover((NOW - DAY, NOW), **options)
                    if searches is not None:
                        searches.append(search)
                    return [each async for each in search]

        return clock.run(main())
