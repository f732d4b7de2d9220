"""Each benchmark is a command: it starts from the checkout, and the benchmarks' README names it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
COMMANDS = sorted(file.stem for file in BENCHMARKS.glob("[!_]*.py"))


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks pin processes to cores")
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
