"""Reused connections that end before a reply: the error for it, and the request that must not meet one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from genesys_media_async.errors import APIConnectionError, StaleConnectionError
from genesys_media_async.transports import HttpxTransport
from tests.support.exchanges import DIRECT, HTTPX, Tls, ask, capped, echo, failure, which
from tests.support.scripted_server import replying_and_closing, resetting, serving

if TYPE_CHECKING:
    from tests.support.exchanges import Carrying
    from tests.support.scripted_server import Server, Talk

pytestmark = pytest.mark.anyio


def after_one_reply(then: Talk) -> Talk:
    """Answer the first request of all, and treat the others like this."""

    async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
        await (echo if len(server.requests) == 1 else then)(server, writer)

    return talk


class TestAnEndBeforeAnyByteOfTheReply:
    @pytest.mark.parametrize("then", [resetting, replying_and_closing(b"")])
    async def test_is_named_if_the_connection_was_reused(self, carrying: Carrying, tls: Tls, then: Talk) -> None:
        async with serving(after_one_reply(then), tls.server) as (server, url), carrying(tls.client) as transport:
            assert (await ask(transport, url)).body == b"/x"
            error = await failure(transport, url)
            assert type(error) is StaleConnectionError
            assert error.code == "stale_connection"
            assert error.retryable
            assert (server.connections, len(server.requests)) == (1, 2)
            # The next connection is new, whose end means more.
            assert type(await failure(transport, url)) is APIConnectionError
            assert (server.connections, len(server.requests)) == (2, 3)

    async def test_is_an_end_like_any_other_if_it_sends_a_part_of_the_reply(self, carrying: Carrying) -> None:
        talk = after_one_reply(replying_and_closing(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"))
        async with serving(talk) as (_, url), carrying() as transport:
            await ask(transport, url)
            assert type(await failure(transport, url)) is APIConnectionError

    async def test_is_not_what_bytes_without_sense_are(self, carrying: Carrying) -> None:
        async with (
            serving(after_one_reply(replying_and_closing(b"no HTTP\r\n\r\n"))) as (_, url),
            carrying() as transport,
        ):
            await ask(transport, url)
            assert type(await failure(transport, url)) is APIConnectionError

    async def test_is_unknown_to_a_client_whose_trace_is_not_ours(self) -> None:
        async def replace_trace(request: httpx.Request) -> None:
            request.extensions.pop("trace")

        async with (
            serving(after_one_reply(resetting)) as (_, url),
            httpx.AsyncClient(event_hooks={"request": [replace_trace]}, trust_env=False) as client,
        ):
            transport = HttpxTransport(client)
            await ask(transport, url)
            assert type(await failure(transport, url)) is APIConnectionError


class TestAFreshRequest:
    async def test_travels_over_a_connection_that_has_carried_no_other(self, carrying: Carrying, kind: str) -> None:
        async with serving(which) as (server, url), carrying() as transport:
            used = [(await ask(transport, url, fresh=fresh)).body for fresh in (False, True, True, False)]
            assert used[3] == used[2]
            # httpx chooses the connection itself.
            assert server.connections == len(set(used)) == (3 if kind == DIRECT else 1)

    async def test_replaces_another_connection_when_there_may_be_no_more(self) -> None:
        async with serving(which) as (server, url), capped(1) as transport:
            asked = [ask(transport, url, fresh=number % 2 == 1) for number in range(6)]
            assert len({reply.body for reply in await asyncio.gather(*asked)}) == server.connections == 4
            assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"

    async def test_does_not_end_the_others(self, carrying: Carrying, kind: str) -> None:
        if kind == HTTPX:
            pytest.skip("httpx chooses the connection itself")
        async with serving(which) as (_, url), carrying() as transport:
            asked = [ask(transport, url, fresh=number % 3 == 0) for number in range(30)]
            assert len(await asyncio.gather(*asked)) == 30
