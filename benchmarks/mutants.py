"""
The teeth of the tests: small faults put into the package one at a time, and whether a test notices.

    python -m benchmarks.mutants                          all shields and hand-backs, and 200 drawn from the rest
    python -m benchmarks.mutants --module limiter api     the modules of these rooms
    python -m benchmarks.mutants --count 0                shields and hand-backs only
    python -m benchmarks.mutants --short                  a dozen of the core against their own tests (a minute)

Each mutant runs in a copy of the checkout, first against the files of its module, `tests/<room>/test_<module>*.py`,
then, if these let it live, against those of its room and the flows. Tests that hang have noticed. Mutants that change
nothing anybody can see are named, each with its reason, in `mutation/equivalents.toml`, and are not tried. It ends with
exit code 1 if less than 85 % are killed of all, or of a module in which seven or more were tried.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from .harness.command_line import at_least_one, parse, parser_of, whole_number, writable, write_json
from .harness.environment import PROJECT
from .mutation.equivalents import known_equivalents
from .mutation.sampler import ALWAYS, Mutant, mutants_of
from .mutation.trial import PACKAGE, Copy, UnmutatedFailure, Verdict, end_with_tests, preload

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOOR = 0.85
"""The share of a module's mutants, and of all, that the tests must kill."""

MIN_TRIED = 7
"""Mutants of a module below which one survivor alone would be too many."""

SHORT_SEED, SHORT_COUNT = 7, 12
SHORT_ROOMS = (
    "limiter/",
    "quota/ledger.py",
    "quota/headers.py",
    "api/retry.py",
    "audit/",
    "webhooks/",
    "sinks/dispatch",
)
"""Modules whose own tests take seconds and leave little to others, for the run of CI."""

MAX_SHOWN = 70
"""Characters of a piece of source in the list of survivors."""


@dataclass(frozen=True)
class Trial:
    """A mutant, and what became of it."""

    mutant: Mutant
    verdict: Verdict
    seconds: float


class Worker:
    """What one process of the pool keeps: its copy of the project."""

    copy: Copy | None = None

    @classmethod
    def start(cls, directory: str) -> None:
        """Make the copy in which this process tries its mutants; SIGTERM ends it with the tests that it runs."""
        signal.signal(signal.SIGTERM, end_with_tests)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cls.copy = Copy(Path(directory) / f"copy-{os.getpid()}")

    @classmethod
    def run(cls, mutant: Mutant, with_wider: bool) -> Trial:
        """Try one mutant."""
        assert cls.copy is not None
        started = time.monotonic()
        verdict = cls.copy.try_mutant(mutant, with_wider=with_wider)
        return Trial(mutant, verdict, time.monotonic() - started)


def every_mutant(words: Sequence[str]) -> list[Mutant]:
    """Return the mutants of all modules whose path in the package contains one of the words, or of all modules."""
    package = PROJECT / PACKAGE
    found: list[Mutant] = []
    for file in sorted(package.rglob("*.py")):
        module = file.relative_to(package).as_posix()
        if not words or any(word in module for word in words):
            found += mutants_of(module, file.read_text(encoding="utf-8"))
    return found


def chosen(mutants: Sequence[Mutant], count: int, seed: int, *, always: bool) -> list[Mutant]:
    """Return `count` mutants drawn at random, and those of the kinds that are always tried."""
    certain = [mutant for mutant in mutants if always and mutant.kind in ALWAYS]
    rest = [mutant for mutant in mutants if not always or mutant.kind not in ALWAYS]
    # By a hash of each mutant's place: a change of the package elsewhere changes nothing of the draw.
    drawn = sorted(rest, key=lambda mutant: sha256(repr((seed, mutant.place)).encode()).digest())[:count]
    return sorted([*certain, *drawn], key=lambda mutant: (mutant.module, mutant.start))


