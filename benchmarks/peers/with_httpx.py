"""
httpx, or httpx2, as most programs use it: one `AsyncClient`, a task for each id, and a semaphore.

With `--transport direct` the same client sends through this package's transport; nothing else differs.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.peers.driver import measure, run, with_semaphore
from benchmarks.peers.options import Options
from benchmarks.peers.pipeline import BASIC, FORM, Pipeline, TokenCache

if TYPE_CHECKING:
    import httpx


def make_client(library: str, transport: str) -> httpx.AsyncClient:
    """Return a client with the library's defaults, except for the timeout."""
    if library == "httpx2":
        import httpx2  # type: ignore[import-not-found]

        # Both libraries have the same interface, as far as it is used here.
        client: httpx.AsyncClient = httpx2.AsyncClient(timeout=30)
        return client
    import httpx

    if transport == "direct":
        from genesys_media_async.transports import DirectTransport

        return httpx.AsyncClient(transport=DirectTransport(), timeout=30)
    return httpx.AsyncClient(timeout=30)


async def main(options: Options) -> None:
    """Retrieve all ids."""
    pipeline = Pipeline(options, options.rest.library)
    async with make_client(options.rest.library, options.rest.transport) as client:

        async def fetch() -> bytes:
            response = await client.post(options.token_url, data=FORM, headers={"authorization": BASIC})
            return response.content

        tokens = TokenCache(fetch)
        await tokens.get()

        async def ask(file_id: str) -> None:
            url, payload = pipeline.url_of(file_id), pipeline.payload(file_id)
            headers = pipeline.headers(await tokens.get())
            sent = time.perf_counter()
            response = await client.post(url, content=payload, headers=headers)
            pipeline.finish(
                file_id,
                time.perf_counter() - sent,
                response.status_code,
                response.headers.get("content-type"),
                response.headers.get("inin-correlation-id"),
                response.content,
            )

        await measure(options, pipeline, ask, with_semaphore)


if __name__ == "__main__":
    parsed = Options.parse(library=("httpx", "httpx2"), transport=("own", "direct"))
    run(main, parsed)
