"""`retrieve --source recording-batch` as a process: jobs at Genesys that are paid for are not given up lightly."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.simulator import BatchSettings, Fault, JobFault, Simulator, SimulatorSettings
from tests.support.batch_runs import ONE_EACH, recordings
from tests.support.commands import err_of, lines_of, run, started, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


def simulator_of(**batch: object) -> Simulator:
    settings = SimulatorSettings(quota=None, organization=ONE_EACH, batch=BatchSettings(**batch))  # type: ignore[arg-type]
    return Simulator(settings)


def arguments(simulator: Simulator, out: Path, *more: str) -> tuple[str | Path, ...]:
    ids = recordings(10)(simulator)
    return ("retrieve", "--source", "recording-batch", *ids, "-o", out, *more)


class TestTheFirstInterrupt:
    async def test_waits_for_the_results_of_a_job_that_was_submitted(self, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with simulator_of(seconds_per_recording=0.1) as simulator:
            async with started(*arguments(simulator, out), simulator=simulator) as process:
                await until(lambda: len(simulator.batch_jobs) == 1)
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
                err = await err_of(process)
        assert [each["status"] for each in lines_of(out.read_text())] == ["ok"] * 10
        assert "Interrupted: 10 results: 10 retrieved" in err
        assert "Batch jobs" not in err

    async def test_followed_by_another_leaves_the_job_and_prints_its_id(self, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with simulator_of(seconds_per_recording=60.0) as simulator:
            process_of = started(*arguments(simulator, out, "--progress", "json"), simulator=simulator)
            async with process_of as process:
                await until(lambda: len(simulator.batch_jobs) == 1)
                assert process.stderr is not None
                err = ""
                while '"jobs":1' not in err:
                    err += (await process.stderr.receive()).decode()
                process.send_signal(signal.SIGINT)
                while "Stopping" not in err:
                    err += (await process.stderr.receive()).decode()
                process.send_signal(signal.SIGINT)
                with anyio.fail_after(5):
                    assert await process.wait() == 130
                err += await err_of(process)
            (job,) = simulator.batch_jobs
        last = json.loads(err.splitlines()[-1])
        assert last["abandoned_jobs"] == [job.id]
        assert last["orphaned_submissions"] == 0
        assert "Traceback" not in err


class TestALostSubmission:
    async def test_is_made_again_and_counted(self, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with simulator_of(seconds_per_recording=0.0) as simulator:
            simulator.script_jobs(JobFault.REPLY_503)
            done = await run(*arguments(simulator, out), simulator=simulator)
        assert done.code == 0
        assert "Batch jobs: 1 submission without a reply, which may have made one more" in done.err
        assert len(simulator.batch_jobs) == 2

    async def test_is_not_made_again_on_request(self, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with simulator_of() as simulator:
            simulator.script(Fault.SERVER_ERROR_503, operation="postRecordingBatchrequests")
            done = await run(*arguments(simulator, out, "--no-resubmit"), simulator=simulator)
        assert done.code == 6
        lines = lines_of(out.read_text())
        assert {each["error_code"] for each in lines} == {"batch_submission_unknown"}
        assert not any(each["error_retryable"] for each in lines)
