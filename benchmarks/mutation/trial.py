"""One mutant against the tests: in a copy of the project, with a fresh pytest in a forked process."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from ..harness.environment import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sampler import Mutant

PACKAGE = "genesys_media_async"
COPIED = (PACKAGE, "tests", "benchmarks", "pyproject.toml")
FLOWS = "flows"
LOG = "pytest.log"

TEST_TIMEOUT = 20
"""Seconds after which a single test counts as hanging."""

MIN_LIMIT = 30.0
"""Seconds that any set of tests may take, in addition to five times what it takes without a mutant."""

# Imported once here, so that no trial imports them. None of them may import the package.
PRELOADED = (
    "pytest", "hypothesis", "hypothesis.strategies", "httpx", "httptools", "anyio._backends._asyncio", "pydantic",
    "aiolimiter", "backoff", "aiohappyeyeballs", "trustme", "uvloop", "cyclopts", "rich.progress", "asyncio", "ssl",
)  # fmt: skip


_running: set[int] = set()
"""The processes of this one that run tests, each the leader of a group."""


class UnmutatedFailure(Exception):
    """Tests fail without any mutant, so that their failing would say nothing."""


class Verdict(Enum):
    """What the tests made of a mutant."""

    KILLED = "killed"
    KILLED_LATE = "killed by the second set"
    HUNG = "hung"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Suites:
    """The tests of a module, first its own, then those of its room and of the flows through all rooms."""

    own: tuple[str, ...]
    wider: tuple[str, ...]


def suites_of(module: str, project: Path = PROJECT) -> Suites:
    """Return the test files for a module of the package, relative to the project."""
    parts = Path(module).with_suffix("").parts
    room = project / "tests" / parts[0] if len(parts) > 1 else project / "tests"
    stem = parts[-2] if parts[-1] in {"base", "__init__"} and len(parts) > 1 else parts[-1]
    every = sorted(room.rglob("test_*.py") if len(parts) > 1 else room.glob("test_*.py"))
    own = [file for file in every if file.stem == f"test_{stem}" or file.stem.startswith(f"test_{stem}_")]
    # A part of something larger may be tested as such.
    own = own or sorted((project / "tests").joinpath(*parts[:-1]).glob("test_*.py"))
    flows = [] if parts[0] == "simulator" else sorted((project / "tests" / FLOWS).glob("test_*.py"))
    wider = [file for file in (*every, *flows) if file not in own]
    return Suites(*(tuple(str(file.relative_to(project)) for file in files) for files in (own, wider)))


class Copy:
    """A copy of the project, in which one module at a time has a fault."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        directory.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=ignored)
            else:
                shutil.copy2(source, directory / name)
        self._written_at = int(time.time())
        self._limits: dict[tuple[str, ...], float] = {}

    def try_mutant(self, mutant: Mutant, *, with_wider: bool) -> Verdict:
        """Run the module's tests, and then the wider ones if wanted, until one of them notices the fault."""
        suites = suites_of(mutant.module, self.root)
        for files, killed in ((suites.own, Verdict.KILLED), (suites.wider, Verdict.KILLED_LATE)):
            if not files or (killed is Verdict.KILLED_LATE and not with_wider):
                continue
            limit = self._limit_of(files)
            file = self.root / PACKAGE / mutant.module
            source = file.read_bytes()
            try:
                self._write(file, mutant.applied(source))
                passed = run_tests(self.root, files, limit)
            finally:
                self._write(file, source)
            if passed is not True:
                return Verdict.HUNG if passed is None else killed
        return Verdict.SURVIVED

    def _limit_of(self, files: tuple[str, ...]) -> float:
        """Return the seconds that some tests may take. Raises `UnmutatedFailure` if they fail without any mutant."""
        if files not in self._limits:
            started = time.monotonic()
            if run_tests(self.root, files, None) is not True:
                failed = [line for line in (self.root / LOG).read_text().splitlines() if line.startswith("FAILED")]
                raise UnmutatedFailure(f"Without a mutant these fail: {', '.join(failed or files)}.")
            self._limits[files] = MIN_LIMIT + 5 * (time.monotonic() - started)
        return self._limits[files]

    def _write(self, file: Path, source: bytes) -> None:
        # Byte code is chosen by size and whole second: no two versions of a module may have the same.
        file.write_bytes(source)
        self._written_at += 1
        os.utime(file, (self._written_at, self._written_at))


def preload() -> None:
    """Import what every trial needs, and what no mutant can change."""
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)


def run_tests(root: Path, files: Sequence[str], limit: float | None) -> bool | None:
    """Return whether some tests pass in a copy of the project; None if they did not end in time."""
    child = os.fork()
    if child == 0:
        _run_pytest(root, files)
    _running.add(child)
    deadline = float("inf") if limit is None else time.monotonic() + limit
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    # What the tests started may be left even if they ended by themselves.
    _kill_group(child)
    if not ended:
        os.waitpid(child, 0)
    _running.discard(child)
    return os.waitstatus_to_exitcode(status) == 0 if ended else None


def end_with_tests(*_: object) -> None:
    """End this process, and the tests that it runs; a handler of signals."""
    for child in _running:
        _kill_group(child)
    os._exit(1)


def _kill_group(leader: int) -> None:
    """End a process and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _run_pytest(root: Path, files: Sequence[str]) -> None:
    """Become a process that runs some tests, and end with pytest's exit code."""
    code = 3
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(root)
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(root / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream, descriptor in enumerate((null, log, log)):
            os.dup2(descriptor, stream)
        os.environ["PYTHONPATH"] = str(root)
        os.environ["PYTHONHASHSEED"] = "0"
        sys.path[:] = [str(root), *(each for each in sys.path if each not in {"", str(PROJECT)})]
        # The benchmarks that run belong to the checkout; the tests' own are those of the copy.
        for name in [name for name in sys.modules if name.partition(".")[0] == "benchmarks"]:
            del sys.modules[name]
        import pytest

        options = ["-x", "-q", "-n0", "-p", "no:randomly", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        ignored = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = int(pytest.main([*options, *ignored, f"--timeout={TEST_TIMEOUT}", *files]))
    finally:
        os._exit(code)
