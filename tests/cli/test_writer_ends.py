"""The end of an output: what is still written, what is closed, and an error of closing."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.output.writer import Output, Target, open_target

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def is_open(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(descriptor)
        return True
    return False


async def test_a_cancelled_end_still_writes_what_was_held_back():
    reading, writing = os.pipe()
    output = Output[str](Target(writing, "pipe", is_standard=False), b"", str.encode)
    for number in range(3):
        await output.put(f"{number}\n")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await output.finish()
    assert (output.written, output.lost) == (3, 0)
    assert os.read(reading, 100) == b"0\n1\n2\n"
    os.close(reading)


@pytest.mark.parametrize("is_standard", [False, True])
async def test_the_end_closes_a_file_and_leaves_standard_output_open(is_standard: bool, tmp_path: Path):
    descriptor = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    output = Output[str](Target(descriptor, "out", is_standard=is_standard), b"", str.encode)
    await output.finish()
    assert is_open(descriptor) is is_standard
    if is_standard:
        os.close(descriptor)


async def test_an_error_of_closing_a_file_is_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A network file system may report a full disk only then, see close(2)."""
    target = open_target(str(tmp_path / "out"))
    really_close = os.close

    def close(descriptor: int) -> None:
        really_close(descriptor)
        if descriptor == target.descriptor:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    output = Output[str](target, b"", str.encode)
    await output.put("line\n")
    monkeypatch.setattr(os, "close", close)

    await output.finish()

    assert output.loss is not None
    assert output.loss.code is ExitCode.OUTPUT_LOST
    assert "Disk quota exceeded" in str(output.loss)
