"""
The requests and the time that a recording's URL costs, by endpoint.

    python -m benchmarks.sources                   10,000 recordings (some ten seconds of work, hours of virtual time)
    python -m benchmarks.sources --recordings 1000 quicker

One recording for each conversation, 300 requests in 60 s for the token, all on the virtual clock against the simulator.
A batch job takes 0.1 s for each recording, plus or minus half, and several run in parallel; a transcoding takes 2 s,
plus or minus half. A request takes no time.

`recording_batch` and `recording` are this package's endpoints, given the ids of the recordings.

The tutorial is the official recordings downloader: it requests the recording metadata of each conversation, submits a
batch, and polls it every 5 s until all expected results are there. It makes one batch of all recordings, which Genesys
refuses above 100, and retries nothing; here it makes batches of 100, one after the other, and waits after a 429 for as
long as Retry-After says.
https://github.com/MyPureCloud/developercenter-tutorials/tree/master/recordings-downloader
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from genesys_media_async import MediaRetriever, QuotaLimit, Settings, VirtualClock
from genesys_media_async.endpoints import Recording, RecordingBatch
from genesys_media_async.simulator import OrganizationSettings, Quota, Simulator, SimulatorSettings

from .harness.command_line import at_least_one, parser_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.endpoints import Endpoint

JOBS = 8
TUTORIAL_BATCH, TUTORIAL_PAUSE = 100, 5.0
BATCHES = "/api/v2/recording/batchrequests"


@dataclass(frozen=True)
class Cost:
    """The cost of one way; `min_job_seconds` is the time that its jobs take with no gap between them."""

    urls: int
    requests: int
    seconds: float
    min_job_seconds: float | None = None

    @property
    def requests_per_url(self) -> float:
        """Average requests for a URL."""
        return self.requests / max(self.urls, 1)


def simulated(recordings: int, clock: VirtualClock) -> Simulator:
    """Return a simulator whose organisation has so many recordings."""
    organization = OrganizationSettings(
        conversations=recordings, recordings=(1, 1), media=("audio",), two_part_share=0.0
    )
    return Simulator(SimulatorSettings(quota=Quota(limit=300, seconds=60.0), organization=organization), clock=clock)


def retrieved_by(endpoint: Endpoint, recordings: int) -> Cost:
    """Retrieve all recordings by one of the package's endpoints."""
    clock = VirtualClock()
    simulator = simulated(recordings, clock)
    settings = Settings.model_validate(
        {
            "client_id": "demo-client",
            "client_secret": "demo-secret",
            "base_url": simulator.base_url,
            "login_url": simulator.login_url,
            "quota": QuotaLimit(limit=300, seconds=60.0),
        }
    )

    async def main() -> Cost:
        retriever = MediaRetriever(
            settings, endpoint=endpoint, transport=simulator.transport(), clock=clock, rng=random.Random(1)
        )
        ids = (f"{each.conversation_id}/{each.id}" for each in simulator.organization.recordings())
        urls = 0
        async with retriever, retriever.retrieve_many(ids) as results:
            async for result in results:
                urls += result.ok
        jobs = [job.ends_at - job.begins_at for job in simulator.batch_jobs]
        min_job_seconds = shortest_schedule(jobs, JOBS) if jobs else None
        return Cost(urls, simulator.counts.api_requests, clock.monotonic(), min_job_seconds)

    return clock.run(main())


def shortest_schedule(jobs: list[float], parallel: int) -> float:
    """Return how long jobs take, `parallel` at a time, if each is followed by the next at once."""
    free_at = [0.0] * parallel
    for seconds in jobs:
        heapq.heapreplace(free_at, free_at[0] + seconds)
    return max(free_at)


def tutorial(recordings: int) -> Cost:
    """Retrieve all recordings as the official tutorial does."""
    clock = VirtualClock()
    simulator = simulated(recordings, clock)

    async def main() -> Cost:
        async with httpx.AsyncClient(transport=simulator.transport(), base_url=simulator.base_url) as http:
            grant = await http.post(
                "/oauth/token", data={"grant_type": "client_credentials"}, auth=("demo-client", "demo-secret")
            )
            http.headers["authorization"] = f"Bearer {grant.json()['access_token']}"
            found: list[dict[str, str]] = []
            for conversation in simulator.organization.conversations():
                path = f"/api/v2/conversations/{conversation.id}/recordingmetadata"
                metadata = await request_json(clock, http, "GET", path)
                found += [{"conversationId": conversation.id, "recordingId": each["id"]} for each in metadata]
            urls = 0
            for start in range(0, len(found), TUTORIAL_BATCH):
                urls += await run_batch(clock, http, found[start : start + TUTORIAL_BATCH])
        return Cost(urls, simulator.counts.api_requests, clock.monotonic())

    return clock.run(main())


async def run_batch(clock: VirtualClock, http: httpx.AsyncClient, recordings: list[dict[str, str]]) -> int:
    """Submit a batch, poll it to its end, and return how many URLs it has."""
    job = await request_json(clock, http, "POST", BATCHES, {"batchDownloadRequestList": recordings})
    while True:
        await clock.sleep(TUTORIAL_PAUSE)
        status = await request_json(clock, http, "GET", f"{BATCHES}/{job['id']}")
        if status["resultCount"] == status["expectedResultCount"]:
            return sum(1 for result in status["results"] if result["resultUrl"])


async def request_json(
    clock: VirtualClock, http: httpx.AsyncClient, method: str, path: str, body: object = None
) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON of a reply; after a 429, wait and repeat the request."""
    while True:
        reply = await http.request(method, path, json=body)
        if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return reply.raise_for_status().json()
        await clock.sleep(float(reply.headers["retry-after"]) + 1)


def main() -> None:
    """Print the table."""
    parser = parser_of("sources", "The requests and the time that a recording's URL costs, by endpoint.")
    parser.add_argument("--recordings", type=at_least_one, default=10_000, metavar="N")
    count = parser.parse_args().recordings
    print("| source | URLs | requests | requests per URL | time, s | min. job time, s |")
    print("| :-- | --: | --: | --: | --: | --: |")
    ways: dict[str, Callable[[], Cost]] = {
        "`recording_batch`": lambda: retrieved_by(RecordingBatch(jobs=JOBS), count),
        "`recording`, one id per request": lambda: retrieved_by(Recording(), count),
        "official tutorial": lambda: tutorial(count),
    }
    for name, way in ways.items():
        cost = way()
        job_time = "" if cost.min_job_seconds is None else f"{cost.min_job_seconds:,.0f}"
        print(
            f"| {name} | {cost.urls:,} | {cost.requests:,} | {cost.requests_per_url:.3f} "
            f"| {cost.seconds:,.0f} | {job_time} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
