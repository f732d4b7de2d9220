"""The supervisor: failures and lost output of a job; signals are tested with processes."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async import (
    ConnectionSetupError,
    CredentialsRejectedError,
    InternalServerError,
    NotFoundError,
    SettingsError,
)
from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode
from genesys_media_async.cli.output.progress import NoProgress
from genesys_media_async.cli.output.writer import Output, open_target
from genesys_media_async.cli.supervisor import run_supervised
from genesys_media_async.errors import AuditWriteError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

pytestmark = pytest.mark.anyio


class Job:
    def __init__(self, error: Exception | None = None, *, can_stop: bool = True) -> None:
        self.error = error
        self.can_stop = can_stop
        self.is_cancelled = False
        self.stopped = anyio.Event()

    def opened(self) -> AbstractAsyncContextManager[object]:
        return nullcontext()

    async def work(self) -> None:
        if self.error is not None:
            raise self.error
        try:
            await self.stopped.wait()
        except BaseException:
            self.is_cancelled = True
            raise

    def stop(self) -> bool:
        if self.can_stop:
            self.stopped.set()
        return self.can_stop

    def is_idle(self) -> bool:
        return True

    def snapshot(self) -> None:
        return None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed(ExitCode.INPUT, "no ids"), ExitCode.INPUT),
        (CredentialsRejectedError("wrong"), ExitCode.CONFIGURATION),
        (SettingsError("wrong"), ExitCode.CONFIGURATION),
        (ConnectionSetupError("expired"), ExitCode.CONFIGURATION),
        (AuditWriteError("full"), ExitCode.OUTPUT_LOST),
        (InternalServerError("broken"), ExitCode.RETRYABLE_FAILURES),
        (NotFoundError("gone"), ExitCode.PERMANENT_FAILURES),
    ],
)
async def test_an_error_of_the_job_is_the_failure_of_the_run(error: Exception, code: ExitCode):
    report = await run_supervised(Job(error), NoProgress())
    assert report.exit_code is code
    assert str(error) == str(report.failure)


async def test_an_unexpected_error_is_raised():
    with pytest.raises(ExceptionGroup) as caught:
        await run_supervised(Job(ZeroDivisionError()), NoProgress())
    assert caught.group_contains(ZeroDivisionError)


@pytest.mark.parametrize("can_stop", [True, False])
async def test_a_job_ends_when_its_output_fails(can_stop: bool, tmp_path: Path):
    output = Output[str](open_target(str(tmp_path / "out")), b"", str.encode)
    job = Job(can_stop=can_stop)
    await output.put("line\n")
    output.failure = OSError(errno.ENOSPC, "No space left on device")

    report = await run_supervised(job, NoProgress(), output)

    assert report.exit_code is ExitCode.OUTPUT_LOST
    assert job.is_cancelled is not can_stop
