"""Whatever a server answers: a result in bounded time and memory, and the next id gets its own reply."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

from genesys_media_async import MediaResult, MediaRetriever, RetryPolicy, Settings, TokenRejectedError
from tests.support.hostile_replies import CASES, FIELDS, whole
from tests.support.scripted_server import serving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping

    from tests.support.hostile_replies import Case
    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio

BY_NUMBER = dict(enumerate(CASES))
SLOW = {number: case for number, case in BY_NUMBER.items() if case.slow}
OTHERS = {number: case for number, case in BY_NUMBER.items() if not case.slow}
LARGE = {
    number: case
    for number, case in OTHERS.items()
    if not isinstance(case.behaviour, bytes) or len(case.behaviour) > 15_000
}
MAX_MEMORY = 12_000_000
"""Bytes, with what the server holds and what httpx makes of 20,000 headers."""


async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
    """Behave as the case whose number the id has; to any other id, give its own URL."""
    target = server.requests[-1].split(b" ", 2)[1].decode()
    if target == "/oauth/token":
        writer.write(whole(json.dumps({"access_token": "canary-access-token", "expires_in": 3_600}).encode()))
        return
    file_id = target.split("/")[-2]
    case = BY_NUMBER.get(int(file_id.removeprefix("case-"))) if file_id.startswith("case-") else None
    if case is None:
        writer.write(whole(json.dumps(FIELDS | {"url": f"https://media.example.com/{file_id}"}).encode()))
    elif not isinstance(case.behaviour, bytes):
        await case.behaviour(writer)
    else:
        writer.write(case.behaviour)
        if case.closes:
            await writer.drain()
            writer.close()


@asynccontextmanager
async def retrieving(transport: Literal["direct", "httpx"], timeout: float = 10.0) -> AsyncIterator[MediaRetriever]:
    async with serving(talk) as (_, url):
        origin = f"http://{urlsplit(url).netloc}"
        settings = Settings(
            client_id="client",
            client_secret="canary-client-secret",
            base_url=origin,
            login_url=origin,
            quota=None,
            timeout=timeout,
            outage_timeout=0.0,
            retry=RetryPolicy(max_attempts=1, max_rate_limited=1),
        )
        async with MediaRetriever(settings, transport=transport) as retriever:
            yield retriever


async def outcomes(retriever: MediaRetriever, cases: Mapping[int, Case]) -> dict[str, str]:
    """Return the outcome of each case; after each, another id must get its own reply."""
    found: dict[str, str] = {}
    for number, case in cases.items():
        result = await result_of(retriever, f"case-{number}")
        found[case.name] = "ok" if result.ok else result.error.code
        shown = "" if result.ok else str(result.error)
        assert len(shown) < 1_000, case.name
        assert shown.isprintable() or shown == "", case.name
        await own_reply(retriever, f"after-{number}")
    return found


async def result_of(retriever: MediaRetriever, file_id: str) -> MediaResult:
    results: list[MediaResult] = []
    # A rejected token ends the run, after its results.
    with suppress(TokenRejectedError):
        async for result in retriever.retrieve_many([file_id]):
            results.append(result)
    (result,) = results
    return result


async def own_reply(retriever: MediaRetriever, file_id: str) -> None:
    for _ in range(20):
        result = await result_of(retriever, file_id)
        # On a busy machine, even a good server may be too slow for a short timeout.
        if result.ok or result.error.code != "timeout":
            assert result.ok, result
            assert result.url == f"https://media.example.com/{file_id}"
            return
    raise AssertionError


def expected(cases: Mapping[int, Case], transport: str) -> dict[str, str]:
    return {case.name: case.expected(transport) for case in cases.values()}


@pytest.mark.parametrize("transport", ["direct", "httpx"])
async def test_every_reply_has_its_outcome_and_the_next_id_gets_its_own(transport: Literal["direct", "httpx"]) -> None:
    async with retrieving(transport) as retriever:
        assert await outcomes(retriever, OTHERS) == expected(OTHERS, transport)


@pytest.mark.parametrize("transport", ["direct", "httpx"])
async def test_no_server_is_waited_for_beyond_the_timeout(transport: Literal["direct", "httpx"]) -> None:
    async with retrieving(transport, timeout=0.4) as retriever:
        assert await outcomes(retriever, SLOW) == expected(SLOW, transport)


@pytest.mark.parametrize("transport", ["direct", "httpx"])
async def test_no_reply_takes_much_memory(transport: Literal["direct", "httpx"]) -> None:
    async with retrieving(transport) as retriever:
        for number, case in LARGE.items():
            tracemalloc.start()
            try:
                await result_of(retriever, f"case-{number}")
                assert tracemalloc.get_traced_memory()[1] < MAX_MEMORY, case.name
            finally:
                tracemalloc.stop()


def test_the_table_is_long_and_has_no_name_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 230
