"""`retrieve` as a process whose streams fail or whose user interrupts it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from genesys_media_async.settings.settings import AUTO_WORKERS
from genesys_media_async.simulator import Fault, Quota, Simulator, SimulatorSettings
from tests.support.commands import COMMAND, err_of, ids_in, lines_in, lines_of, run, run_in_shell, started, until

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


class TestLostOutput:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device of Linux that is always full")
    async def test_ends_with_7_and_reads_no_more_ids(self, simulator: Simulator, many_ids: Path):
        done = await run("retrieve", "-i", many_ids, "-o", "/dev/full", simulator=simulator)

        assert done.code == 7
        assert "No space left on device; 0 results are safely written" in done.err
        assert simulator.counts.api_requests < 5_000

    async def test_keeps_whole_lines_and_counts_them(self, simulator: Simulator, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        command = shlex.join([*COMMAND, "retrieve", "-i", str(many_ids), "-o", str(out)])

        done = await run_in_shell(f"ulimit -f 50; exec {command}", simulator)

        assert done.code == 7
        written = len(lines_of(out.read_text()))
        assert written > 0
        assert f"{written} results are safely written" in done.err

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device of Linux that is always full")
    async def test_ends_with_7_if_it_is_the_audit_file(self, simulator: Simulator):
        done = await run("retrieve", "a", "b", "--audit", "/dev/full", simulator=simulator)

        assert done.code == 7
        assert done.out == ""
        assert "audit" in done.err


class TestGoneReader:
    async def test_ends_the_command_quietly(self, simulator: Simulator, many_ids: Path):
        reading, writing = os.pipe()
        async with started("retrieve", "-i", many_ids, simulator=simulator, stdout=writing) as process:
            os.close(writing)
            text = b""
            while text.count(b"\n") < 3:
                await anyio.wait_readable(reading)
                text += os.read(reading, 4096)
            os.close(reading)
            assert await process.wait() == 141
            assert await err_of(process) == ""
        assert simulator.counts.api_requests < 5_000

    async def test_of_standard_error_does_not_stop_the_run(self, simulator: Simulator, tmp_path: Path):
        out = shlex.quote(str(tmp_path / "out"))
        command = shlex.join([*COMMAND, "retrieve", "a"])

        done = await run_in_shell(f"({command} 2>&1 >{out}; echo $? >&3) 3>&1 | sleep 0; cat {out}", simulator)

        assert done.results[0]["status"] == "ok"

    async def test_a_slow_one_loses_nothing(self, simulator: Simulator):
        command = shlex.join([*COMMAND, "retrieve", "--progress", "none", "-i", "-"])

        done = await run_in_shell(f"seq 1 300 | {command} | (sleep 1; cat)", simulator)

        assert len(done.results) == 300


class TestInterruption:
    async def test_finishes_requests_in_flight_and_ends_with_130(self, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with Simulator(SimulatorSettings(quota=None, latency=0.05)) as simulator:
            async with started("retrieve", "-i", many_ids, "-o", out, simulator=simulator) as process:
                await until(lambda: simulator.counts.api_requests >= 50)
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
                err = await err_of(process)
            assert len(lines_of(out.read_text())) == simulator.counts.api_requests
        assert "Interrupted: " in err
        assert "--skip-done" in err
        assert "Traceback" not in err

    async def test_does_not_wait_for_the_quota(self, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with Simulator(SimulatorSettings(quota=Quota(20, 60.0))) as simulator:
            async with started(
                "retrieve", "-i", many_ids, "--quota", "20/60", "-o", out, simulator=simulator
            ) as process:
                await until(lambda: lines_in(out) >= 20)
                process.send_signal(signal.SIGTERM)
                with anyio.fail_after(5):
                    assert await process.wait() == 143
        assert len(lines_of(out.read_text())) == 20

    async def test_does_not_wait_for_standard_input(self, simulator: Simulator):
        async with started("retrieve", "a", "-i", "-", simulator=simulator, stdin=subprocess.PIPE) as process:
            await until(lambda: simulator.counts.api_requests >= 1)
            process.send_signal(signal.SIGINT)
            with anyio.fail_after(5):
                assert await process.wait() == 130
            assert process.stdout is not None
            assert ids_in(lines_of((await process.stdout.receive()).decode())) == ["a"]

    async def test_twice_stops_at_once(self, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with Simulator(SimulatorSettings(quota=None, faults={Fault.HANG: 0.2}, fault_seconds=60.0)) as simulator:
            async with started("retrieve", "-i", many_ids, "-o", out, simulator=simulator) as process:
                await until(lambda: simulator.counts.in_flight == AUTO_WORKERS)
                process.send_signal(signal.SIGINT)
                assert process.stderr is not None
                err = (await process.stderr.receive()).decode()
                assert "Stopping" in err
                process.send_signal(signal.SIGINT)
                with anyio.fail_after(5):
                    assert await process.wait() == 130
                err += await err_of(process)
            assert len(lines_of(out.read_text())) == simulator.counts.api_ok
        assert "Traceback" not in err
