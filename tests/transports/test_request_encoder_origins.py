"""A request goes to the host of its own URL, however much two URLs have in common."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.exchanges import HEADERS, ask, capped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b"


def naming(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Answer each request with the port that was listened on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(b"body"))
                writer.write(REPLY % (len(str(port)), b"%d" % port))
        except asyncio.IncompleteReadError:
            writer.close()

    return serve


async def listening_alike(stack: AsyncExitStack, *, longer: bool) -> tuple[int, int]:
    """Listen on two ports of which one begins like the other, or that differ in their last digit."""
    for first in range(2_100, 6_500):
        second = first * 10 + 3 if longer else first ^ 1
        servers: list[asyncio.Server] = []
        try:
            for port in (first, second):
                servers.append(await asyncio.start_server(naming(port), "127.0.0.1", port))
        except OSError:
            for server in servers:
                server.close()
            continue
        for server in servers:
            stack.callback(server.close)
        return first, second
    pytest.skip("no two such ports are free")


@pytest.mark.parametrize("longer", [True, False], ids=["one begins like the other", "only the last digit differs"])
@pytest.mark.parametrize("backwards", [False, True])
async def test_the_first_request_to_another_origin_with_a_shared_prefix_goes_to_its_own_host(
    longer: bool, backwards: bool
) -> None:
    async with AsyncExitStack() as stack:
        ports = await listening_alike(stack, longer=longer)
        async with capped() as transport:
            for port in ports[::-1] if backwards else ports:
                # With one header mapping, whose encoded head is remembered after the first of them.
                for _ in range(2):
                    reply = await ask(transport, f"http://127.0.0.1:{port}/x", headers=HEADERS)
                    assert reply.body == b"%d" % port
