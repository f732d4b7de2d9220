"""`demo` as a process: no credentials, and a true summary."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import err_of, lines_in, lines_of, run, started, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


class TestDemo:
    async def test_needs_no_credentials_and_prints_a_true_summary(self, tmp_path: Path):
        done = await run("demo", "--items", "300", cwd=tmp_path)

        assert done.code == 0
        assert done.out == ""
        results = lines_of((tmp_path / "genesys-media-demo.jsonl").read_text())
        assert len({str(result["file_id"]) for result in results}) == 300
        assert {result["status"] for result in results} == {"ok"}
        assert done.err.splitlines()[0].startswith("progress done=300/300 ok=300 failed=0 rate=")
        assert "300 ids done: 300 retrieved, 0 failed" in done.err
        assert "Output: genesys-media-demo.jsonl (300 lines)" in done.err
        assert "allows 300 requests in 1.5 s, counted 300 and refused 0 of them with 429" in done.err
        assert "Signature" not in done.err

    async def test_overwrites_its_former_output(self, tmp_path: Path):
        (tmp_path / "genesys-media-demo.jsonl").write_text("old\n" * 100_000)

        assert (await run("demo", "--items", "3", cwd=tmp_path)).code == 0
        assert len(lines_of((tmp_path / "genesys-media-demo.jsonl").read_text())) == 3

    async def test_interrupted_suggests_one_next_step(self, tmp_path: Path):
        out = tmp_path / "demo.jsonl"
        async with started("demo", "--items", "100000", "--output", out) as process:
            await until(lambda: lines_in(out) > 0)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            err = await err_of(process)
        assert "Interrupted: " in err
        assert err.count("Next") == 1
