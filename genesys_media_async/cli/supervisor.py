"""
The supervisor of a command's job: signals, progress, regular flushing, and the failure that ended it.

Two scopes can be cancelled. The inner one holds the work: cancelling it drops what has only been waiting. The outer
one holds what the job keeps open as well, such as a retriever with webhooks that are still to be delivered.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import anyio

from ..errors import AuditWriteError, AuthenticationError, GenesysMediaError, SettingsError
from .exit_codes import CommandFailed, ExitCode, RunReport
from .output.streams import print_err
from .output.writer import FLUSH_INTERVAL

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from typing import Never

    from .output.progress import Progress
    from .output.writer import Output

GRACE_PERIOD = 10.0
"""Seconds that requests in flight, and jobs at Genesys, may take after the first signal."""

IDLE_TIME = 0.3
"""A job that has been idle for so many seconds has nothing left to wait for."""

POLL_INTERVAL = 0.05
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")


class Job(Protocol[S_co]):
    """The work of a command, with what it holds open."""

    def opened(self) -> AbstractAsyncContextManager[object]:
        """Return the context in which `work` runs, such as an open retriever."""
        ...

    async def work(self) -> None:
        """Do the work. `CommandFailed` and the errors of this package become the run's failure."""
        ...

    def stop(self) -> bool:
        """Take on no more work and finish what is in flight; return False if the job can only be cancelled."""
        ...

    def is_idle(self) -> bool:
        """Return True if nothing is in flight and nothing waits to be written."""
        ...

    def snapshot(self) -> S_co | None:
        """Return the state for the progress display; None if there is none to show."""
        ...


class CancellableJob:
    """The part of a job that can only be cancelled, since it has nothing to finish."""

    def stop(self) -> bool:
        """Return False."""
        return False

    def is_idle(self) -> bool:
        """Return True."""
        return True


class Supervisor(Generic[S]):
    """
    Runs a job once, under signals.

    The first SIGINT or SIGTERM stops the job and gives requests in flight `GRACE_PERIOD` seconds; the second one, or
    the first one of a job that can only be cancelled, cancels it. `output` is flushed regularly and finished at the
    end; when it fails, the job is stopped.
    """

    def __init__(
        self, job: Job[S], progress: Progress[S], output: Output[Never] | None = None, *, is_quiet: bool = False
    ) -> None:
        self._job = job
        self._progress = progress
        self._output = output
        self._is_quiet = is_quiet
        self._failure: CommandFailed | None = None
        self._is_interrupted = False
        self._inner = anyio.CancelScope()
        self._outer = anyio.CancelScope()

    async def run(self) -> RunReport:
        """Run the job to its end and return how it ended. Raises only unexpected errors."""
        self._progress.start()
        try:
            async with anyio.create_task_group() as watchers:
                watchers.start_soon(self._watch_signals)
                watchers.start_soon(self._show_progress)
                watchers.start_soon(self._flush_regularly)
                with self._outer:
                    await self._work()
                if self._output is not None:
                    await self._output.finish()
                watchers.cancel_scope.cancel()
        finally:
            self._progress.end(None if self._is_reader_gone else self._job.snapshot())
        loss = None if self._output is None else self._output.loss
        return RunReport(loss or self._failure, self._is_interrupted, self._is_reader_gone)

    @property
    def _is_reader_gone(self) -> bool:
        return self._output is not None and self._output.is_reader_gone

    async def _work(self) -> None:
        try:
            async with self._job.opened():
                with self._inner:
                    await self._job.work()
        except CommandFailed as error:
            self._failure = error
        except GenesysMediaError as error:
            self._failure = CommandFailed(_exit_code_for(error), str(error))

    async def _flush_regularly(self) -> None:
        output = self._output
        while output is not None:
            await anyio.sleep(FLUSH_INTERVAL)
            await output.flush()
            if output.is_reader_gone or (output.failure is not None and not self._job.stop()):
                self._inner.cancel()

    async def _show_progress(self) -> None:
        while True:
            await anyio.sleep(self._progress.interval)
            snapshot = self._job.snapshot()
            if snapshot is not None:
                self._progress.update(snapshot)

    async def _watch_signals(self) -> None:
        if sys.platform == "win32":
            return
        with anyio.open_signal_receiver(*STOP_SIGNALS) as received:
            async with anyio.create_task_group() as stopping:
                async for _ in received:
                    if self._is_interrupted:
                        self._outer.cancel()
                    else:
                        self._is_interrupted = True
                        stopping.start_soon(self._stop)

    async def _stop(self) -> None:
        """Give what is in flight `GRACE_PERIOD` seconds to finish, then cancel the rest."""
        if self._job.stop():
            if not self._is_quiet:
                print_err(
                    f"Stopping: what is in flight may take up to {GRACE_PERIOD:.0f} s; interrupt again to stop now."
                )
            with anyio.move_on_after(GRACE_PERIOD):
                await self._wait_until_idle()
                self._inner.cancel()
                await anyio.sleep_forever()
        self._outer.cancel()

    async def _wait_until_idle(self) -> None:
        idle_for = 0.0
        while idle_for < IDLE_TIME:
            idle_for = idle_for + POLL_INTERVAL if self._job.is_idle() else 0.0
            await anyio.sleep(POLL_INTERVAL)


async def run_supervised(
    job: Job[S], progress: Progress[S], output: Output[Never] | None = None, *, is_quiet: bool = False
) -> RunReport:
    """Run a job under a supervisor and return how it ended."""
    return await Supervisor(job, progress, output, is_quiet=is_quiet).run()


def _exit_code_for(error: GenesysMediaError) -> ExitCode:
    """Return the exit code for an error that ended a run."""
    match error:
        case AuthenticationError() | SettingsError():
            return ExitCode.CONFIGURATION
        case AuditWriteError():
            return ExitCode.OUTPUT_LOST
        case _:
            return ExitCode.RETRYABLE_FAILURES if error.retryable else ExitCode.PERMANENT_FAILURES
