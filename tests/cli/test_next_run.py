"""What a run advises for the next one, and that it retrieves what is missing, whatever the ids were read from."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.cli import main
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.simulator import Fault, SimulatorSettings
from genesys_media_async.testing import ThreadedSimulator
from tests.support.commands import PROMPT_ORGANIZATION, ids_in, lines_of, use_environment
from tests.support.id_corpus import packed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ThreadedSimulator]:
    monkeypatch.chdir(tmp_path)
    with ThreadedSimulator(SimulatorSettings(quota=None)) as simulator:
        use_environment(simulator, monkeypatch)
        yield simulator


def advised(err: str) -> list[str]:
    """Return the options in the last lines of a summary."""
    return shlex.split(err.partition("Next, for the")[2].partition("\n")[2])


def results_in(path: str) -> list[dict[str, object]]:
    return lines_of(Path(path).read_text())


@pytest.mark.parametrize(
    "content",
    [
        b"a1\nb2\nc3\n",
        b"a1\r\nb2\r\nc3\r\n",
        b"# of Monday\na1\n\n  b2  \nc3",
        b'file_id;note\r\na1;"x\r\ny"\r\nb2;\r\nc3;c3\r\n',
        packed(b"a1\nb2\nc3\n"),
        "a1\r\nb2\r\nc3\r\n".encode("utf-16"),
        b'{"file_id":"a1"}\n{"file_id":"b2"}\n{"file_id":"c3"}\n',
    ],
    ids=["lines", "CR LF", "comments", "CSV", "gzip", "UTF-16", "JSON lines"],
)
@pytest.mark.parametrize("as_csv", [False, True], ids=["to JSON lines", "to CSV"])
def test_the_ids_that_failed_can_be_retrieved_as_advised(
    simulator: ThreadedSimulator, capsys: pytest.CaptureFixture[str], content: bytes, as_csv: bool
):
    Path("my ids").write_bytes(content)
    # Each of the two fails again in the second pass.
    simulator.script(None, *[Fault.SERVER_ERROR_503_RETRY_AFTER] * 4)
    options = ["--deadline", "0.2", *(["--format", "csv"] if as_csv else [])]
    assert main(["retrieve", "-i", "my ids", "-o", "my out.x", "--concurrency", "1", *options]) == 5
    before = Counter(simulator.counts.by_file_id)

    assert advised(err := capsys.readouterr().err)[:3] == ["-i", "my out.x", "--only-failed"], err
    assert main(["retrieve", *advised(err), *options]) == 0

    assert simulator.counts.by_file_id - before == {"b2": 1, "c3": 1}


def test_nothing_is_left_to_do_if_no_id_failed(simulator: ThreadedSimulator, capsys: pytest.CaptureFixture[str]):
    assert main(["retrieve", "a1", "b2", "-o", "old"]) == 0
    assert "Next" not in capsys.readouterr().err
    assert main(["retrieve", "-i", "old", "--only-failed", "-o", "new"]) == 0
    assert "0 ids done" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_ids_that_are_ok_in_an_earlier_output_are_left_out(
    simulator: ThreadedSimulator, capsys: pytest.CaptureFixture[str], form: str
):
    Path("some").write_text("a1\nmissing-1\n")
    Path("all").write_text("a1\r\nb2\r\nmissing-1\r\na1\r\n")
    assert main(["retrieve", "-i", "some", "-o", "old", "--format", form]) == 6

    assert main(["retrieve", "-i", "all", "--skip-done", "old", "-o", "new"]) == 6

    assert ids_in(results_in("new")) == ["b2", "missing-1"]
    err = capsys.readouterr().err
    assert "Left out: 2 done before" in err
    assert "done=2/2" in err


def test_nothing_is_left_to_do_if_all_ids_are_done(simulator: ThreadedSimulator, capsys: pytest.CaptureFixture[str]):
    assert main(["retrieve", "a1", "-o", "old"]) == 0
    Path("new").write_text("kept\n")

    assert main(["retrieve", "a1", "--skip-done", "old", "-o", "new"]) == 0

    assert "0 ids done" in capsys.readouterr().err
    assert Path("new").read_text() == "kept\n"


def test_an_id_with_several_media_is_retrieved_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    with ThreadedSimulator(PROMPT_ORGANIZATION) as simulator:
        use_environment(simulator, monkeypatch)
        one, two = simulator.organization.orphan_ids()[:2]
        simulator.organization.change(one, parts=2)
        Path("ids").write_text(f"{one}\n{two}\n")
        retrieve = ["retrieve", "--source", "orphan-recording"]
        assert main([*retrieve, "-i", "ids", "-o", "old"]) == 0
        # A run that ended early, and wrote one of the two.
        first = next(line for line in Path("old").read_text().splitlines() if one in line)
        Path("part").write_text(f"{first}\n")

        assert main([*retrieve, "-i", "ids", "--skip-done", "part", "-o", "new"]) == 0
        assert ids_in(results_in("new")) == sorted([one, one, two])
        assert main([*retrieve, "-i", "old", "-o", "again"]) == 0
        assert ids_in(results_in("again")) == sorted([one, one, two])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-i", "ids", "--skip-done", "ids"], "--skip-done: ids cannot be read: it is no output of retrieve"),
        (["-i", "ids", "--skip-done", "gone"], "--skip-done: gone cannot be read: No such file"),
        (["-i", "ids", "--skip-done", "old", "-o", "old"], "--output: it is the same file as that of --skip-done"),
        (["a", "--only-failed"], "--only-failed: it applies to an earlier output; name that by -i FILE"),
        (["-i", "ids", "--only-failed"], "--only-failed takes an output of retrieve"),
        (["-i", "old", "--only-failed", "-o", "old"], "--output: it is the same file as that of --input"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("unreachable_genesys")
def test_what_cannot_be_an_earlier_output_is_refused(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.chdir(tmp_path)
    Path("ids").write_text("a\nb\n")
    Path("old").write_text('{"file_id":"a","media_id":null,"status":"ok"}\n')
    assert main(["retrieve", *arguments]) in {ExitCode.USAGE, ExitCode.INPUT}
    assert message in capsys.readouterr().err
    assert Path("old").read_text()


def test_an_earlier_output_that_was_cut_off_has_what_is_whole(simulator: ThreadedSimulator):
    line = '{"file_id":"a","media_id":null,"status":"ok"}'
    Path("old").write_text(f"{line}\n{line.replace('a', 'b', 1)[:-1]}")
    assert main(["retrieve", "a", "b", "--skip-done", "old", "--skip-done", os.devnull, "-o", "new"]) == 0
    assert ids_in(results_in("new")) == ["b"]


class TestFormerContent:
    def test_is_kept_if_no_id_arrives(self, simulator: ThreadedSimulator, capsys: pytest.CaptureFixture[str]):
        Path("old.csv").write_text("of yesterday\n")
        assert main(["retrieve", "-i", os.devnull, "-o", "old.csv", "--format", "csv"]) == ExitCode.INPUT
        assert "has no ids" in capsys.readouterr().err
        assert Path("old.csv").read_text() == "of yesterday\n"

    def test_is_replaced_by_the_first_result(self, simulator: ThreadedSimulator):
        Path("old.csv").write_text("of yesterday\n" * 99)
        assert main(["retrieve", "a", "-o", "old.csv", "--format", "csv"]) == 0
        assert "yesterday" not in Path("old.csv").read_text()

    def test_that_others_can_read_is_named(self, simulator: ThreadedSimulator, capsys: pytest.CaptureFixture[str]):
        for mode in (0o644, 0o600):
            Path("old").touch()
            Path("old").chmod(mode)
            assert main(["retrieve", "a", "-o", "old"]) == 0
            assert ("Other users can read old, " in capsys.readouterr().err) is (mode == 0o644)
            assert Path("old").stat().st_mode & 0o777 == mode
