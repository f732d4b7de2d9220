"""How connections are lent, kept and closed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import trustme

from genesys_media_async.errors import APIConnectionError, APITimeoutError, ConnectError
from genesys_media_async.transports import DirectTransport
from tests.support.exchanges import Tls, ask, capped, echo, failure, send, turns, until, which
from tests.support.scripted_server import OK, replying, server_tls, serving, silent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from tests.support.exchanges import NewLoop

pytestmark = pytest.mark.anyio


class TestConnections:
    async def test_the_one_used_last_is_used_next(self) -> None:
        async with serving(which) as (_, url), capped() as transport:
            first = asyncio.create_task(ask(transport, url))
            await asyncio.sleep(0.002)
            second = asyncio.create_task(ask(transport, url))
            used = [(await first).body, (await second).body]
            assert used[0] != used[1]
            assert [(await ask(transport, url)).body for _ in range(3)] == [used[1]] * 3
            assert repr(transport) == "<DirectTransport: 2 connections, 2 idle, 0 in use>"
            assert (transport.requests, transport.connections_opened, transport.reused) == (5, 2, 3)

    async def test_are_never_more_than_allowed_and_given_in_the_order_of_asking(self) -> None:
        order: list[int] = []

        async def one(number: int) -> None:
            await ask(transport, url)
            order.append(number)

        async with serving(echo) as (server, url), capped(1) as transport:
            await asyncio.gather(*(one(number) for number in range(20)))
            assert server.connections == 1
        assert order == list(range(20))

    async def test_at_rest_make_room_for_another_origin(self) -> None:
        async with serving(echo) as (first, one), serving(echo) as (second, other), capped(1) as transport:
            for _ in range(3):
                await asyncio.gather(ask(transport, one), ask(transport, other))
            assert (first.connections, second.connections) == (3, 3)

    @pytest.mark.parametrize(
        "transport",
        [
            lambda: capped(max_keepalive_connections=0),
            lambda: capped(keepalive_expiry=0),
            lambda: DirectTransport(max_lifetime=0),
        ],
    )
    async def test_are_not_kept_where_they_must_not_be(self, transport: Any) -> None:
        async with serving(echo) as (server, url), transport() as transport:
            for _ in range(3):
                await ask(transport, url)
            assert server.connections == 3

    async def test_rest_in_no_greater_number_than_allowed(self) -> None:
        async with serving(which) as (_, url), capped(max_keepalive_connections=2) as transport:
            await asyncio.gather(*(ask(transport, url) for _ in range(6)))
            assert repr(transport) == "<DirectTransport: 2 connections, 2 idle, 0 in use>"

    async def test_are_closed_when_they_rested_for_too_long(self) -> None:
        async with serving(echo) as (server, url), capped(keepalive_expiry=0.05) as transport:
            await ask(transport, url)
            assert server.open == 1
            await asyncio.wait_for(server.ended.wait(), 2)
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    @pytest.mark.parametrize("method", ["POST", "HEAD"])
    async def test_are_closed_at_rest_when_they_grew_too_old(self, method: str) -> None:
        async with serving(replying(OK[:-2] if method == "HEAD" else OK)) as (server, url):
            async with DirectTransport(max_lifetime=0.1) as transport:
                for _ in range(2):
                    await ask(transport, url, method=method, body=b"")
                assert server.connections == server.open == 1
                await asyncio.wait_for(server.ended.wait(), 2)
                assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    async def test_are_waited_for_no_longer_than_allowed(self) -> None:
        async with serving(silent) as (server, url), capped(1) as transport:
            first = asyncio.create_task(ask(transport, url))
            await asyncio.sleep(0.01)
            error = await failure(transport, url, timeout=0.05)
            assert type(error) is ConnectError
            first.cancel()
            await asyncio.wait([first])
            assert len(server.requests) == 1

    async def test_all_have_their_deadlines_looked_after(self) -> None:
        async with serving(silent) as (_, url), capped() as transport:
            errors = await asyncio.gather(
                *(ask(transport, url, timeout=0.02 + number / 1_000) for number in range(50)), return_exceptions=True
            )
            assert {type(error) for error in errors} <= {APITimeoutError, ConnectError}
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"


@contextmanager
def sockets_left_open() -> Iterator[None]:
    """A loop that is closed does not close its sockets; the collector does, whenever it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@asynccontextmanager
