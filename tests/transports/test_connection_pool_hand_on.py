"""A caller that is cancelled as it gets a connection hands it on, and closing waits for its sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
import trustme

from tests.support.exchanges import OPEN_FILES, ask, capped, echo, open_files, turns, until
from tests.support.scripted_server import server_tls, serving

if TYPE_CHECKING:
    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


async def closing(server: Server, writer: asyncio.StreamWriter) -> None:
    """Answer, and allow no other request on this connection."""
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")


class TestACallerCancelledInTheTurnOfItsTurn:
    @pytest.mark.parametrize("talk", [echo, closing], ids=["an idle connection", "permission to open one"])
    @pytest.mark.parametrize("is_next_waiting", [True, False])
    async def test_hands_on_what_it_was_granted(self, talk, is_next_waiting: bool) -> None:
        async with serving(talk) as (server, url), capped(1) as transport:

            async def first() -> None:
                await ask(transport, url)
                # The reply has just granted the second caller what the first one had.
                assert not second.done()
                second.cancel()

            leading = asyncio.create_task(first())
            await turns(1)
            second = asyncio.create_task(ask(transport, url))
            await turns(1)
            others = [asyncio.create_task(ask(transport, url)) for _ in range(2 if is_next_waiting else 0)]
            await leading
            async with asyncio.timeout(5):
                await asyncio.gather(*others)
                # Nor is the place of the cancelled one lost to those who come later.
                for _ in range(2):
                    await ask(transport, url)
            assert second.cancelled()
            assert len(server.requests) == 3 + len(others)
            assert server.connections == (1 if talk is echo else len(server.requests))


class TestAnIdleConnectionThatThePeerCloses:
    async def test_is_forgotten(self) -> None:
        async def ending(server: Server, writer: asyncio.StreamWriter) -> None:
            await echo(server, writer)
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        async with serving(ending) as (server, url), capped() as transport:
            for _ in range(3):
                await ask(transport, url)
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
                writers.pop().close()
                await until(lambda: repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>")
            assert server.connections == 3


class TestClosing:
    async def test_in_a_cancelled_scope_still_waits_for_the_goodbye_over_tls(self) -> None:
        authority = trustme.CA()
        context = httpx.create_ssl_context()
        authority.configure_trust(context)
        async with serving(echo, server_tls(authority)) as (server, url):
            transport = capped(tls=context)
            await ask(transport, url)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await transport.aclose()
            assert transport._pool._not_yet_lost == set()
            await asyncio.wait_for(server.ended.wait(), 2)

    @pytest.mark.skipif(not OPEN_FILES.exists(), reason="counts open files in /proc")
    @pytest.mark.parametrize("is_cancelled", [False, True])
    async def test_returns_when_its_sockets_are_closed(self, is_cancelled: bool) -> None:
        # Nobody accepts: the other ends of these connections are no files of this process.
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            # The first transport of an event loop may open files that the loop keeps.
            await self.files_after(url, is_cancelled=False)
            await turns(50)
            before = open_files()
            assert await self.files_after(url, is_cancelled=is_cancelled) == before

    async def files_after(self, url: str, *, is_cancelled: bool) -> int:
        """Return how many files are open as soon as a transport with requests under way is closed."""
        transport = capped()
        calls = [asyncio.create_task(ask(transport, url)) for _ in range(3)]
        await until(lambda: transport.requests == 3)
        with anyio.CancelScope() as scope:
            if is_cancelled:
                scope.cancel()
            await transport.aclose()
        files = open_files()
        await asyncio.gather(*calls, return_exceptions=True)
        return files
