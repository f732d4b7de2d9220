"""When a job that was told to stop has nothing left to wait for, and when it is not waited for at all."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async import MediaRetriever, VirtualClock
from genesys_media_async.cli.output.progress import NoProgress
from genesys_media_async.cli.output.writer import Output, Target
from genesys_media_async.cli.retrieve_job import RetrieveJob
from genesys_media_async.cli.supervisor import Supervisor, run_supervised
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager


class Job:
    """A job that goes on when it is told to stop, until it is cancelled."""

    def __init__(self, is_idle: Callable[[], bool] = lambda: True) -> None:
        self.is_idle = is_idle
        self.is_cancelled = False

    def opened(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def work(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.is_cancelled = True

    def stop(self) -> bool:
        return True

    def snapshot(self) -> None:
        return None


@pytest.mark.anyio
async def test_a_job_whose_reader_is_gone_is_not_waited_for():
    descriptor = os.open(os.devnull, os.O_WRONLY)
    output = Output[str](Target(descriptor, "standard output", is_standard=True), b"", str.encode)
    output.failure = BrokenPipeError(errno.EPIPE, "Broken pipe")
    job = Job()
    with anyio.fail_after(20):
        report = await run_supervised(job, NoProgress(), output)
    os.close(descriptor)
    assert job.is_cancelled
    assert report.is_reader_gone


def test_a_job_that_is_idle_for_a_moment_between_two_requests_is_waited_for():
    clock = VirtualClock()

    async def main() -> None:
        # Idle for a fifth of a second at a time, and for good after two seconds.
        job = Job(lambda: clock.monotonic() % 0.4 < 0.2 or clock.monotonic() > 2)
        await Supervisor(job, NoProgress())._wait_until_idle()
        assert 2 < clock.monotonic() < 3

    clock.run(main())


def repr_of(item: object) -> bytes:
    return repr(item).encode()


class SlowOutput(Output[object]):
    """An output that takes three seconds for each result."""

    async def put(self, item: object) -> None:
        await anyio.sleep(3)


def test_a_retrieval_is_idle_when_no_request_is_in_flight_and_every_result_is_delivered():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=2.0), clock=clock)
    idle_at: list[bool] = []

    async def ids() -> AsyncIterator[str]:
        yield "a"
        yield "b"
        await anyio.sleep(20)

    async def main() -> None:
        retriever = MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock)
        descriptor = os.open(os.devnull, os.O_WRONLY)
        job = RetrieveJob(
            retriever, ids(), SlowOutput(Target(descriptor, "out", is_standard=True), b"", repr_of), total=2
        )
        async with job.opened(), anyio.create_task_group() as task_group:
            task_group.start_soon(job.work)
            # In flight until 2 s; the first result is delivered until 5 s and the second is taken then.
            for _ in range(4):
                await anyio.sleep(1.5)
                idle_at.append(job.is_idle())
        os.close(descriptor)

    clock.run(main())
    assert idle_at == [False, False, False, True]
