"""
This package through its public interface, as its README uses it: `retrieve_many`, and a check of each result.

A permit of the quota is paid for each request, which no peer does; the quota is the largest there is, so that nobody
waits. The package's metrics are always on. With `--audit` the audit trail is, too. `--collector seldom` sets the
garbage collector as the package's command does; a library leaves it alone.
"""

from __future__ import annotations

import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx
from shared import CLIENT_ID, CLIENT_SECRET, EXPIRES_IN, Counters, Measurement, Options, Window, run, write_report

from genesys_media_async import JsonLinesSink, MediaRetriever, QuotaLimit, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genesys_media_async import MediaResult

YOUNG_OBJECTS = 50_000
QUOTA = QuotaLimit(limit=10_000_000, seconds=60)


def count(counters: Counters, result: MediaResult) -> None:
    """Count a result, and an error unless it is the answer to its own id."""
    counters.answers += 1
    url = result.url
    if url is None:
        counters.fail(repr(result.error))
    elif f"/recordings/{result.file_id}/" not in url.url or url.file_name != f"{result.file_id}.wav":
        counters.fail("another file's answer")


async def main(options: Options) -> None:
    """Retrieve all ids."""
    settings = Settings.model_validate(
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
    audit = [JsonLinesSink(options.audit)] if options.audit else []
    counters, measurement = Counters(), Measurement()
    window = Window(options) if options.seconds else None

    async def retrieve(ids: Iterator[str]) -> None:
        async with retriever.retrieve_many(ids) as results:
            async for result in results:
                count(counters, result)
                if window is not None:
                    window.count(result.file_id)

    async with AsyncExitStack() as stack:
        if options.rest.transport == "httpx":
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
            retriever = MediaRetriever(settings, transport=client, audit=audit)
        else:
            retriever = MediaRetriever(settings, audit=audit)
        await stack.enter_async_context(retriever)
        if window is not None:
            await retrieve(window.ids())
            window.write_report(counters)
            return
        await retrieve(options.warm_up_ids())
        counters.answers = 0
        with measurement:
            await retrieve(options.ids())
        metrics = retriever.metrics()
    write_report(
        options, measurement, counters, {"latency_p50": metrics.latency_p50, "latency_p99": metrics.latency_p99}
    )


if __name__ == "__main__":
    parsed = Options.parse(transport=("auto", "httpx"), collector=("usual", "seldom"))
    if parsed.rest.collector == "seldom":
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
    run(main(parsed), parsed.loop)
