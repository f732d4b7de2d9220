"""The addresses of a name, tried as RFC 8305 ("Happy Eyeballs") has it: the first to answer wins."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DELAY = 0.25
"""Seconds that an address has before the next one is tried beside it."""

_Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


async def race(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """
    Return a socket that is connected to one of the addresses of a name; raises OSError if none answers.

    asyncio's `happy_eyeballs_delay` is no substitute: cancelled just as an address answers, it leaves a socket open.
    """
    waiting = deque(_alternating(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    attempts: list[asyncio.Task[socket.socket]] = []
    under_way: set[asyncio.Task[socket.socket]] = set()
    winner: asyncio.Task[socket.socket] | None = None
    failure: BaseException | None = None
    try:
        while waiting or under_way:
            if waiting:
                attempts.append(loop.create_task(_connect(loop, waiting.popleft())))
                under_way.add(attempts[-1])
            done, under_way = await asyncio.wait(
                under_way, timeout=DELAY if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    winner = attempt
                    return attempt.result()
        raise failure or OSError(f"The name has no address: {host}")
    finally:
        for attempt in attempts:
            if attempt is not winner and not attempt.cancel() and attempt.exception() is None:
                attempt.result().close()


async def _connect(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.setblocking(False)
        await loop.sock_connect(connecting, where)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _alternating(addresses: Sequence[_Address]) -> list[_Address]:
    """Let the families take turns, so that one that leads nowhere holds up the other only once."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for turn in zip_longest(*families.values()) for address in turn if address is not None]
