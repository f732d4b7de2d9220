"""SIGINT and SIGTERM: they end the process at once, until a run receives them; no KeyboardInterrupt is ever raised."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def end_at_once_by_signals() -> None:
    """
    Let SIGINT end the process as it ends one in C, until `received`.

    Python's own handler raises KeyboardInterrupt wherever the program is: in an import, where the traceback says
    nothing, or in a callback, where it is printed and ignored. A signal that the parent process ignores stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def received(callback: Callable[[], None]) -> Generator[None]:
    """
    Call `callback` in the running event loop for each SIGINT or SIGTERM, inside this block.

    The handlers are replaced directly: `loop.remove_signal_handler` would leave Python's own for a while.
    """
    # Imported here, since a signal may come at any time before this.
    from asyncio import get_running_loop

    loop = get_running_loop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)

    former = {number: signal.signal(number, handle) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
