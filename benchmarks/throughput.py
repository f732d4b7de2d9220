"""
Requests a second and CPU time of the whole pipeline on one core: this package beside its peers, in one run.

    python -m benchmarks.throughput                    every row, five rounds (some minutes)
    python -m benchmarks.throughput --tls              the same over TLS, certificates verified
    python -m benchmarks.throughput --only ours go     rows whose names contain one of these words
    python -m benchmarks.throughput --processes 2      every client with two processes or threads
    python -m benchmarks.throughput --json FILE        also write every single number

nginx answers on one core; the clients run on another, one at a time. In each round every row runs once, in an order
drawn anew from `--seed`. The numbers are medians over the rounds, and the ratios are medians of the ratios within a
round, so that a machine that becomes slower does not favour a row. The number of ids of each row is determined in
advance, so that a run takes about `--seconds`. benchmarks/README.md describes how the peers are tuned.

With `--processes N` the Python peers run as N processes, each with an event loop and its share of the ids, and Go and
wrk as one with N threads. `--in-flight` is then for each of the N. Clients and server share all cores.

Every client checks every answer, including that it is for the requested id; a row with errors is marked.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .harness.command_line import (
    add_common_options,
    at_least_one,
    chosen,
    duration,
    exit_code,
    parse,
    parser_of,
    write_json,
)
from .harness.environment import DEFAULT_DIRECTORY, Environment, prepare
from .harness.machine import Cores, describe
from .harness.runner import (
    MIN_ITEMS,
    Load,
    Measured,
    Peer,
    PeerFailed,
    Runner,
    Server,
    raise_file_limit,
    suitable_items,
)
from .harness.servers import NO_NGINX, Nginx, find_nginx

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

SWEEP_ROUNDS = 3
ONE_PROCESS = ("with_sdk.py",)


@dataclass(frozen=True)
class Row:
    """A row of the table; of several `in_flight`, the best is determined first. None means `--in-flight`."""

    name: str
    peer: Peer
    in_flight: tuple[int, ...] | None = None
    needs: str | None = None


def _ours(*arguments: str, audit: bool = True) -> Peer:
    return Peer("ours.py", arguments, audit=audit)


OURS_ON_ASYNCIO, OURS_ON_UVLOOP = "ours, asyncio", "ours, uvloop"
GO, HTTPX, WRK = "Go, net/http and slog", "httpx.AsyncClient", "wrk"
OUR_TRANSPORT = tuple(f"{HTTPX} over our transport, {loop}" for loop in ("asyncio", "uvloop"))
ROWS = (
    Row(OURS_ON_UVLOOP, _ours("--loop", "uvloop"), needs="uvloop"),
    Row(OURS_ON_ASYNCIO, _ours()),
    Row("ours, with the command's settings", _ours("--loop", "uvloop", "--collector", "seldom"), needs="uvloop"),
    Row("ours, uvloop, no audit trail", _ours("--loop", "uvloop", audit=False), needs="uvloop"),
    Row("ours, asyncio, no audit trail", _ours(audit=False)),
    Row("ours over stock httpx", _ours("--transport", "httpx")),
    Row("ours over stock httpx, no audit trail", _ours("--transport", "httpx", audit=False)),
    Row(GO, Peer("go"), (8, 16, 32, 64, 128), needs="go"),
    Row("Go, GOGC=400", Peer("go", ("-gogc", "400")), (8, 16, 32, 64, 128), needs="go"),
    Row("aiohttp, uvloop", Peer("with_aiohttp.py", ("--loop", "uvloop")), needs="aiohttp"),
    Row("aiohttp, asyncio", Peer("with_aiohttp.py"), needs="aiohttp"),
    Row(HTTPX, Peer("with_httpx.py")),
    Row(f"{HTTPX}, best in flight", Peer("with_httpx.py"), (1, 2, 4, 8, 16)),
    Row("httpx2.AsyncClient", Peer("with_httpx.py", ("--library", "httpx2")), needs="httpx2"),
    Row(OUR_TRANSPORT[0], Peer("with_httpx.py", ("--transport", "direct"))),
    Row(OUR_TRANSPORT[1], Peer("with_httpx.py", ("--transport", "direct", "--loop", "uvloop")), needs="uvloop"),
    Row("official SDK, threads", Peer("with_sdk.py"), (2, 4, 8, 16), needs="PureCloudPlatformClientV2"),
    Row(WRK, Peer("wrk", audit=False)),
)


@dataclass
class Plan:
    """A row, how much it does in a run, and the measurement of each round."""

    row: Row
    in_flight: int
    items: int
    runs: list[Measured] = field(default_factory=list)

    def of(self, name: str) -> float:
        """Return the median of a number."""
        return float(median(getattr(run, name) for run in self.runs))

    @property
    def errors(self) -> int:
        """How many answers were wrong, in all rounds together."""
        return sum(run.errors for run in self.runs)

    def as_dict(self) -> dict[str, object]:
        """Return all numbers."""
        runs = [asdict(run) for run in self.runs]
        return {"name": self.row.name, "in_flight": self.in_flight, "items": self.items, "runs": runs}


class Benchmark:
    """Plans the rows and runs them in rounds."""

    def __init__(self, runner: Runner, options: argparse.Namespace) -> None:
        self._runner = runner
        self._options = options
        self.plans: list[Plan] = []
        self.skipped: dict[str, str] = {}

    def plan(self, rows: Iterable[Row]) -> None:
        """Determine how many in flight and how many ids suit each row; rows that cannot run are skipped."""
        for row in rows:
            try:
                self.plans.append(self._plan(row))
            except PeerFailed as error:
                self.skipped[row.name] = str(error)

    def _plan(self, row: Row) -> Plan:
        missing = self._missing(row)
        if missing is not None:
            raise PeerFailed(missing)
        choices = [each * self._options.processes for each in row.in_flight or (self._options.in_flight,)]
        items = {in_flight: self._options.items or self._suitable_items(row, in_flight) for in_flight in choices}
        best = self._best_in_flight(row, items) if len(choices) > 1 else choices[0]
        return Plan(row, best, items[best])

    def _best_in_flight(self, row: Row, items: dict[int, int]) -> int:
        tried: dict[int, list[float]] = {in_flight: [] for in_flight in items}
        for _ in range(SWEEP_ROUNDS):
            for in_flight, rates in tried.items():
                rates.append(self._run(row, in_flight, max(MIN_ITEMS, items[in_flight] // 3)).rate)
        return max(tried, key=lambda in_flight: median(tried[in_flight]))

    def _missing(self, row: Row) -> str | None:
        if row.peer.program == "wrk" and shutil.which("wrk") is None:
            return "wrk was not found: apt-get install wrk"
        if row.peer.program in ONE_PROCESS and self._options.processes > 1:
            return "its threads take turns in one process"
        return self._runner.environment.skipped.get(row.needs) if row.needs else None

    def _suitable_items(self, row: Row, in_flight: int) -> int:
        if row.peer.program == "wrk":
            return self._run(row, in_flight, 1).items
        return suitable_items(lambda items: self._run(row, in_flight, items), self._options.seconds)

    def _run(self, row: Row, in_flight: int, items: int) -> Measured:
        return self._runner.run(row.peer, Load(in_flight, items, self._options.seconds, self._options.processes))

    def run_round(self, number: int) -> None:
        """Run every row once, in the round's order; a row that fails is removed and reported."""
        for plan in random.Random(f"{self._options.seed} {number}").sample(self.plans, len(self.plans)):
            try:
                plan.runs.append(self._run(plan.row, plan.in_flight, plan.items))
            except PeerFailed as error:
                self.skipped[plan.row.name] = f"round {number + 1}: {error}"
                self.plans.remove(plan)


