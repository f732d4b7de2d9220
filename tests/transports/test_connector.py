"""How connections are opened: names, their addresses, and cancellation."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.transports import connector
from tests.support.exchanges import OPEN_FILES, ask, capped, echo, open_files, turns, until
from tests.support.retrievers import other_tasks
from tests.support.scripted_server import server_tls, serving

if TYPE_CHECKING:
    import ssl

    import trustme

pytestmark = pytest.mark.anyio


class Names:
    """An event loop in which a name has the addresses of a test: ports of this machine, and one that never answers."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.loop = asyncio.get_running_loop()

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in self.ports]

    async def sock_connect(self, connecting: socket.socket, address: tuple[str, int]) -> None:
        if address[1] == 0:
            await asyncio.sleep(100)
        await self.loop.sock_connect(connecting, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


class TestConnections:
    async def test_go_to_any_address_of_a_name(self) -> None:
        async with serving(echo) as (_, url), capped() as transport:
            assert (await ask(transport, url.replace("127.0.0.1", "localhost"))).body == b"/x"

    @pytest.mark.parametrize("secured", [False, True])
    async def test_to_a_name_are_closed_whenever_their_opening_is_cancelled(
        self, authority: trustme.CA, trusting: ssl.SSLContext, secured: bool
    ) -> None:
        context = server_tls(authority, "localhost") if secured else None
        async with serving(echo, context) as (server, url), capped(1, trusting) as transport:
            url = url.replace("127.0.0.1", "localhost")
            for number in range(30):
                call = asyncio.create_task(ask(transport, url, headers={"connection": "close"}))
                # The name is looked up in a thread, so turns of the loop cannot be counted.
                await asyncio.sleep(number * 0.000_2)
                call.cancel()
                await asyncio.wait([call])
            assert (await ask(transport, url)).body == b"/x"
            await until(lambda: server.open == 1)
            # A socket that nobody closed would warn now.
            gc.collect()

    async def test_go_to_the_first_address_that_answers(self) -> None:
        before = other_tasks()
        async with serving(echo) as (server, url):
            port = int(url.rpartition(":")[2].removesuffix("/x"))
            for addresses, answers in (([1, port], True), ([0, port], True), ([0, 1, port], True), ([1, 1], False)):
                loop: Any = Names(addresses)
                if answers:
                    connected = await connector.connected_socket(loop, "name", port, 0.02)
                    assert connected.getpeername()[1] == port
                    connected.close()
                else:
                    with pytest.raises(ConnectionRefusedError):
                        await connector.connected_socket(loop, "name", port, 0.02)
            await turns(5)
            assert server.open == 0
        assert other_tasks() == before

    async def test_are_closed_wherever_a_race_is_cancelled_and_no_cancellation_is_lost(self) -> None:
        if not OPEN_FILES.exists():
            pytest.skip("this system does not show which files are open")
        listening = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        before, tasks = open_files(), other_tasks()
        for ports in ([port, port], [0, port], [1, port], [port, 0], [0, 0, port]):
            for number in range(24):
                for delay in (0, 0.003):
                    loop: Any = Names(ports)
                    call = asyncio.create_task(connector.connected_socket(loop, "name", port, 0.002))
                    await asyncio.sleep(delay)
                    await turns(number)
                    under_way = call.cancel()
                    await asyncio.wait([call])
                    assert call.cancelled() is under_way
                    if not under_way:
                        call.result().close()
        # What was accepted is closed when its other end is seen to be.
        await until(lambda: open_files() == before)
        assert other_tasks() == tasks
        listening.close()
        await listening.wait_closed()

    async def test_that_fail_by_an_error_of_uvloops_are_failed_connections(self) -> None:
        class Failing(Names):
            async def sock_connect(self, connecting: socket.socket, address: tuple[str, int]) -> None:
                raise RuntimeError("a failure of libuv")

        loop: Any = Failing([1, 2])
        with pytest.raises(OSError, match="a failure of libuv"):
            await connector.connected_socket(loop, "name", 1, 0.002)
