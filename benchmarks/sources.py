"""
What a recording's URL costs in requests and in time, by the way it is asked for.

    python benchmarks/sources.py                   10,000 recordings (some ten seconds of work, hours of virtual time)
    python benchmarks/sources.py --recordings 1000 quicker

One recording for each conversation, 300 requests in 60 s for the token, all on the virtual clock against the simulator.
A batch job takes 0.1 s for each recording, more or less by half, and several run side by side; a transcoding takes 2 s,
more or less by half. A request takes no time.

`recording_batch` and `recording` are this package's endpoints, given the ids of the recordings.

The tutorial's way is that of the official recordings downloader: it asks for the recording metadata of each
conversation, submits a batch, and asks for it every 5 s until it has as many results as it expects. It makes one batch
of whatever there is, which Genesys refuses beyond 100, and repeats nothing; here its batches have 100 and follow one
another, and it waits for as long as a 429 asks.
https://github.com/MyPureCloud/developercenter-tutorials/tree/master/recordings-downloader
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from command_line import at_least_one

from genesys_media_async import MediaRetriever, QuotaLimit, Settings, VirtualClock
from genesys_media_async.endpoints import Recording, RecordingBatch
from genesys_media_async.simulator import OrganizationSettings, Quota, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from genesys_media_async.endpoints import Endpoint

JOBS = 8
TUTORIAL_BATCH, TUTORIAL_PAUSE = 100, 5.0
BATCHES = "/api/v2/recording/batchrequests"


@dataclass(frozen=True)
class Cost:
    """What one way came to; `allowed` is the time that the jobs take if nobody ever waits longer than he must."""

    urls: int
    requests: int
    seconds: float
    allowed: float | None = None

    @property
    def requests_per_url(self) -> float:
        """Requests that a URL cost on average."""
        return self.requests / max(self.urls, 1)


def simulated(recordings: int, clock: VirtualClock) -> Simulator:
    """Return an organisation with so many recordings."""
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
        allowed = least_time(jobs, JOBS) if jobs else None
        return Cost(urls, simulator.counts.api_requests, clock.monotonic(), allowed)

    return clock.run(main())


def least_time(jobs: list[float], side_by_side: int) -> float:
    """Return how long jobs take, so many side by side, if each is followed by the next in the instant it is done."""
    free_at = [0.0] * side_by_side
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
                metadata = await patiently(
                    clock, http, "GET", f"/api/v2/conversations/{conversation.id}/recordingmetadata"
                )
                found += [{"conversationId": conversation.id, "recordingId": each["id"]} for each in metadata]
            urls = 0
            for start in range(0, len(found), TUTORIAL_BATCH):
                batch = {"batchDownloadRequestList": found[start : start + TUTORIAL_BATCH]}
                job = await patiently(clock, http, "POST", BATCHES, batch)
                while True:
                    await clock.sleep(TUTORIAL_PAUSE)
                    status = await patiently(clock, http, "GET", f"{BATCHES}/{job['id']}")
                    if status["resultCount"] == status["expectedResultCount"]:
                        break
                urls += sum(1 for result in status["results"] if result["resultUrl"])
        return Cost(urls, simulator.counts.api_requests, clock.monotonic())

    return clock.run(main())


async def patiently(clock: VirtualClock, http: httpx.AsyncClient, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
    """Return the JSON of a reply, after as many 429s as it takes."""
    while True:
        reply = await http.request(method, path, json=body)
        if reply.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return reply.raise_for_status().json()
        await clock.sleep(float(reply.headers["retry-after"]) + 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a recording's URL costs, by the way it is asked for.")
    parser.add_argument("--recordings", type=at_least_one, default=10_000, metavar="N")
    count = parser.parse_args().recordings
    print("| source | URLs | requests | requests per URL | time, s | what the jobs take, s |")
    print("| :-- | --: | --: | --: | --: | --: |")
    ways: dict[str, Callable[[], Cost]] = {
        "`recording_batch`": lambda: retrieved_by(RecordingBatch(jobs=JOBS), count),
        "`recording`, one id a request": lambda: retrieved_by(Recording(), count),
        "the tutorial's way": lambda: tutorial(count),
    }
    for name, way in ways.items():
        cost = way()
        allowed = "" if cost.allowed is None else f"{cost.allowed:,.0f}"
        print(
            f"| {name} | {cost.urls:,} | {cost.requests:,} | {cost.requests_per_url:.3f} "
            f"| {cost.seconds:,.0f} | {allowed} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
