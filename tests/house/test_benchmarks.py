"""
Each benchmark is a command: it starts from the checkout, and the benchmarks' README names it.

It names how its interpreter was built, and finds a better one. Its peers share their work among processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import interpreter
from benchmarks.harness.interpreter import THIS, Interpreter, build_of, programs, start_again
from benchmarks.peers.options import Options

if sys.platform == "linux":
    from benchmarks.harness.machine import Cores
    from benchmarks.peers.measurement import add_reports

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks pin processes to cores")
ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
COMMANDS = sorted(file.stem for file in BENCHMARKS.glob("[!_]*.py"))
DEBIAN = (
    "'--enable-shared' '--prefix=/usr' '--with-dbmliborder=bdb:gdbm' '--without-ensurepip' 'CC=x86_64-linux-gnu-gcc'"
)
PYENV = "'--prefix=/home/me/.pyenv/versions/3.11.7' '--enable-shared' 'LDFLAGS=-L/home/me/.pyenv/versions/3.11.7/lib'"
STANDALONE = "'--prefix=/install' '--without-ensurepip' '--enable-optimizations' '--enable-bolt' '--with-lto'"
FEDORA = (
    "'--prefix=/usr' '--enable-optimizations' '--with-lto' '--with-dbmliborder=gdbm:ndbm:bdb' '--without-ensurepip'"
)


@needs_linux
@pytest.mark.parametrize("command", COMMANDS)
def test_a_benchmark_starts_as_a_module_and_names_itself_in_its_help(command: str):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{command}", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m benchmarks.{command} ")


def test_the_benchmarks_readme_lists_every_command():
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert {command for command in COMMANDS if f"| `{command}" in readme} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_benchmarks_docstring_shows_how_it_is_started(command: str):
    source = (BENCHMARKS / f"{command}.py").read_text(encoding="utf-8")
    assert f"    python -m benchmarks.{command} " in source


@pytest.mark.parametrize(
    ("variables", "build"),
    [
        ({}, "no PGO"),
        ({"CONFIG_ARGS": None}, "no PGO"),
        ({"CONFIG_ARGS": PYENV, "MULTIARCH": "x86_64-linux-gnu"}, "no PGO"),
        ({"CONFIG_ARGS": f"{PYENV} '--enable-optimizations'"}, "PGO"),
        ({"CONFIG_ARGS": f"{PYENV} '--enable-optimizations' '--without-lto'"}, "PGO"),
        ({"CONFIG_ARGS": f"{PYENV} '--enable-optimizations' '--with-lto=no'"}, "PGO"),
        ({"CONFIG_ARGS": f"{PYENV} '--enable-optimizations' '--with-lto=thin'"}, "PGO and LTO"),
        ({"CONFIG_ARGS": f"{PYENV} '--with-lto'"}, "LTO, no PGO"),
        ({"CONFIG_ARGS": STANDALONE}, "PGO and LTO"),
        ({"CONFIG_ARGS": FEDORA, "MULTIARCH": "x86_64-linux-gnu"}, "PGO and LTO"),
        ({"CONFIG_ARGS": DEBIAN, "MULTIARCH": "x86_64-linux-gnu"}, "PGO and LTO"),
        ({"CONFIG_ARGS": DEBIAN, "MULTIARCH": "aarch64-linux-gnu"}, "PGO and LTO"),
        ({"CONFIG_ARGS": DEBIAN, "MULTIARCH": "riscv64-linux-gnu"}, "no PGO"),
        ({"CONFIG_ARGS": f"{DEBIAN} '--with-pydebug'", "MULTIARCH": "x86_64-linux-gnu"}, "no PGO"),
        ({"CONFIG_ARGS": PYENV, "PY_CORE_CFLAGS": "-O3 -fprofile-use -fprofile-correction"}, "PGO"),
        ({"CONFIG_ARGS": PYENV, "PY_CORE_CFLAGS": "-O2 -fprofile-instr-use=x", "PY_LDFLAGS": "-flto"}, "PGO and LTO"),
        ({"CONFIG_ARGS": PYENV, "PGO_PROF_USE_FLAG": "-fprofile-use"}, "no PGO"),
    ],
)
def test_the_build_is_read_from_the_variables_of_sysconfig(variables: dict[str, object], build: str):
    assert build_of(variables) == build


def test_an_interpreter_says_the_same_of_itself_as_when_it_is_asked():
    this = Interpreter.this()
    assert Interpreter.ask(sys.executable) == this
    assert str(this) == f"Python {this.version} ({this.build})"


def test_what_is_no_python_does_not_answer(tmp_path: Path):
    file = executable(tmp_path / "python3.12", "echo command not found >&2; exit 127")
    assert Interpreter.ask(str(file)) is None
    assert Interpreter.ask(str(tmp_path / "missing")) is None


def test_builds_of_one_version_do_not_share_an_environment():
    assert {Interpreter("python", "3.13.5", build).tag for build in ("no PGO", "PGO", "PGO and LTO")} == {
        "3.13.5",
        "3.13.5-PGO",
        "3.13.5-PGO-and-LTO",
    }


@pytest.mark.parametrize(("version", "is_supported"), [("3.10.13", False), ("3.11.2", True), ("3.14.0rc1", True)])
def test_an_interpreter_is_new_enough_from_the_packages_oldest(version: str, is_supported: bool):
    assert Interpreter("python", version, "PGO").is_supported is is_supported


def test_pythons_are_found_newest_first_in_every_folder(tmp_path: Path):
    shims, system = tmp_path / "shims", tmp_path / "system"
    for file in (shims / "python3.11", shims / "python3.13", system / "python3.13", system / "python3.9"):
        executable(file, "exit 127")
    (system / "python3.12").write_text("not executable")
    found = [
        file for file in programs(os.pathsep.join(map(str, (shims, system, "")))) if file.startswith(str(tmp_path))
    ]
    assert found == [str(shims / "python3.13"), str(system / "python3.13"), str(shims / "python3.11")]


class Started(Exception):
    """Raised in the place of starting a program."""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Interpreter]:
    """Every interpreter of the machine; tests add theirs. The one that runs has no PGO."""
    interpreters: dict[str, Interpreter] = {}

    def start(program: str, command: list[str]) -> None:
        raise Started(program, *command[1:])

    monkeypatch.setattr(os, "execv", start)
    monkeypatch.setattr(interpreter, "programs", lambda path: interpreters)
    monkeypatch.setattr(Interpreter, "this", lambda: Interpreter("here", "3.11.7", "no PGO"))
    monkeypatch.setattr(Interpreter, "ask", interpreters.get)
    monkeypatch.setattr(sys, "argv", ["benchmarks/throughput.py", "--only", "ours"])
    return interpreters


def add(interpreters: dict[str, Interpreter], program: str, version: str, build: str) -> None:
    interpreters[program] = Interpreter(program, version, build)


def test_a_benchmark_starts_again_on_the_first_interpreter_with_pgo(known: dict[str, Interpreter]):
    add(known, "/usr/bin/python3.13", "3.13.0", "no PGO")
    add(known, "/usr/bin/python3.12", "3.12.1", "PGO")
    add(known, "/usr/bin/python3.11", "3.11.2", "PGO and LTO")
    with pytest.raises(Started) as started:
        start_again("throughput", None)
    command = ("-m", "benchmarks.throughput", "--only", "ours", "--python", THIS)
    assert started.value.args == ("/usr/bin/python3.12", *command)


def test_a_benchmark_stays_where_it_is_told_to(known: dict[str, Interpreter], capsys: pytest.CaptureFixture[str]):
    add(known, "/usr/bin/python3.12", "3.12.1", "PGO")
    start_again("throughput", THIS)
    assert capsys.readouterr().err == ""


def test_a_benchmark_that_finds_no_better_interpreter_says_so(
    known: dict[str, Interpreter], capsys: pytest.CaptureFixture[str]
):
    add(known, "/usr/bin/python3.12", "3.12.1", "no PGO")
    start_again("throughput", None)
    assert "None was found" in capsys.readouterr().err


def test_a_benchmark_with_pgo_looks_for_nothing(known: dict[str, Interpreter], monkeypatch: pytest.MonkeyPatch):
    add(known, "/usr/bin/python3.13", "3.13.0", "PGO and LTO")
    monkeypatch.setattr(Interpreter, "this", lambda: Interpreter("here", "3.11.2", "PGO"))
    start_again("throughput", None)


def test_a_named_interpreter_is_taken_whatever_its_build(known: dict[str, Interpreter]):
    add(known, "/opt/python", "3.13.0", "no PGO")
    with pytest.raises(Started) as started:
        start_again("growth", "/opt/python")
    assert started.value.args[0] == "/opt/python"


@pytest.mark.parametrize("program", ["/opt/old", "/opt/missing"])
def test_a_named_interpreter_must_exist_and_be_new_enough(known: dict[str, Interpreter], program: str):
    add(known, "/opt/old", "3.10.13", "PGO and LTO")
    with pytest.raises(SystemExit, match=f"{program} is not a Python of 3.11 or newer"):
        start_again("growth", program)


@needs_linux
def test_a_benchmark_refuses_what_is_no_python_before_it_measures(tmp_path: Path):
    command = [sys.executable, "-m", "benchmarks.throughput", "--python", str(executable(tmp_path / "no", "exit 1"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a Python" in done.stderr


def executable(file: Path, script: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def options_of(folder: Path, *, items: int, in_flight: int, warm_up: int, processes: int) -> Options:
    out, audit = folder / "out.json", folder / "audit.jsonl"
    url = "http://127.0.0.1"
    rest = argparse.Namespace()
    return Options(url, url, items, 0.0, in_flight, warm_up, out, audit, "asyncio", rest, processes)


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_processes_share_all_ids_and_the_number_in_flight(tmp_path: Path, processes: int):
    whole = options_of(tmp_path, items=1_001, in_flight=65, warm_up=131, processes=processes)
    shares = list(whole.shares())
    assert len({share.out for share in shares}) == processes
    assert {share.processes for share in shares} == {1}
    assert sum(share.in_flight for share in shares) == 65
    assert sum(share.items for share in shares) == 1_001
    ids = [file_id for share in shares for file_id in (*share.warm_up_ids(), *share.ids())]
    assert sorted(ids) == [*whole.warm_up_ids(), *whole.ids()]


@needs_linux
def test_reports_are_added_from_the_first_start_to_the_last_end(tmp_path: Path):
    options = options_of(tmp_path, items=30, in_flight=2, warm_up=0, processes=2)
    common = {"peak_mib": 20.0, "latency_p50": 0.001}
    reports: list[dict[str, object]] = [
        {"items": 10, "answers": 10, "started": 5.0, "seconds": 2.0, "cpu_seconds": 1.5, "errors": 0},
        {"items": 20, "answers": 21, "started": 5.5, "seconds": 3.0, "cpu_seconds": 2.0, "errors": 1},
    ]
    for report, first_error, latency_p99 in zip(reports, (None, "status 500"), (0.5, 0.25), strict=True):
        report |= {**common, "first_error": first_error, "latency_p99": latency_p99}
    files = [tmp_path / f"{number}.json" for number in range(2)]
    for file, report in zip(files, reports, strict=True):
        file.write_text(json.dumps(report))
    add_reports(options, files)
    assert json.loads(options.out.read_text()) == {
        "items": 30,
        "answers": 31,
        "started": 5.0,
        "seconds": 3.5,
        "cpu_seconds": 3.5,
        "peak_mib": 40.0,
        "errors": 1,
        "first_error": "status 500",
        "latency_p50": 0.001,
        "latency_p99": 0.5,
    }


# A process of its own forks: one of pytest may have threads.
PEER = """
import argparse, asyncio, sys, time
from pathlib import Path
from benchmarks.peers.driver import run
from benchmarks.peers.measurement import Counters, Measurement, write_report
from benchmarks.peers.options import Options

