"""
This package through its public interface, as its README shows it: `retrieve_many`, and a check of each result.

Each request takes a permit of the quota, which no peer does; the quota is the largest there is, so that no request
waits. The package's metrics are always on; with `--audit`, so is its audit trail. `--collector seldom` sets the garbage
collector as the package's command does; a library must leave it alone.
"""

from __future__ import annotations

import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx

from benchmarks.peers.driver import run
from benchmarks.peers.measurement import Counters, Measurement, Window, write_report
from benchmarks.peers.options import CLIENT_ID, CLIENT_SECRET, EXPIRES_IN, Options
from genesys_media_async import JsonLinesSink, MediaRetriever, QuotaLimit, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genesys_media_async import MediaResult

YOUNG_OBJECTS = 50_000
QUOTA = QuotaLimit(limit=10_000_000, seconds=60)


def count(counters: Counters, result: MediaResult) -> None:
    """Count a result, and an error unless it is the answer to its own id."""
    counters.answers += 1
    if not result.ok:
        counters.fail(repr(result.error))
    elif f"/recordings/{result.file_id}/" not in result.url or result.file_name != f"{result.file_id}.wav":
        counters.fail("another file's answer")


def settings_for(options: Options) -> Settings:
    """Return the settings that reach the server."""
    return Settings.model_validate(
        {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "base_url": options.url,
            "login_url": options.token_url.removesuffix("/oauth/token"),
            "expires_in": EXPIRES_IN,
            "quota": QUOTA,
            "concurrency": options.in_flight,
        }
    )


async def retrieve(retriever: MediaRetriever, ids: Iterator[str], counters: Counters, window: Window | None) -> None:
    """Retrieve ids and count their results."""
    async with retriever.retrieve_many(ids) as results:
        async for result in results:
            count(counters, result)
            if window is not None:
                window.count(result.file_id)


async def measure(options: Options, retriever: MediaRetriever) -> None:
    """Warm up, measure, and write the report."""
    counters, measurement = Counters(), Measurement()
    if options.seconds:
        window = Window(options)
        await retrieve(retriever, window.ids(), counters, window)
        window.write_report(counters)
        return
    await retrieve(retriever, options.warm_up_ids(), counters, None)
    counters.answers = 0
    with measurement:
        await retrieve(retriever, options.ids(), counters, None)
    metrics = retriever.metrics()
    latencies = {"latency_p50": metrics.latency_p50, "latency_p99": metrics.latency_p99}
    write_report(options, measurement, counters, latencies)


async def main(options: Options) -> None:
    """Retrieve all ids."""
    settings = settings_for(options)
    audit = [JsonLinesSink(options.audit)] if options.audit else []
    async with AsyncExitStack() as stack:
        if options.rest.transport == "httpx":
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
            retriever = MediaRetriever(settings, transport=client, audit=audit)
        else:
            retriever = MediaRetriever(settings, audit=audit)
        await measure(options, await stack.enter_async_context(retriever))


if __name__ == "__main__":
    parsed = Options.parse(transport=("auto", "httpx"), collector=("usual", "seldom"))
    if parsed.rest.collector == "seldom":
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
    run(main, parsed)
