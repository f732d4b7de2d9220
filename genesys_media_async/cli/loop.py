"""The event loop of a command: uvloop's, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def run_in_event_loop(main: Callable[[Unpack[Arguments]], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run a coroutine function to its end and return what it returns."""
    return anyio.run(main, *arguments, backend_options={"use_uvloop": find_spec("uvloop") is not None})
