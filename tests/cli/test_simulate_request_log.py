"""`simulate --request-log`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import run, started

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_it_has_a_line_for_each_request(tmp_path: Path):
    log = tmp_path / "requests.jsonl"
    async with started("simulate", "--port", "0", "--quota", "none", "--request-log", log) as process:
        assert process.stderr is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            greeting += (await process.stderr.receive()).decode()
        words = [line.removeprefix("export ").partition("=") for line in greeting.splitlines() if "export " in line]
        done = await run("retrieve", "a", "missing-b", variables={name: value for name, _, value in words})
        assert done.code == 6
        process.terminate()
        assert await process.wait() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines if line["kind"] == "token"] == [200]
    assert sorted(line["status"] for line in lines if line["kind"] == "api") == [200, 404]


async def test_a_log_that_cannot_be_written_is_a_usage_error(tmp_path: Path):
    done = await run("simulate", "--port", "0", "--request-log", tmp_path)
    assert done.code == 2
    assert "--request-log" in done.err
    assert "name another file" in done.err
