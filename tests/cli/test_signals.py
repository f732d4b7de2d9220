"""The signals that stop a command, by the event loop and, as on Windows, without its help."""

from __future__ import annotations

import signal
from signal import Signals
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.output.progress import NoProgress
from genesys_media_async.cli.signals import STOP_SIGNALS, by_event_loop, by_interpreter
from genesys_media_async.cli.supervisor import Supervisor
from tests.cli.test_supervisor import Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.anyio

SOURCES = [
    pytest.param(by_interpreter, id="without the loop"),
    pytest.param(
        by_event_loop, id="by the loop", marks=pytest.mark.skipif("sys.platform == 'win32'", reason="not on Windows")
    ),
]


class SignalledJob(Job):
    """A job that gets a signal, which stops it, or else a second one."""

    def __init__(self, number: Signals, *, times: int) -> None:
        super().__init__()
        self.number = number
        self.times = times

    async def work(self) -> None:
        # Until the supervisor watches, the signal would end the tests.
        await anyio.wait_all_tasks_blocked()
        self.times -= 1
        signal.raise_signal(self.number)
        await super().work()

    def stop(self) -> bool:
        if self.times:
            self.times -= 1
            signal.raise_signal(self.number)
        else:
            self.stopped.set()
        return True

    def is_idle(self) -> bool:
        return False


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
    ids=["SIGINT", "SIGTERM"],
)
@pytest.mark.parametrize("times", [1, 2])
async def test_a_signal_stops_a_job_and_a_second_one_cancels_it(
    source: Callable[[], AbstractContextManager[AsyncIterator[Signals]]], number: Signals, code: ExitCode, times: int
):
    job = SignalledJob(number, times=times)

    report = await Supervisor(job, NoProgress(), is_quiet=True, signals=source).run()

    assert report.exit_code is code
    assert job.is_cancelled is (times == 2)


async def test_the_handlers_of_the_program_come_back():
    before = {each: signal.getsignal(each) for each in STOP_SIGNALS}
    with by_interpreter() as received:
        assert {signal.getsignal(each) for each in STOP_SIGNALS}.isdisjoint(before.values())
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with anyio.fail_after(10):
            assert [await anext(received), await anext(received)] == [signal.SIGINT, signal.SIGTERM]
        signal.raise_signal(signal.SIGINT)
    assert {each: signal.getsignal(each) for each in STOP_SIGNALS} == before
    # The last one arrives at a receiver that is gone, which is no error.
    await anyio.lowlevel.checkpoint()
