"""SIGINT and SIGTERM: they end the process at once, until a run receives them; no KeyboardInterrupt is ever raised."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from signal import Signals
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

STOP_SIGNALS: Final = tuple(each for each in Signals if each.name in {"SIGINT", "SIGTERM", "SIGBREAK"})
"""SIGBREAK is Ctrl-Break on Windows, where no program can send SIGTERM."""


def end_at_once_by_signals() -> None:
    """
    Let SIGINT end the process as it ends one in C, until `received`.

    Python's own handler raises KeyboardInterrupt wherever the program is: in an import, where the traceback says
    nothing, or in a callback, where it is printed and ignored. A signal that the parent process ignores stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def received(callback: Callable[[Signals], None]) -> Generator[None]:
    """
    Call `callback` in the running event loop for each signal that stops a command, inside this block.

    The handlers are the interpreter's, which it calls in the main thread between two instructions: those of an event
    loop do not exist on Windows, and `loop.remove_signal_handler` would leave Python's own for a while. Every loop of
    asyncio wakes up for a signal: https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    # Imported here, since a signal may come at any time before this.
    from asyncio import get_running_loop

    loop = get_running_loop()

    def handle(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback, Signals(number))

    former = {each: signal.signal(each, handle) for each in STOP_SIGNALS}
    try:
        yield
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
