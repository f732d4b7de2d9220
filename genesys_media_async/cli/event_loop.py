"""The event loop of a command: uvloop's if it is installed, with rare garbage collections."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

GC_THRESHOLD = 50_000
"""New objects before a garbage collection; with the usual 700, collections take a quarter of the time of a run with
thousands of ids in flight."""


def run_in_event_loop(main: Callable[[Unpack[Arguments]], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run a coroutine function to its end and return its value."""
    with _rare_collections():
        return anyio.run(main, *arguments, backend_options={"use_uvloop": find_spec("uvloop") is not None})


@contextmanager
def _rare_collections() -> Generator[None]:
    """Raise the collector's threshold; a library must not, but a command has its process to itself."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