def ratio(plan: Plan | None, reference: Plan | None, number: str = "rate") -> float | None:
    """Return the median over the rounds of a row's number divided by the other's; None if a row is missing or wrong."""
    if plan is None or reference is None or plan.errors or reference.errors:
        return None
    pairs = zip(plan.runs, reference.runs, strict=True)
    return float(median(getattr(own, number) / getattr(other, number) for own, other in pairs))


def print_table(plans: list[Plan]) -> None:
    """Print the Markdown table."""
    named = {plan.row.name: plan for plan in plans}
    columns: tuple[tuple[str, Callable[[Plan], str]], ...] = (
        ("in flight", lambda plan: str(plan.in_flight)),
        ("requests/s", lambda plan: f"{plan.of('rate'):,.0f}"),
        ("÷ Go", lambda plan: times(ratio(plan, named.get(GO)))),
        ("ours on asyncio ÷ this", lambda plan: times(ratio(named.get(OURS_ON_ASYNCIO), plan))),
        ("ours on uvloop ÷ this", lambda plan: times(ratio(named.get(OURS_ON_UVLOOP), plan))),
        ("CPU µs/item", lambda plan: f"{plan.of('cpu'):,.1f}"),
        ("CPU ÷ wrk", lambda plan: times(ratio(plan, named.get(WRK), "cpu"))),
        ("peak MiB", lambda plan: f"{plan.of('peak_mib'):.0f}"),
    )
    print(f"| | {' | '.join(title for title, _ in columns)} |")
    print("| :-- |" + " --: |" * len(columns))
    for plan in sorted(plans, key=lambda plan: -plan.of("rate")):
        errors = f" **{plan.errors:,} errors**" if plan.errors else ""
        print(f"| {plan.row.name}{errors} | {' | '.join(cell(plan) for _, cell in columns)} |")
    for plan in plans:
        if plan.row.name in OUR_TRANSPORT and HTTPX in named:
            print(f"\n{plan.row.name}: {times(ratio(plan, named[HTTPX]))} times the rate of {HTTPX}.")


