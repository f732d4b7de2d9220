"""The event loop of a command: uvloop's, if it is installed, and undisturbed by the garbage collector."""

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

YOUNG_OBJECTS = 50_000
"""How many new objects are looked through for cycles at once; the usual 700 take a quarter of the time of a run with
thousands of ids in flight."""


def run_in_event_loop(main: Callable[[Unpack[Arguments]], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run a coroutine function to its end and return what it returns."""
    with _collecting_seldom():
        return anyio.run(main, *arguments, backend_options={"use_uvloop": find_spec("uvloop") is not None})


@contextmanager
def _collecting_seldom() -> Generator[None]:
    """Spare the collector work; a library must not, but a command has its process to itself."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
