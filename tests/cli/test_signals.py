"""Signals: the default action until a run receives them, and never a KeyboardInterrupt."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.cli.exit_codes import ExitCode, RunReport
from genesys_media_async.cli.output.progress import NoProgress
from genesys_media_async.cli.signals import STOP_SIGNALS, end_at_once_by_signals, received
from genesys_media_async.cli.supervisor import Supervisor
from tests.cli.test_supervisor import Job
from tests.support.commands import TIMEOUT, environment

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def loops() -> list[Callable[[], asyncio.AbstractEventLoop]]:
    try:
        import uvloop
    except ImportError:
        return [asyncio.new_event_loop]
    return [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", loops(), ids=lambda loop: loop.__module__)
def test_each_signal_of_a_run_is_received_once_and_raises_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    calls: list[signal.Signals] = []

    async def main() -> None:
        third = asyncio.Event()

        def callback(number: signal.Signals) -> None:
            calls.append(number)
            if len(calls) == 3:
                third.set()

        with received(callback):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
                # In between the loop sleeps in the operating system, where only a byte in its pipe wakes it.
                await asyncio.sleep(0.01)
            async with asyncio.timeout(TIMEOUT):
                await third.wait()
        assert {number: signal.getsignal(number) for number in STOP_SIGNALS} == during

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    during = {**before, signal.SIGINT: signal.SIG_DFL}
    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(main())
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
    assert calls == [signal.SIGINT, signal.SIGTERM, signal.SIGINT]


def test_a_signal_that_the_parent_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        end_at_once_by_signals()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


INTERRUPTED_AT = """\
import builtins, os, signal, sys

original = builtins.__import__


def interrupted(name, *arguments, **options):
    if name.endswith({module!r}):
        os.kill(os.getpid(), signal.SIGINT)
    return original(name, *arguments, **options)


builtins.__import__ = interrupted
from genesys_media_async.cli import main

sys.exit(main())
"""


@pytest.mark.parametrize("module", ["output.streams", "cyclopts", "asyncio"])
def test_a_signal_during_the_imports_ends_the_command_without_a_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT.format(module=module), "demo"],
        env=environment(),
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (-signal.SIGINT, b"", b"")


def test_next_to_nothing_is_imported_before_the_command_prepares_for_signals() -> None:
    code = "import genesys_media_async.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {each for each in imported if each.startswith("genesys")} == {
        "genesys_media_async",
        "genesys_media_async.cli",
    }
    assert imported & {"asyncio", "logging", "httpx", "pydantic", "cyclopts"} == set()


class SignalledJob(Job):
    """A job that gets a signal, which stops it, or else a second one."""

    def __init__(self, number: signal.Signals, *, times: int) -> None:
        super().__init__()
        self.number = number
        self.times = times

    async def work(self) -> None:
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


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
    ids=["SIGINT", "SIGTERM"],
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_stops_a_job_and_a_second_one_cancels_it(number: signal.Signals, code: ExitCode, times: int) -> None:
    job = SignalledJob(number, times=times)

    async def supervised() -> RunReport:
        return await Supervisor(job, NoProgress(), is_quiet=True).run()

    report = anyio.run(supervised)

    assert report.exit_code is code
    assert job.is_cancelled is (times == 2)
