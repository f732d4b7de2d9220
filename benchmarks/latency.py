"""
A distant platform: the share of the possible rate with 50 ms of delay, and 50, 500 and 2,000 in flight.

    python -m benchmarks.latency                       every row, three rounds (two minutes)
    python -m benchmarks.latency --only "ours, uvloop" one client
    python -m benchmarks.latency --delay 0.1           another delay

The ideal rate is the number in flight divided by the delay: each connection sends its next request the instant its
reply arrives. A core may not be able to do so many: its CPU limit is one second divided by the CPU time of an id in the
same run, and a row that used nearly all of its core has reached it. The attainable rate is the lower of both.

p50 and p99 are the time from taking an id to finishing it, audit line written and result returned, for every client;
on average it is the number in flight divided by the rate.

Each run is bounded by time: after a warm-up, whole turns of all connections are measured for `--seconds`; requests go
on before and after. A run that has not ended after five times as long plus five seconds is stopped, and its row is
skipped and reported. The server runs on a core of its own; a row is marked if it was busy for more than 90 % of the
time.
"""

from __future__ import annotations

import random
import sys
from dataclasses import asdict, dataclass, field
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
from .harness.environment import DEFAULT_DIRECTORY, prepare
from .harness.machine import Cores, describe
from .harness.runner import Load, Measured, Peer, PeerFailed, Runner, Server, raise_file_limit
from .harness.servers import SlowServer

if TYPE_CHECKING:
    import argparse

IN_FLIGHT = (50, 500, 2_000)
BUSY = 0.9
TITLES = "in flight | ideal/s | CPU limit/s | measured/s | core used | of ideal | of attainable | p50 | p99"
PEERS = {
    "ours, uvloop": Peer("ours.py", ("--loop", "uvloop")),
    "ours, asyncio": Peer("ours.py"),
    "aiohttp, uvloop": Peer("with_aiohttp.py", ("--loop", "uvloop")),
    "aiohttp, asyncio": Peer("with_aiohttp.py"),
    "httpx.AsyncClient": Peer("with_httpx.py"),
    "Go, GOGC=400": Peer("go", ("-gogc", "400")),
}


@dataclass
class Case:
    """One client with one number in flight, and the measurements of each round."""

    name: str
    in_flight: int
    ideal: float
    runs: list[Measured] = field(default_factory=list)
    server_busy: list[float] = field(default_factory=list)

    @property
    def core(self) -> float:
        """The share of its core that the client used, 0 to 1."""
        return median(run.rate * run.cpu / 1e6 for run in self.runs)

    @property
    def cpu_limit(self) -> float:
        """Ids a second if the client never waited."""
        return median(1e6 / run.cpu for run in self.runs)

    @property
    def rate(self) -> float:
        """Ids a second."""
        return median(run.rate for run in self.runs)

    @property
    def errors(self) -> int:
        """How many answers were wrong, in all rounds together."""
        return sum(run.errors for run in self.runs)

    def line(self) -> str:
        """Return the row of the table."""
        marks = []
        if self.errors:
            marks.append(f"**{self.errors:,} errors**")
        if median(self.server_busy) > BUSY:
            marks.append(f"server {median(self.server_busy):.0%} busy")
        cells = (
            f"{self.name}{', '.join(['', *marks])}",
            f"{self.in_flight:,}",
            f"{self.ideal:,.0f}",
            f"{self.cpu_limit:,.0f}",
            f"{self.rate:,.0f}",
            f"{self.core:.0%}",
            f"{self.rate / self.ideal:.1%}",
            f"{self.rate / min(self.ideal, self.cpu_limit):.1%}",
            f"{median(run.latency_p50 or 0.0 for run in self.runs) * 1e3:.1f} ms",
            f"{median(run.latency_p99 or 0.0 for run in self.runs) * 1e3:.1f} ms",
        )
        return f"| {' | '.join(cells)} |"


class Benchmark:
    """The server with the delay, and the runner of its clients."""

    def __init__(self, runner: Runner, server: SlowServer, seconds: float) -> None:
        self._runner = runner
        self._server = server
        self._seconds = seconds

    def run(self, case: Case) -> None:
        """Run one client once. Raises `PeerFailed`."""
        before = self._server.cpu_seconds()
        load = Load(case.in_flight, seconds=self._seconds)
        run = self._runner.run(PEERS[case.name], load, timeout=5 * self._seconds + 5)
        seconds = (self._server.cpu_seconds() - before) / run.answers
        case.runs.append(run)
        case.server_busy.append(min(1.0, run.rate * seconds))


def measure(benchmark: Benchmark, cases: list[Case], rounds: int) -> list[str]:
    """Run every case once a round, in the round's own order; remove those that fail, and return the reasons."""
    skipped: list[str] = []
    for number in range(rounds):
        for case in random.Random(number).sample(cases, len(cases)):
            try:
                benchmark.run(case)
            except PeerFailed as error:
                skipped.append(f"Skipped: {case.name}, {case.in_flight:,} in flight: round {number + 1}: {error}")
                cases.remove(case)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return skipped


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("latency", "The share of the possible rate that is reached with a distant platform.")
    parser.add_argument("--delay", type=duration, default=0.05, metavar="S")
    parser.add_argument("--in-flight", type=at_least_one, nargs="+", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N")
    parser.add_argument("--seconds", type=duration, default=1.0, metavar="S", help="measured length of each run")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="clients whose names contain one of these words")
    add_common_options(parser, DEFAULT_DIRECTORY)
    return parse(parser)


def print_table(cases: list[Case], skipped: list[str]) -> None:
    """Print the Markdown table, and what was skipped."""
    print(f"| | {TITLES} |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    print("\n".join(case.line() for case in cases))
    share = max((median(run.others_share for run in case.runs) for case in cases), default=0.0)
    print(f"\nOther processes used up to {share:.0%} of the client's core (median of the worst row).")
    for reason in skipped:
        print(reason)


def main() -> int:
    """Print a row for each client and number in flight, and return the exit code."""
    options = read_options()
    names = chosen(PEERS, options.only)
    raise_file_limit()
    environment, cores = prepare(options.environment, go=any("Go" in name for name in names)), Cores.choose()
    machine = describe(environment.versions)
    print(machine)
    print(f"{options.delay * 1e3:g} ms of delay, {options.rounds} rounds, {cores}.\n", flush=True)
    cases = [Case(name, in_flight, in_flight / options.delay) for name in names for in_flight in options.in_flight]
    with SlowServer(environment, cores.server, options.delay) as server:
        runner = Runner(environment, Server(server.url, server.token_url), cores.client)
        skipped = measure(Benchmark(runner, server, options.seconds), cases, options.rounds)
    print_table(cases, skipped)
    numbers = {"machine": machine, "delay": options.delay, "cases": [asdict(each) for each in cases]}
    write_json(options.json, numbers)
    return exit_code(measured=bool(cases), errors=sum(case.errors for case in cases))


if __name__ == "__main__":
    sys.exit(main())
