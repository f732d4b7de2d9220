"""How the asyncio peers work through their ids, and how a run is measured."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from benchmarks.peers.measurement import Measurement, write_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from benchmarks.peers.options import Options
    from benchmarks.peers.pipeline import Pipeline


async def with_workers(ids: Iterator[str], in_flight: int, ask: Callable[[str], Awaitable[None]]) -> None:
    """Ask for every id with workers that share one iterator."""

    async def work() -> None:
        for file_id in ids:
            await ask(file_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())


async def with_semaphore(ids: Iterator[str], in_flight: int, ask: Callable[[str], Awaitable[None]]) -> None:
    """Ask for every id in a task of its own, behind a semaphore."""
    semaphore = asyncio.Semaphore(in_flight)

    async def ask_in_turn(file_id: str) -> None:
        async with semaphore:
            await ask(file_id)

    async with asyncio.TaskGroup() as group:
        for file_id in ids:
            group.create_task(ask_in_turn(file_id))


async def measure(
    options: Options,
    pipeline: Pipeline,
    ask: Callable[[str], Awaitable[None]],
    drive: Callable[[Iterator[str], int, Callable[[str], Awaitable[None]]], Awaitable[None]],
) -> None:
    """Warm up, measure, and write the report."""
    if pipeline.window is not None:
        # Not the peer's own driver: an endless iterator of ids cannot have a task for each.
        await with_workers(pipeline.window.ids(), options.in_flight, ask)
        pipeline.window.write_report(pipeline.counters)
        return
    await drive(options.warm_up_ids(), options.in_flight, ask)
    pipeline.counters.answers = 0
    measurement = Measurement()
    with measurement:
        await drive(options.ids(), options.in_flight, ask)
    write_report(options, measurement, pipeline.counters, pipeline.latencies())


def run(main: Coroutine[object, object, None], loop: str) -> None:
    """Run on the event loop of this name."""
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)
