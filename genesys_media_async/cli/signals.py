"""The signals that stop a command, as an async iterator, on every platform."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from contextlib import AbstractContextManager, contextmanager, suppress
from signal import Signals
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from types import FrameType

STOP_SIGNALS: Final = tuple(each for each in Signals if each.name in {"SIGINT", "SIGTERM", "SIGBREAK"})
"""SIGBREAK is Ctrl-Break on Windows, where no program can send SIGTERM."""


def by_event_loop() -> AbstractContextManager[AsyncIterator[Signals]]:
    """Receive them by the event loop, which Windows has no way for."""
    return anyio.open_signal_receiver(*STOP_SIGNALS)


@contextmanager
def by_interpreter() -> Generator[AsyncIterator[Signals]]:
    """
    Receive them by handlers of the interpreter, which it calls in the main thread between two instructions.

    asyncio's loops wake up for a signal, on Windows too: https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    loop = asyncio.get_running_loop()
    send, receive = anyio.create_memory_object_stream[Signals](math.inf)

    def deliver(number: int) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            send.send_nowait(Signals(number))

    def handle(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(deliver, number)

    before = {each: signal.signal(each, handle) for each in STOP_SIGNALS}
    try:
        with send, receive:
            yield receive
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


stop_signals: Final = by_interpreter if sys.platform == "win32" else by_event_loop
