"""aiohttp in a hand-written loop: workers that share one iterator, and no other limit on connections."""

from __future__ import annotations

import time

import aiohttp  # type: ignore[import-not-found]
from yarl import URL  # type: ignore[import-not-found]

from benchmarks.peers.driver import measure, run, with_workers
from benchmarks.peers.options import Options
from benchmarks.peers.pipeline import BASIC, FORM, Pipeline, TokenCache


async def main(options: Options) -> None:
    """Retrieve all ids."""
    pipeline = Pipeline(options, f"aiohttp/{aiohttp.__version__}")
    # The workers are the limit; a dummy cookie jar saves each request a lookup in an empty one.
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:

        async def fetch() -> bytes:
            async with session.post(options.token_url, data=FORM, headers={"authorization": BASIC}) as response:
                granted: bytes = await response.read()
                return granted

        tokens = TokenCache(fetch)
        await tokens.get()

        async def ask(file_id: str) -> None:
            # Already encoded, so that aiohttp does not look for characters to quote.
            url, payload = URL(pipeline.url_of(file_id), encoded=True), pipeline.payload(file_id)
            headers = pipeline.headers(await tokens.get())
            sent = time.perf_counter()
            async with session.post(url, data=payload, headers=headers, allow_redirects=False) as response:
                body = await response.read()
            pipeline.finish(
                file_id,
                time.perf_counter() - sent,
                response.status,
                response.headers.get("content-type"),
                response.headers.get("inin-correlation-id"),
                body,
            )

        await measure(options, pipeline, ask, with_workers)


if __name__ == "__main__":
    parsed = Options.parse()
    run(main, parsed)