def times(number: float | None) -> str:
    """Return a ratio as text, with its significant decimals."""
    if number is None:
        return ""
    digits = 3 if number < 0.1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{digits}f}"


def make_certificate(environment: Environment, folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority and its certificate for 127.0.0.1; return chain, key and authority."""
    command = [str(environment.python), "-m", "trustme", "-q", "-d", str(folder), "-i", "127.0.0.1", "localhost"]
    subprocess.run(command, check=True)
    return folder / "server.pem", folder / "server.key", folder / "client.pem"


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("throughput", "Requests a second and CPU time of the whole pipeline, beside its peers.")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N")
    parser.add_argument("--items", type=at_least_one, metavar="N", help="ids of each run, instead of --seconds")
    parser.add_argument("--in-flight", type=at_least_one, default=64, metavar="N")
    parser.add_argument("--processes", type=at_least_one, default=1, metavar="N", help="cores for every client")
    parser.add_argument("--seconds", type=duration, default=1.5, metavar="S", help="approximate length of each run")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="rows whose names contain one of these words")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the order within each round")
    add_common_options(parser, DEFAULT_DIRECTORY)
    return parse(parser)


def measure(rows: list[Row], environment: Environment, cores: Cores, options: argparse.Namespace) -> Benchmark:
    """Start the server and run all rounds."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chain, key, authority = make_certificate(environment, folder) if options.tls else (None, None, None)
        nginx = stack.enter_context(
            Nginx(cores.server, (chain, key) if chain and key else None, workers=options.processes)
        )
        runner = Runner(environment, Server(nginx.url, nginx.token_url, authority), cores.client)
        benchmark = Benchmark(runner, options)
        benchmark.plan(rows)
        for number in range(options.rounds):
            benchmark.run_round(number)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return benchmark


def report(benchmark: Benchmark, environment: Environment, cores: Cores, options: argparse.Namespace) -> None:
    """Print the table, and write the file of `--json`."""
    machine = describe(environment.versions)
    print(machine)
    each = f", {options.processes} processes or threads each" if options.processes > 1 else ""
    print(f"{'TLS' if options.tls else 'Plain HTTP'}, {options.rounds} rounds{each}, {cores}.\n")
    print_table(benchmark.plans)
    print()
    if not cores.are_shared:
        share = max((plan.of("others_share") for plan in benchmark.plans), default=0.0)
        print(f"Other processes used up to {share:.0%} of the client's core (median of the worst row).")
    for name, reason in benchmark.skipped.items():
        print(f"Skipped: {name}: {reason}")
    numbers = {
        "machine": machine,
        "versions": environment.versions,
        "tls": options.tls,
        "rounds": options.rounds,
        "processes": options.processes,
        "rows": [plan.as_dict() for plan in benchmark.plans],
        "skipped": benchmark.skipped,
    }
    write_json(options.json, numbers)


def main() -> int:
    """Measure the chosen rows, and return the exit code."""
    options = read_options()
    names = chosen([row.name for row in ROWS], options.only)
    rows = [row for row in ROWS if row.name in names]
    if find_nginx() is None:
        sys.exit(NO_NGINX)
    raise_file_limit()
    environment = prepare(options.environment, go=any(row.peer.program == "go" for row in rows))
    cores = Cores.choose(options.processes)
    benchmark = measure(rows, environment, cores, options)
    report(benchmark, environment, cores, options)
    return exit_code(measured=bool(benchmark.plans), errors=sum(plan.errors for plan in benchmark.plans))


if __name__ == "__main__":
    sys.exit(main())