async def answering(*parts: bytes) -> AsyncIterator[str]:
    """Answer whatever comes, without a task that a loop's end would cancel."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            loop = asyncio.get_running_loop()
            for number, part in enumerate(parts):
                loop.call_later(number * 0.01, self.transport.write, part)

    listening = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    listening.close()


async def until_whole(transport: DirectTransport) -> None:
    (used,) = transport._pool._usable
    await until(lambda: used.reply.complete)


class TestClosing:
    async def test_fails_what_is_under_way_and_what_waits(self) -> None:
        async with serving(silent) as (server, url):
            transport = capped(1)
            calls = [asyncio.create_task(ask(transport, url)) for _ in range(3)]
            await asyncio.sleep(0.02)
            await transport.aclose()
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in errors] == [APIConnectionError, ConnectError, ConnectError]
            with pytest.raises(RuntimeError, match="closed"):
                await ask(transport, url)
            await transport.aclose()
            assert len(server.requests) == 1

    async def test_by_two_at_once_takes_neither_long(self, tls: Tls) -> None:
        async with serving(echo, tls.server) as (_, url):
            transport = capped(tls=tls.client)
            await ask(transport, url)
            async with asyncio.timeout(1):
                await asyncio.gather(transport.aclose(), transport.aclose())

    async def test_says_goodbye_over_tls(self) -> None:
        authority = trustme.CA()
        context = httpx.create_ssl_context()
        authority.configure_trust(context)
        async with serving(echo, server_tls(authority)) as (server, url):
            async with DirectTransport(ssl_context=context) as transport:
                await ask(transport, url)
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_is_not_needed_for_a_loop_that_is_closed(self, new_loop: NewLoop) -> None:
        transport = capped(1)

        async def one() -> None:
            async with answering(OK) as url:
                await ask(transport, url)

        def in_loops_of_its_own() -> None:
            for _ in range(2):
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    runner.run(one())

        with sockets_left_open():
            await asyncio.to_thread(in_loops_of_its_own)
            await transport.aclose()

    async def test_of_a_loop_with_calls_under_way_leaves_the_next_loop_its_connections(self, new_loop: NewLoop) -> None:
        transport = capped(1)

        async def leave() -> list[asyncio.Task[Any]]:
            async with answering(OK) as url:
                calls = [asyncio.create_task(ask(transport, url)) for _ in range(2)]
                # The first connects now, and the second waits in line.
                await turns(1)
                assert repr(transport) == "<DirectTransport: 1 connections, 0 idle, 1 in use>"
                assert transport.connections_opened == 0
            return calls

        async def go_on(calls: list[asyncio.Task[Any]]) -> None:
            async with answering(OK) as url:
                await ask(transport, url)
                # What the collector does, in whatever order it likes.
                for call in calls:
                    cast("Coroutine[Any, Any, Any]", call.get_coro()).close()
                await asyncio.gather(*(ask(transport, url) for _ in range(3)))
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
                assert transport.connections_opened == 1
            await transport.aclose()

        def in_loops_of_its_own() -> None:
            loop = new_loop()
            loop.set_exception_handler(lambda *_: None)
            calls = loop.run_until_complete(leave())
            loop.close()
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(go_on(calls))

        with sockets_left_open():
            await asyncio.to_thread(in_loops_of_its_own)

    @pytest.mark.parametrize("rest", [b"", OK[-2:]])
    async def test_of_a_loop_ends_the_replies_that_were_read_in_it(self, new_loop: NewLoop, rest: bytes) -> None:
        transport = capped()

        async def begin() -> httpx.Response:
            async with answering(OK[:-2], rest) as url:
                response = await send(transport, url)
                (used,) = transport._pool._usable
                await until(lambda: used.reply.complete is bool(rest))
                return response

        async def go_on(response: httpx.Response) -> None:
            async with answering(OK) as url:
                await ask(transport, url)
                if rest:
                    assert await response.aread() == rest
                else:
                    with pytest.raises(httpx.CloseError):
                        await response.aread()
                await response.aclose()
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
            await transport.aclose()

        def in_loops_of_its_own() -> None:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                response = runner.run(begin())
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(go_on(response))

        with sockets_left_open():
            await asyncio.to_thread(in_loops_of_its_own)

    async def test_or_anything_else_is_not_for_two_loops_at_once(self) -> None:
        async with serving(echo) as (_, url), capped() as transport:
            await ask(transport, url)
            with pytest.raises(RuntimeError, match="one event loop"):
                await asyncio.to_thread(asyncio.run, ask(transport, url))
