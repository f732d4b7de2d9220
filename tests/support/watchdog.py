"""A test in a thread of its own, so that one whose event loop never comes back fails instead of hanging."""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MAX_SECONDS = 20.0
"""Long for what takes a tenth of a second, so that a busy machine fails nothing."""


def run_watched(main: Callable[[], Coroutine[object, object, object]], seconds: float = MAX_SECONDS) -> None:
    """Run in an event loop of its own; fail, and show where the loop is, if it has not come back after `seconds`."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive() and thread.ident is not None:
        where = "".join(traceback.format_stack(sys._current_frames()[thread.ident]))
        # A loop that spins would take the machine from all tests that follow.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        pytest.fail(f"the event loop did not come back within {seconds:g} s:\n{where}")
    if errors:
        raise errors[0]