def try_all(mutants: Sequence[Mutant], jobs: int, *, with_wider: bool, directory: str) -> list[Trial]:
    """Try mutants in several processes, and show those that live as they are found."""
    preload()
    trials: list[Trial] = []
    # Left early, the pool ends its processes by SIGTERM.
    with get_context("fork").Pool(jobs, Worker.start, (directory,)) as pool:
        for trial in pool.imap_unordered(partial(Worker.run, with_wider=with_wider), mutants):
            trials.append(trial)
            if trial.verdict is Verdict.SURVIVED:
                print(f"survived, {len(trials)} of {len(mutants)} tried: {described(trial.mutant)}", flush=True)
    return sorted(trials, key=lambda trial: (trial.mutant.module, trial.mutant.start))


def described(mutant: Mutant) -> str:
    """Return the place of a mutant, and the source before and after."""
    return f"{mutant.module}:{mutant.line} ({mutant.kind}): {_shown(mutant.before)} -> {_shown(mutant.after)}"


def _shown(source: str) -> str:
    one_line = " ".join(source.split())
    return one_line if len(one_line) <= MAX_SHOWN else f"{one_line[: MAX_SHOWN - 3]}..."


def print_table(trials: Sequence[Trial]) -> list[str]:
    """Print the share of killed mutants by module, and return what is below the floor."""
    by_module: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_module[trial.mutant.module].append(trial)
    print("| module | killed | tried | % | by its own tests | hung |\n| :-- | --: | --: | --: | --: | --: |")
    weak: list[str] = []
    for module, those in [*by_module.items(), ("all", list(trials))]:
        verdicts = [trial.verdict for trial in those]
        killed = len(verdicts) - verdicts.count(Verdict.SURVIVED)
        if killed < FLOOR * len(verdicts) and len(verdicts) >= MIN_TRIED:
            weak.append(module)
        own, hung = verdicts.count(Verdict.KILLED), verdicts.count(Verdict.HUNG)
        print(f"| {module} | {killed} | {len(verdicts)} | {100 * killed / len(verdicts):.0f} | {own} | {hung} |")
    return weak


def main() -> None:
    """Print the table, and the mutants that no test noticed."""
    parser = parser_of("mutants", "Small faults in the package, and whether a test notices.")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the draw (default: %(default)s)")
    parser.add_argument("--count", type=whole_number, default=200, metavar="N", help="mutants to draw")
    parser.add_argument("--module", nargs="+", default=[], metavar="WORD", help="modules whose path contains a word")
    parser.add_argument("--jobs", type=at_least_one, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--own", action="store_true", help="run the modules' own tests only")
    parser.add_argument("--short", action="store_true", help="a dozen of the core, against their own tests only")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every mutant and its end to this file")
    options = parse(parser)
    seed, count, words = options.seed, options.count, options.module
    with_wider = not (options.own or options.short)
    if options.short:
        seed, count, words = SHORT_SEED, SHORT_COUNT, SHORT_ROOMS
    known = known_equivalents()
    found = every_mutant(words)
    mutants = chosen([each for each in found if each.place not in known], count, seed, always=not options.short)
    if not mutants:
        sys.exit(f"--module: no module contains {' or '.join(words)}.")
    print(f"{len(mutants)} of {len(found)} mutants, seed {seed}, {options.jobs} processes.\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as directory:
        try:
            trials = try_all(mutants, options.jobs, with_wider=with_wider, directory=directory)
        except UnmutatedFailure as error:
            sys.exit(str(error))
    print()
    weak = print_table(trials)
    survivors = [trial.mutant for trial in trials if trial.verdict is Verdict.SURVIVED]
    print("\n".join(["", *map(described, survivors)]))
    write_json(options.json, {"seed": seed, "trials": [_numbers(trial) for trial in trials]})
    if weak:
        sys.exit(f"Less than {FLOOR:.0%} killed in: {', '.join(weak)}.")


def _numbers(trial: Trial) -> dict[str, object]:
    mutant = trial.mutant
    return {
        "module": mutant.module,
        "function": mutant.function,
        "line": mutant.line,
        "kind": mutant.kind,
        "before": mutant.before,
        "after": mutant.after,
        "verdict": trial.verdict.value,
        "seconds": round(trial.seconds, 1),
    }


if __name__ == "__main__":
    main()
