"""
Requests a second and CPU time of the whole pipeline on one core: this package beside its peers, in one run.

    python benchmarks/throughput.py                    every row, five rounds (some minutes)
    python benchmarks/throughput.py --tls              the same over TLS, certificates verified
    python benchmarks/throughput.py --only ours go     the rows whose names have one of these words
    python benchmarks/throughput.py --json FILE        every single number, beside the table

nginx answers on one core, each client runs on another, one at a time. In each round every row runs once, in an order
of its own that follows from `--seed`; the numbers are medians over the rounds, and the ratios are medians of the ratios
within a round, so that a machine that gets slower meanwhile does so for all. How many ids a row retrieves is found out
beforehand, so that each takes about `--seconds`. How the peers are tuned is in benchmarks/README.md.

Every client checks every answer, that it is the answer to its own id included, and a row with errors says so.
"""

from __future__ import annotations

import argparse
import json
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

from command_line import at_least_one, chosen, duration, exit_code, parse, writable
from environment import DEFAULT_DIRECTORY, Environment, prepare
from machine import Cores, describe
from runner import FEWEST_ITEMS, Measured, Peer, PeerFailed, Server, raise_file_limit, run_peer, suitable_items
from servers import Nginx, find_nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SWEEP_ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """A line of the table; with several `in_flight`, the best of them is found out first. None means `--in-flight`."""

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
    Row("ours, as its command runs", _ours("--loop", "uvloop", "--collector", "seldom"), needs="uvloop"),
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
    """A row on its way: how much it does each time, and what came of it, a number for each round."""

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


class Benchmark:
    """What all rows have in common."""

    def __init__(self, environment: Environment, server: Server, cores: Cores, options: argparse.Namespace) -> None:
        self._environment = environment
        self._server = server
        self._core = cores.client
        self._options = options
        self.skipped: dict[str, str] = {}

    def plan(self, rows: Iterable[Row]) -> list[Plan]:
        """Find out how many in flight suit each row, and how many items; rows that cannot run are left out."""
        plans = []
        for row in rows:
            try:
                plans.append(self._plan(row))
            except PeerFailed as error:
                self.skipped[row.name] = str(error)
        return plans

    def _plan(self, row: Row) -> Plan:
        missing = self._missing(row)
        if missing is not None:
            raise PeerFailed(missing)
        choices = row.in_flight or (self._options.in_flight,)
        items = {in_flight: self._options.items or self._suitable_items(row, in_flight) for in_flight in choices}
        best = self._best_in_flight(row, items) if len(choices) > 1 else choices[0]
        return Plan(row, best, items[best])

    def _best_in_flight(self, row: Row, items: dict[int, int]) -> int:
        tried: dict[int, list[float]] = {in_flight: [] for in_flight in items}
        for _ in range(SWEEP_ROUNDS):
            for in_flight, rates in tried.items():
                rates.append(self._run(row, in_flight, max(FEWEST_ITEMS, items[in_flight] // 3)).rate)
        return max(tried, key=lambda in_flight: median(tried[in_flight]))

    def _missing(self, row: Row) -> str | None:
        if row.peer.program == "wrk" and shutil.which("wrk") is None:
            return "there is no wrk here: apt-get install wrk"
        return self._environment.skipped.get(row.needs) if row.needs else None

    def _suitable_items(self, row: Row, in_flight: int) -> int:
        if row.peer.program == "wrk":
            return self._run(row, in_flight, 1).items
        return suitable_items(lambda items: self._run(row, in_flight, items), self._options.seconds)

    def _run(self, row: Row, in_flight: int, items: int) -> Measured:
        return run_peer(
            row.peer,
            self._environment,
            self._server,
            self._core,
            items=items,
            in_flight=in_flight,
            seconds=self._options.seconds,
        )

    def run_round(self, plans: list[Plan], number: int) -> None:
        """Run every row once, in the round's order; a row that fails is out of the table, and said to be."""
        for plan in random.Random(f"{self._options.seed} {number}").sample(plans, len(plans)):
            try:
                plan.runs.append(self._run(plan.row, plan.in_flight, plan.items))
            except PeerFailed as error:
                self.skipped[plan.row.name] = f"round {number + 1}: {error}"
                plans.remove(plan)


def ratio(plan: Plan | None, reference: Plan | None, number: str = "rate") -> float | None:
    """Return a row's number divided by the other's, the median over the rounds; None if one has none, or errors."""
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
            print(f"\n{plan.row.name}: {times(ratio(plan, named[HTTPX]))} times {HTTPX}'s own.")


def times(number: float | None) -> str:
    """Return a ratio as text, with as many decimals as mean something."""
    if number is None:
        return ""
    digits = 3 if number < 0.1 else 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{digits}f}"


def make_certificate(environment: Environment, folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority and its certificate for 127.0.0.1; return chain, key and authority."""
    command = [str(environment.python), "-m", "trustme", "-q", "-d", str(folder), "-i", "127.0.0.1", "localhost"]
    subprocess.run(command, check=True)
    return folder / "server.pem", folder / "server.key", folder / "client.pem"


def main() -> int:
    """Run what was asked for, and return the exit code."""
    parser = argparse.ArgumentParser(description="Requests a second and CPU time, beside the peers.")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N")
    parser.add_argument(
        "--items", type=at_least_one, metavar="N", help="ids for each run, instead of what --seconds takes"
    )
    parser.add_argument("--in-flight", type=at_least_one, default=64, metavar="N")
    parser.add_argument("--seconds", type=duration, default=1.5, metavar="S", help="how long each run is to take")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="the rows whose names have one of these words")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the order within each round")
    parser.add_argument("--json", type=writable, metavar="FILE")
    parser.add_argument("--environment", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    options = parse(parser)
    names = chosen([row.name for row in ROWS], options.only)
    rows = [row for row in ROWS if row.name in names]
    if find_nginx() is None:
        sys.exit("There is no nginx here: apt-get install nginx.")
    raise_file_limit()
    environment, cores = prepare(options.environment, go=any(row.peer.program == "go" for row in rows)), Cores.choose()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chain, key, authority = make_certificate(environment, folder) if options.tls else (None, None, None)
        nginx = stack.enter_context(Nginx(cores.server, (chain, key) if chain and key else None))
        benchmark = Benchmark(environment, Server(nginx.url, nginx.token_url, authority), cores, options)
        plans = benchmark.plan(rows)
        for number in range(options.rounds):
            benchmark.run_round(plans, number)
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    machine = describe(environment.versions)
    print(machine)
    print(f"{'TLS' if options.tls else 'Plain HTTP'}, {options.rounds} rounds, {cores}.\n")
    print_table(plans)
    foreign = max((plan.of("foreign") for plan in plans), default=0.0)
    print(f"\nOthers had up to {foreign:.0%} of the client's core (median of the row that had it worst).")
    for name, reason in benchmark.skipped.items():
        print(f"Skipped: {name}: {reason}")
    if options.json:
        written = {
            "machine": machine,
            "versions": environment.versions,
            "tls": options.tls,
            "rounds": options.rounds,
            "rows": [
                {
                    "name": plan.row.name,
                    "in_flight": plan.in_flight,
                    "items": plan.items,
                    "runs": [asdict(run) for run in plan.runs],
                }
                for plan in plans
            ],
            "skipped": benchmark.skipped,
        }
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    return exit_code(measured=bool(plans), errors=sum(plan.errors for plan in plans))


if __name__ == "__main__":
    sys.exit(main())