async def main(options):
    if sys.argv[2] == "fail":
        raise ConnectionError("refused")
    await asyncio.sleep(0.0 if options.first else 0.2)
    ready, measurement = time.perf_counter(), Measurement()
    with measurement:
        counters = Counters(answers=sum(1 for _ in options.ids()), errors=options.first)
    write_report(options, measurement, counters, {"latency_p50": ready, "latency_p99": ready})

url, out = "http://127.0.0.1", Path(sys.argv[1])
run(main, Options(url, url, 1_000, 0.0, 2, 0, out, None, "asyncio", argparse.Namespace(), 2))
"""


def run_peer(out: Path, how: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", PEER, str(out), how]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@needs_linux
def test_processes_measure_together_and_write_one_report(tmp_path: Path):
    done = run_peer(tmp_path / "out.json", "measure")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((tmp_path / "out.json").read_text())
    assert (report["items"], report["errors"]) == (1_000, 500)
    # The percentiles of this peer are the moments at which its processes were ready; the last one's is kept.
    assert report["started"] >= report["latency_p50"]


@needs_linux
def test_a_process_that_fails_leaves_no_report(tmp_path: Path):
    done = run_peer(tmp_path / "out.json", "fail")
    assert done.returncode == 1
    assert "ConnectionError: refused" in done.stderr
    assert not (tmp_path / "out.json").exists()


@needs_linux
def test_one_process_has_a_core_apart_from_the_server_and_more_share_all(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 1, 2})
    assert Cores.choose() == Cores(frozenset({1}), frozenset({2}))
    assert not Cores.choose().are_shared
    assert Cores.choose(2) == Cores(frozenset({1, 2, 3}), frozenset({1, 2, 3}))
    assert "none pinned apart" in str(Cores.choose(2))


@needs_linux
def test_the_only_core_is_shared(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4})
    assert Cores.choose().are_shared
    assert "the only one" in str(Cores.choose())
