"""The direct transport under an `httpx.AsyncClient`: it streams both ways and raises httpx's errors."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from genesys_media_async.simulator.server import reset

from genesys_media_async.transports import (
    DirectTransport,
)
from tests.support.exchanges import Tls, capped, echo, pieces, send, turns, until
from tests.support.retrievers import other_tasks
from tests.support.scripted_server import OK, dripping, replying, replying_and_closing, serving, silent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


async def until_whole(transport: DirectTransport) -> None:
    (used,) = transport._pool._usable
    await until(lambda: used.reply.complete)


async def resetting_hard(server: Server, writer: asyncio.StreamWriter) -> None:
    reset(cast("asyncio.Transport", writer.transport))


class TestUnderHttpx:
    @pytest.mark.parametrize(
        ("talk", "timeouts", "kind"),
        [
            (silent, {"read": 0.03}, httpx.ReadTimeout),
            (resetting_hard, {}, httpx.ReadError),
            (replying_and_closing(b""), {}, httpx.RemoteProtocolError),
            (replying(b"nonsense\r\n\r\n"), {}, httpx.RemoteProtocolError),
        ],
    )
    async def test_errors_are_httpxs_own_with_their_request(self, talk: Any, timeouts: Any, kind: Any) -> None:
        async with serving(talk) as (_, url), capped() as transport:
            with pytest.raises(httpx.RequestError) as caught:
                await send(transport, url, timeouts=timeouts)
            assert type(caught.value) is kind
            assert caught.value.request.url == url

    async def test_errors_before_anything_is_sent_are_httpxs_own_too(self) -> None:
        async with serving(silent) as (server, url), capped(1) as transport:
            handshake = url.replace("http://", "https://")
            with pytest.raises(httpx.ConnectTimeout):
                await send(transport, handshake, timeouts={"connect": 0.03})
            with pytest.raises(httpx.UnsupportedProtocol):
                await send(transport, "ftp://a.test/")
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, url, headers={"x": "a\r\nb: c"})
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, url, extensions={"target": b"/a b"})
            waiting = asyncio.create_task(send(transport, url))
            await asyncio.sleep(0.01)
            with pytest.raises(httpx.PoolTimeout):
                await send(transport, url, timeouts={"pool": 0.03})
            waiting.cancel()
            await asyncio.wait([waiting])
            assert len(server.requests) == 1
        async with capped() as transport:
            with pytest.raises(httpx.ConnectError):
                await send(transport, url)

    async def test_a_small_reply_is_whole_at_once(self) -> None:
        async with serving(replying(b"HTTP/1.1 201 Fine\r\nA: 1\r\na: 2\r\ncontent-length: 2\r\n\r\n{}")) as (
            server,
            url,
        ):
            async with capped() as transport:
                await send(transport, url, extensions={"target": b"*"}, content=b"x")
                before = other_tasks()
                response = await send(transport, url, content=b"x")
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
                assert other_tasks() == before
                assert (response.status_code, await response.aread()) == (201, b"{}")
                assert response.headers.get_list("a") == ["1", "2"]
                assert response.extensions == {"http_version": b"HTTP/1.1", "reason_phrase": b"Fine"}
        assert server.requests[0].startswith(b"POST * HTTP/1.1\r\n")

    @pytest.mark.parametrize("headers", [{"content-length": "6"}, {}])
    async def test_a_streamed_request_arrives_whole(self, headers: dict[str, str]) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            for _ in range(2):
                response = await send(transport, url, content=pieces(b"abc", b"", b"def"), headers=headers)
                assert await response.aread() == b"{}"
            assert server.connections == 1
        assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [b"abcdef"] * 2

    @pytest.mark.parametrize("length", ["2", "7"])
    async def test_a_streamed_request_of_another_length_than_it_says_is_not_finished(self, length: str) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, url, content=pieces(b"abc"), headers={"content-length": length})
            await asyncio.wait_for(server.ended.wait(), 2)
            assert server.requests == []

    async def test_a_streamed_request_waits_for_a_server_that_does_not_read(self) -> None:
        produced = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal produced
            while True:
                produced += 1
                yield b"x" * 100_000

        async with serving(silent, early=True) as (_, url), capped() as transport:
            with pytest.raises(httpx.WriteTimeout):
                await send(transport, url, content=endless(), timeouts={"write": 0.05})
            assert produced < 200

    async def test_a_request_at_hand_waits_no_longer_than_allowed_either(self, tls: Tls) -> None:
        async with serving(silent, tls.server, early=True) as (_, url), capped(tls=tls.client) as transport:
            with pytest.raises(httpx.WriteTimeout):
                await send(transport, url, content=b"x" * 20_000_000, timeouts={"write": 0.05, "read": 5})

    async def test_a_long_request_at_hand_arrives_whole(self, tls: Tls) -> None:
        body = bytes(range(256)) * 4_000
        async with serving(replying(OK), tls.server) as (server, url), capped(tls=tls.client) as transport:
            for _ in range(2):
                assert (await send(transport, url, content=body)).status_code == 200
            assert server.connections == 1
        assert [request.partition(b"\r\n\r\n")[2] == body for request in server.requests] == [True] * 2

    async def test_a_request_that_asks_for_it_is_the_last_of_its_connection(self) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            for _ in range(2):
                await send(transport, url, headers=[("connection", "te"), ("connection", "Close")])
            assert server.connections == 2

    async def test_a_streamed_request_stops_when_the_answer_is_there(self) -> None:
        closed = False

        async def endless() -> AsyncIterator[bytes]:
            nonlocal closed
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.001)
            finally:
                closed = True

        async with serving(replying(OK), early=True) as (server, url), capped() as transport:
            response = await send(transport, url, content=endless())
            assert (response.status_code, await response.aread()) == (200, b"{}")
            # httpx puts a generator of its own around it, so it is ended by the loop, a little later.
            gc.collect()
            await turns(5)
            assert closed
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_a_request_body_that_breaks_closes_the_connection(self) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            yield b"x"
            raise ZeroDivisionError

        async with serving(replying(OK)) as (server, url), capped() as transport:
            with pytest.raises(ZeroDivisionError):
                await send(transport, url, content=breaking())
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_a_reply_that_is_not_read_waits_at_its_sender(self) -> None:
        size, written = 60_000_000, 0

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            while written < size:
                writer.write(b"x" * 1_000_000)
                written += 1_000_000
                await writer.drain()

        async with serving(talk) as (server, url), capped() as transport:
            response = await send(transport, url)
            await asyncio.sleep(0.1)
            assert written < size
            received = 0
            async for chunk in response.aiter_raw():
                received += len(chunk)
            assert received == size
            assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
            assert server.open == 1

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_a_reply_that_nobody_reads_leaves_its_connection_fit_for_the_next(
        self, tls: Tls, at_once: bool
    ) -> None:

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            if at_once:
                writer.write(OK)
                return
            writer.write(OK[:-2])
            await asyncio.wait_for(begun.wait(), 5)
            writer.write(OK[-2:])
            begun.clear()

        async with (
            serving(talk, tls.server) as (server, url),
            DirectTransport(ssl_context=tls.client, read_ahead=1) as transport,
        ):
            begun = asyncio.Event()
            for _ in range(2):
                response = await send(transport, url, timeouts={"read": 2})
                begun.set()
                await until_whole(transport)
                await response.aclose()
            assert server.connections == 1

    async def test_a_reply_that_was_closed_takes_nothing_of_the_next(self, tls: Tls) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(OK[:-2])
            await asyncio.wait_for(begun.wait(), 5)
            writer.write(OK[-2:-1])
            await asyncio.wait_for(read.wait(), 5)
            writer.write(OK[-1:])
            begun.clear()
            read.clear()

        async with serving(talk, tls.server) as (server, url), capped(tls=tls.client) as transport:
            begun, read = asyncio.Event(), asyncio.Event()
            bodies: list[Any] = []
            for _ in range(3):
                response = await send(transport, url)
                begun.set()
                body = aiter(cast("httpx.AsyncByteStream", response.stream))
                assert await anext(body) == b"{"
                # The generators of those before are ended, and read on, while this one is under way.
                for number, earlier in enumerate(bodies):
                    if number:
                        with pytest.raises(httpx.StreamClosed):
                            await anext(earlier)
                    else:
                        await earlier.aclose()
                read.set()
                await until_whole(transport)
                await response.aclose()
                bodies.append(body)
            assert server.connections == 1

    async def test_a_reply_in_many_chunks_may_last_for_ever(self, tls: Tls) -> None:

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")
            for _ in range(100):
                for part in (b"\r\n5\r\n", b"hello"):
                    writer.write(part)
                    await turns(3)
            writer.write(b"\r\n0\r\n\r\n")

        async with (
            serving(talk, tls.server) as (_, url),
            DirectTransport(ssl_context=tls.client, max_head_size=200) as transport,
        ):
            assert await (await send(transport, url)).aread() == b"hello" * 100

    async def test_a_reply_that_is_closed_early_closes_its_connection(self) -> None:
        async with serving(dripping) as (server, url), capped() as transport:
            response = await send(transport, url)
            body: Any = response.aiter_raw()
            async with aclosing(body) as chunks:
                assert await anext(chunks) == b"x"
            for _ in range(2):
                await response.aclose()
            await asyncio.wait_for(server.ended.wait(), 2)
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    async def test_a_reply_that_stops_is_not_waited_for_longer_than_allowed(self) -> None:
        async with serving(replying(OK[:-1])) as (_, url), capped() as transport:
            response = await send(transport, url, timeouts={"read": 0.03})
            with pytest.raises(httpx.ReadTimeout) as caught:
                await response.aread()
            assert caught.value.request.url == url

    async def test_a_reply_that_is_cut_off_gives_what_came_and_then_the_error(self) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(OK[:-1])
            await asyncio.sleep(0.01)
            writer.close()

        async with serving(talk) as (_, url), capped() as transport:
            response = await send(transport, url)
            received = b""
            with pytest.raises(httpx.RemoteProtocolError):
                async for chunk in response.aiter_raw():
                    received += chunk
            assert received == b"{"

    async def test_a_client_works_as_it_does_with_httpxs_own(self) -> None:
        async with serving(echo) as (server, url):
            async with httpx.AsyncClient(transport=capped(4), trust_env=False) as client:
                replies = await asyncio.gather(*(client.get(f"{url}{number}") for number in range(40)))
                assert [reply.text for reply in replies] == [f"/x{number}" for number in range(40)]
                async with client.stream("HEAD", url) as response:
                    assert await response.aread() == b""
            assert server.connections == 4
