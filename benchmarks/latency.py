"""
A distant platform: how much of what 50 ms of delay allow is reached with 50, 500 and 2,000 in flight.

    python benchmarks/latency.py                       every row, three rounds (two minutes)
    python benchmarks/latency.py --only "ours, uvloop" one row's
    python benchmarks/latency.py --delay 0.1           another delay

The ideal is what is in flight divided by the delay: each connection sends its next request the instant in which the
reply is there. A core may not be able to do so many: its limit is one second divided by the CPU time that an id took in
the same run, and a row that has used nearly all of its core has reached it. The share is that of the lower of both.

p50 and p99 are the time from an id being taken to its being done, audit line written and result in hand, which for
every client is the same; so many in flight take no longer than their number divided by the rate, on average.

Each run is bounded by time: after a warm-up, whole turns of all connections are measured for `--seconds`, while
requests go on before and after. A run that has not ended after five times as long and five seconds more is given up,
and its row left out, which the report says. The server runs on a core of its own; where it was busy for more than nine
tenths of the time, the row says so.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from command_line import at_least_one, chosen, duration, exit_code, parse, writable
from environment import DEFAULT_DIRECTORY, Environment, prepare
from machine import Cores, describe
from runner import Measured, Peer, PeerFailed, Server, raise_file_limit, run_peer
from servers import SlowServer

IN_FLIGHT = (50, 500, 2_000)
BUSY = 0.9
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
    """One client with so many in flight, and what came of each round."""

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
        """Ids a second that the core would do if the client never waited."""
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
        """Return the table's line."""
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
    """The server with the delay, and the clients."""

    def __init__(self, environment: Environment, server: SlowServer, cores: Cores, options: argparse.Namespace) -> None:
        self._environment = environment
        self._server = server
        self._core = cores.client
        self._seconds: float = options.seconds

    def run(self, case: Case) -> None:
        """Run one client once. Raises `PeerFailed`."""
        before = self._server.cpu_seconds()
        run = run_peer(
            PEERS[case.name],
            self._environment,
            Server(self._server.url, self._server.token_url),
            self._core,
            items=None,
            in_flight=case.in_flight,
            seconds=self._seconds,
            patience=5 * self._seconds + 5,
        )
        seconds = (self._server.cpu_seconds() - before) / run.answers
        case.runs.append(run)
        case.server_busy.append(min(1.0, run.rate * seconds))


def measure(benchmark: Benchmark, cases: list[Case], rounds: int) -> list[str]:
    """Run every case once a round, in the round's own order; remove those that fail, and return why."""
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


def main() -> int:
    """Print a row for each client and number in flight, and return the exit code."""
    parser = argparse.ArgumentParser(description="How much of what a delay allows is reached.")
    parser.add_argument("--delay", type=duration, default=0.05, metavar="S")
    parser.add_argument("--in-flight", type=at_least_one, nargs="+", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N")
    parser.add_argument("--seconds", type=duration, default=1.0, metavar="S", help="how long each run is measured")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="the rows whose names have one of these words")
    parser.add_argument("--json", type=writable, metavar="FILE")
    parser.add_argument("--environment", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    options = parse(parser)
    names = chosen(PEERS, options.only)
    raise_file_limit()
    environment, cores = prepare(options.environment, go=any("Go" in name for name in names)), Cores.choose()
    machine = describe(environment.versions)
    print(machine)
    print(f"{options.delay * 1e3:g} ms of delay, {options.rounds} rounds, {cores}.\n", flush=True)
    cases = [Case(name, in_flight, in_flight / options.delay) for name in names for in_flight in options.in_flight]
    with SlowServer(environment, cores.server, options.delay) as server:
        skipped = measure(Benchmark(environment, server, cores, options), cases, options.rounds)
    titles = (
        "in flight | ideal/s | CPU limit/s | measured/s | of its core | of the ideal | of the lower of both | p50 | p99"
    )
    print(f"| | {titles} |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    print("\n".join(case.line() for case in cases))
    foreign = max((median(run.foreign for run in case.runs) for case in cases), default=0.0)
    print(f"\nOthers had up to {foreign:.0%} of the client's core (median of the row that had it worst).")
    for reason in skipped:
        print(reason)
    if options.json:
        written = {"machine": machine, "delay": options.delay, "cases": [asdict(each) for each in cases]}
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    return exit_code(measured=bool(cases), errors=sum(case.errors for case in cases))


if __name__ == "__main__":
    sys.exit(main())
