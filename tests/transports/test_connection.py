"""What one connection does with peers that leave, stall or half-close."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pytest

from genesys_media_async.errors import APIConnectionError
from genesys_media_async.transports import DirectTransport
from tests.support.exchanges import Tls, ask, capped, failure, send, turns, until
from tests.support.scripted_server import OK, server_tls, serving

if TYPE_CHECKING:
    import trustme

    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


class TestConnections:
    async def test_whose_end_the_loop_had_no_time_to_see_are_replaced(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            for _ in range(2):
                accepted, _ = listening.accept()
                with accepted:
                    accepted.recv(10_000)
                    accepted.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        async with DirectTransport(trusted_idle=0.0) as transport:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            assert (await ask(transport, url)).status == 200
            # The loop stands still meanwhile, as it may in a program with a lot to do.
            time.sleep(0.1)  # noqa: ASYNC251 - that is the point
            assert (await ask(transport, url)).status == 200
            assert transport.connections_opened == 2
        thread.join()
        listening.close()

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_whose_peer_does_not_take_the_request_are_not_used_again(self, tls: Tls, streamed: bool) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            cast("asyncio.Transport", writer.transport).pause_reading()
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await asyncio.wait_for(answered.wait(), 5)
            writer.close()

        body = b"x" * 20_000_000
        async with serving(talk, tls.server, early=True) as (_, url), capped(tls=tls.client) as transport:
            answered = asyncio.Event()
            if streamed:
                assert (await send(transport, url, content=body)).status_code == 413
            else:
                assert (await ask(transport, url, body=body)).status == 413
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"
            answered.set()

    async def test_that_end_right_after_a_long_reply_over_tls_give_all_of_it(
        self, authority: trustme.CA, trusting: ssl.SSLContext
    ) -> None:
        body = b"x" * 300_000
        context = server_tls(authority)
        asked, go = threading.Event(), threading.Event()
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            accepted, _ = listening.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
            with context.wrap_socket(accepted, server_side=True) as secured:
                secured.recv(10_000)
                asked.set()
                go.wait(5)
                secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
                secured.setblocking(False)
                # Says goodbye, and does not wait for the other's.
                with suppress(ssl.SSLWantReadError):
                    secured.unwrap()

        thread = threading.Thread(target=serve)
        thread.start()
        async with capped(tls=trusting) as transport:
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            call = asyncio.create_task(ask(transport, url, max_reply_size=len(body)))
            await until(asked.is_set)
            # The loop stands still until all is there, unless this machine holds less than that.
            go.set()
            thread.join(0.5)
            assert (await call).body == body
        thread.join()
        listening.close()

    async def test_that_are_half_closed_do_not_keep_what_nobody_takes(self) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            cast("asyncio.Transport", writer.transport).pause_reading()
            writer.write_eof()
            await asyncio.wait_for(seen.wait(), 5)
            writer.close()

        async with serving(talk, early=True) as (_, url), capped() as transport:
            seen = asyncio.Event()
            assert type(await failure(transport, url, body=b"x" * 20_000_000)) is APIConnectionError
            await until(lambda: not transport._pool._not_yet_lost)
            seen.set()

    async def test_give_no_reply_with_too_many_headers_whether_their_names_are_known_or_not(self) -> None:
        counts = iter([200, 256, 257, 256, 300])

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            fields = b"".join(b"x-%d: 1\r\n" % number for number in range(next(counts) - 1))
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"content-length: 0\r\n\r\n")

        async with serving(talk) as (_, url), capped() as transport:
            assert [len((await ask(transport, url)).headers) for _ in range(2)] == [200, 256]
            assert type(await failure(transport, url)) is APIConnectionError
            assert len((await ask(transport, url)).headers) == 256
            assert type(await failure(transport, url)) is APIConnectionError

    @pytest.mark.parametrize("more", [b"\r\n", b"x"])
    async def test_at_rest_are_closed_by_any_byte(self, more: bytes) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            await asyncio.wait_for(answered.wait(), 5)
            writer.write(more)

        async with serving(talk) as (server, url), capped() as transport:
            answered = asyncio.Event()
            await ask(transport, url)
            answered.set()
            await asyncio.wait_for(server.ended.wait(), 2)
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    async def test_give_a_reply_in_pieces_within_its_bounds_and_none_beyond(self) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            head = [b"HTTP/1.1 200 OK\r\na: ", *[b"x" * 20] * 8, b"\r\ncontent-length: 100\r\n\r\n"]
            for piece in [*head, *[b"y" * 20] * 5]:
                if not writer.is_closing():
                    writer.write(piece)
                await turns(3)

        for size, limit, is_taken in ((250, 100, True), (250, 99, False), (150, 100, False), (1_000, 100, True)):
            async with serving(talk) as (_, url), DirectTransport(max_head_size=size) as transport:
                if is_taken:
                    for _ in range(2):
                        assert (await ask(transport, url, max_reply_size=limit)).body == b"y" * 100
                    assert transport.connections_opened == 1
                else:
                    await failure(transport, url, max_reply_size=limit)
