"""Standard streams that are closed, full, too narrow, or left by their reader; `benchmarks.hygiene` has the rest."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.output.streams import _guarded
from tests.support.commands import COMMAND, TIMEOUT, environment, run_in_shell

if TYPE_CHECKING:
    from genesys_media_async.simulator import Simulator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors of POSIX")
FULL = Path("/dev/full")
NO_UVLOOP = "import sys; sys.modules['uvloop'] = None; from genesys_media_async.cli import main; sys.exit(main())"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "closed", "code"),
    [
        ("retrieve a b -o {out}", "<&- >&- 2>&-", 0),
        ("retrieve a b", "2>&-", 0),
        ("retrieve a b", ">&-", ExitCode.USAGE),
        ("retrieve -i -", "<&- 2>&-", ExitCode.INPUT),
        ("doctor", "<&- >&-", 0),
        ("demo --items 3 -o {out}", "<&- 2>&-", 0),
        ("--help", ">&- 2>&-", 0),
    ],
)
async def test_closed_streams_do_not_end_a_command(
    arguments: str, closed: str, code: int, simulator: Simulator, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    done = await run_in_shell(f"{shlex.join(COMMAND)} {arguments.format(out=out)} {closed}", simulator)
    assert done.code == code
    assert "Traceback" not in done.err
    if "{out}" in arguments:
        assert out.read_bytes().count(b'"status":"ok"') == out.read_bytes().count(b"\n") > 0


@pytest.mark.anyio
async def test_neither_do_they_on_the_loop_of_asyncio(simulator: Simulator) -> None:
    command = shlex.join([sys.executable, "-c", NO_UVLOOP, "retrieve", "a"])
    done = await run_in_shell(f"{command} <&- 2>&-", simulator)
    assert done.code == 0
    assert len(done.results) == 1


def finished(*arguments: str, stdout: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(), stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False
    )


@pytest.mark.skipif(not FULL.exists(), reason="the device of Linux that is always full")
def test_help_on_a_full_disk_ends_with_7_and_one_sentence() -> None:
    with FULL.open("wb") as full:
        done = finished("retrieve", "--help", stdout=full.fileno())
    assert done.returncode == ExitCode.OUTPUT_LOST
    assert done.stderr.decode().splitlines() == [
        "genesys-media: Standard output could not be written: No space left on device. Make room, or send it elsewhere."
    ]


def test_help_whose_reader_is_gone_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = finished("--version", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (ExitCode.READER_GONE, b"")


@pytest.mark.skipif(not FULL.exists(), reason="the device of Linux that is always full")
def test_a_full_standard_error_changes_no_exit_code() -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "retrieve", "--pace", "x"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=TIMEOUT,
            check=False,
        )
    assert (done.returncode, done.stdout) == (ExitCode.USAGE, b"")


def test_a_character_that_the_encoding_lacks_is_escaped() -> None:
    raw = io.BytesIO()
    guarded = _guarded(io.TextIOWrapper(raw, encoding="cp1252"))
    guarded.write("M\u00fcller \u682a\n")
    guarded.flush()
    assert raw.getvalue() == b"M\xfcller \\u682a\n"


def test_what_is_written_after_a_failure_is_discarded(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with _guarded(io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8")) as guarded:
        for _ in range(3):
            guarded.write("x" * 100_000)
            guarded.flush()


@pytest.mark.anyio
async def test_a_low_limit_of_open_files_is_raised_or_named_in_one_sentence(simulator: Simulator) -> None:
    command = shlex.join([*COMMAND, "retrieve", "a"])
    raised = await run_in_shell(f"ulimit -Sn 24; exec {command}", simulator)
    assert raised.code == 0, raised.err
    refused = await run_in_shell(f"ulimit -n 8; exec {command}", simulator)
    assert (refused.code, refused.out) == (ExitCode.CONFIGURATION, "")
    assert refused.err == (
        "genesys-media: Only 8 files may be open at once (ulimit -n), and this needs 96: raise that limit, or choose a "
        "lower --concurrency than 64.\n"
    )
