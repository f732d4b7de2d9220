"""How the asyncio peers work through their ids, and how a run is measured."""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import sys
from typing import TYPE_CHECKING

from benchmarks.peers.measurement import Measurement, add_reports, write_report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from benchmarks.peers.options import Options
    from benchmarks.peers.pipeline import Pipeline

WARM_UP_TIMEOUT = 60.0


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


def run(main: Callable[[Options], Coroutine[object, object, None]], options: Options) -> None:
    """Run on the chosen event loop, in as many processes as chosen, and report their sum."""
    if options.processes == 1:
        _run_alone(main, options)
        return
    # Forked before there is a loop or a thread, so that nothing is imported again.
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(options.processes, timeout=WARM_UP_TIMEOUT)
    Measurement.wait = barrier.wait
    shares = list(options.shares())
    processes = [context.Process(target=_run_alone, args=(main, share)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit(1)
    add_reports(options, [share.out for share in shares])


def _run_alone(main: Callable[[Options], Coroutine[object, object, None]], options: Options) -> None:
    factory = importlib.import_module("uvloop").new_event_loop if options.loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(options))
