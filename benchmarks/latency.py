"""
A distant platform: how much of what 50 ms of delay allow is reached with 50, 500 and 2,000 in flight.

    python benchmarks/latency.py                       every row, three rounds (some minutes)
    python benchmarks/latency.py --only "ours, uvloop" one row's
    python benchmarks/latency.py --delay 0.1           another delay

The ideal is what is in flight divided by the delay: each connection sends its next request the instant in which the
reply is there. A core may not be able to do so many. Its limit is taken from a run of the same client with the same
number in flight and no delay: one second divided by the CPU time of an item. The share is that of the lower of both.
The server runs on a core of its own; where it was busy for more than nine tenths of the time, the row says so.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from environment import DEFAULT_DIRECTORY, Environment, prepare
from machine import Cores, describe
from runner import Measured, Peer, PeerFailed, Server, raise_file_limit, run_peer, suitable_items
from servers import SlowServer

IN_FLIGHT = (50, 500, 2_000)
BUSY = 0.9
PEERS = {
    "ours, uvloop": Peer("ours.py", ("--loop", "uvloop")),
    "ours, asyncio": Peer("ours.py"),
    "aiohttp, uvloop": Peer("with_aiohttp.py", ("--loop", "uvloop")),
    "aiohttp, asyncio": Peer("with_aiohttp.py"),
    "Go, GOGC=400": Peer("go", ("-gogc", "400")),
}


@dataclass
class Case:
    """One client with so many in flight, and what came of each round."""

    name: str
    in_flight: int
    ideal: float
    near_items: int
    delayed: list[Measured] = field(default_factory=list)
    undelayed: list[Measured] = field(default_factory=list)
    server_busy: list[float] = field(default_factory=list)

    @property
    def cpu_limit(self) -> float:
        """Items a second that the core would do if the client never waited."""
        return median(1e6 / run.cpu for run in self.undelayed)

    @property
    def rate(self) -> float:
        """Items a second with the delay."""
        return median(run.rate for run in self.delayed)

    def line(self) -> str:
        """Return the table's line."""
        marks = []
        errors = sum(run.errors for run in (*self.delayed, *self.undelayed))
        if errors:
            marks.append(f"**{errors:,} errors**")
        if median(self.server_busy) > BUSY:
            marks.append(f"server {median(self.server_busy):.0%} busy")
        cells = (
            f"{self.name}{', '.join(['', *marks])}",
            f"{self.in_flight:,}",
            f"{self.ideal:,.0f}",
            f"{self.cpu_limit:,.0f}",
            f"{self.rate:,.0f}",
            f"{self.rate / self.ideal:.1%}",
            f"{self.rate / min(self.ideal, self.cpu_limit):.1%}",
            f"{median(run.latency_p50 or 0.0 for run in self.delayed) * 1e3:.1f} ms",
            f"{median(run.latency_p99 or 0.0 for run in self.delayed) * 1e3:.1f} ms",
        )
        return f"| {' | '.join(cells)} |"


class Benchmark:
    """Two servers, one with the delay and one without, and the clients."""

    def __init__(self, environment: Environment, cores: Cores, options: argparse.Namespace, stack: ExitStack) -> None:
        self._environment = environment
        self._cores = cores
        self._options = options
        self._far = stack.enter_context(SlowServer(environment, cores.server, options.delay))
        self._near = stack.enter_context(SlowServer(environment, cores.server, 0.0))

    def plan(self, name: str, in_flight: int) -> Case:
        """Find out how many ids the client does without the delay. Raises `PeerFailed`."""
        items = suitable_items(lambda items: self._run(name, self._near, in_flight, items), self._options.seconds)
        return Case(name, in_flight, in_flight / self._options.delay, items)

    def run_round(self, case: Case) -> None:
        """Run one client without the delay, then with it. Raises `PeerFailed`."""
        case.undelayed.append(self._run(case.name, self._near, case.in_flight, case.near_items))
        expected = min(case.ideal, case.cpu_limit) * self._options.seconds
        # Whole turns of all connections, so that none idles at the end.
        items = case.in_flight * max(1, round(expected / case.in_flight))
        before, began = self._far.cpu_seconds(), time.monotonic()
        run = self._run(case.name, self._far, case.in_flight, items)
        busy = self._far.cpu_seconds() - before
        case.delayed.append(run)
        case.server_busy.append(min(1.0, busy / (time.monotonic() - began)))

    def _run(self, name: str, server: SlowServer, in_flight: int, items: int) -> Measured:
        return run_peer(
            PEERS[name],
            self._environment,
            Server(server.url, server.token_url),
            self._cores.client,
            items=items,
            in_flight=in_flight,
            seconds=self._options.seconds,
        )


def measure(benchmark: Benchmark, names: list[str], options: argparse.Namespace) -> tuple[list[Case], list[str]]:
    """Run every case once a round, in the round's own order; return them, and what was skipped."""
    cases: list[Case] = []
    skipped: list[str] = []
    for name in names:
        for in_flight in options.in_flight:
            try:
                cases.append(benchmark.plan(name, in_flight))
            except PeerFailed as error:
                skipped.append(f"Skipped: {name}, {in_flight:,} in flight: {error}")
    for number in range(options.rounds):
        for case in random.Random(number).sample(cases, len(cases)):
            try:
                benchmark.run_round(case)
            except PeerFailed as error:
                skipped.append(f"Skipped: {case.name}, {case.in_flight:,} in flight: round {number + 1}: {error}")
                cases.remove(case)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    return cases, skipped


def main() -> None:
    """Print a row for each client and number in flight."""
    parser = argparse.ArgumentParser(description="How much of what a delay allows is reached.")
    parser.add_argument("--delay", type=float, default=0.05, metavar="S")
    parser.add_argument("--in-flight", type=int, nargs="+", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="how long each run is to take")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="the rows whose names have one of these words")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--environment", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    options = parser.parse_args()
    names = [name for name in PEERS if not options.only or any(word.lower() in name.lower() for word in options.only)]
    raise_file_limit()
    environment, cores = prepare(options.environment, go=any("Go" in name for name in names)), Cores.choose()
    machine = describe(environment.versions)
    print(machine)
    print(f"{options.delay * 1e3:g} ms of delay, {options.rounds} rounds, {cores}.\n", flush=True)
    with ExitStack() as stack:
        cases, skipped = measure(Benchmark(environment, cores, options, stack), names, options)
    print("| | in flight | ideal/s | CPU limit/s | measured/s | of the ideal | of the lower of both | p50 | p99 |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: | --: |")
    print("\n".join([*(case.line() for case in cases), "", *skipped]))
    if options.json:
        written = {"machine": machine, "delay": options.delay, "cases": [asdict(each) for each in cases]}
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    if not cases:
        sys.exit("Nothing was measured.")


if __name__ == "__main__":
    main()
