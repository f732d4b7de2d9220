"""The output: batches of whole lines, and the count of safe ones."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.output.writer import MAX_HELD_LINES, Output, open_target

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def encode(item: str) -> bytes:
    return f"{item:>30}\n".encode()


async def test_it_holds_back_at_most_64_lines(tmp_path: Path):
    output = Output(open_target(str(tmp_path / "out")), b"head\n", encode)
    output.start()
    for _ in range(MAX_HELD_LINES - 1):
        await output.put("a")
    assert (tmp_path / "out").stat().st_size == 0

    await output.put("a")

    assert output.written == 64
    assert (tmp_path / "out").read_bytes().count(b"\n") == 65
    await output.finish()


async def test_it_counts_safe_lines_when_the_file_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    room = 80
    really_write = os.write

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = really_write(descriptor, data[:room])
        room -= count
        return count

    output = Output(open_target(str(tmp_path / "out")), b"", encode)
    output.start()
    for _ in range(5):
        await output.put("a")
    monkeypatch.setattr(os, "write", write)

    await output.finish()

    assert (output.written, output.lost) == (2, 3)
    assert (tmp_path / "out").read_bytes() == encode("a") * 2
    assert output.loss is not None
    assert output.loss.code is ExitCode.OUTPUT_LOST
    assert "No space left on device; 2 results are safely written, 3 are lost" in str(output.loss)


async def test_it_replaces_the_former_content_when_it_starts(tmp_path: Path):
    (tmp_path / "out").write_text("old\n" * 1_000)
    output = Output(open_target(str(tmp_path / "out")), b"head\n", encode)
    await output.flush()
    output.start()
    await output.finish()
    assert (tmp_path / "out").read_text() == "head\n"


async def test_an_output_that_never_starts_changes_nothing(tmp_path: Path):
    (tmp_path / "out").write_text("old, and longer than the header\n")
    output = Output(open_target(str(tmp_path / "out")), b"head\n", encode)
    await output.flush()
    await output.finish()
    assert (tmp_path / "out").read_text() == "old, and longer than the header\n"
    assert output.loss is None
