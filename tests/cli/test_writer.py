"""The output: batches of whole lines, and the count of safe ones."""

from __future__ import annotations

import errno
import os
import sys
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
    for _ in range(5):
        await output.put("a")
    monkeypatch.setattr(os, "write", write)

    await output.finish()

    assert (output.written, output.lost) == (2, 3)
    assert (tmp_path / "out").read_bytes() == encode("a") * 2
    assert output.loss is not None
    assert output.loss.code is ExitCode.OUTPUT_LOST
    assert "No space left on device; 2 results are safely written, 3 are lost" in str(output.loss)


async def test_the_first_item_replaces_the_former_content(tmp_path: Path):
    (tmp_path / "out").write_text("old\n" * 1_000)
    output = Output(open_target(str(tmp_path / "out")), b"head\n", encode)
    await output.flush()
    assert (tmp_path / "out").stat().st_size == 4_000
    await output.put("a")
    await output.finish()
    assert (tmp_path / "out").read_bytes() == b"head\n" + encode("a")


async def test_an_item_without_a_line_replaces_it_too(tmp_path: Path):
    (tmp_path / "out").write_text("old\n")
    output = Output[str](open_target(str(tmp_path / "out")), b"", lambda _: b"")
    await output.put("a failure, in an output of URLs")
    await output.finish()
    assert (tmp_path / "out").read_bytes() == b""


async def test_an_output_without_an_item_changes_nothing(tmp_path: Path):
    (tmp_path / "out").write_text("old, and longer than the header\n")
    output = Output(open_target(str(tmp_path / "out")), b"head\n", encode)
    await output.flush()
    await output.finish()
    assert (tmp_path / "out").read_text() == "old, and longer than the header\n"
    assert output.loss is None


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
@pytest.mark.parametrize(("mode", "expected"), [(0o600, False), (0o640, True), (0o604, True), (0o622, False)])
async def test_a_file_knows_whether_others_can_read_it(tmp_path: Path, mode: int, expected: bool):
    (tmp_path / "out").touch()
    (tmp_path / "out").chmod(mode)
    target = open_target(str(tmp_path / "out"))
    assert target.is_readable_by_others is expected
    os.close(target.descriptor)
