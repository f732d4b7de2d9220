"""
CPU time for each id, and memory, as the work grows: from 1,000 to 1,000,000 ids, and from 1 to 2,000 in flight.

    python benchmarks/growth.py                        both curves as tables (four minutes)
    python benchmarks/growth.py --picture FILE.svg     and as a picture, by growth_picture.py
    python benchmarks/growth.py --ids 1000 10000       other sizes

Neither should grow. This package on stock asyncio (`--loop uvloop` for the other), audit trail and metrics on, against
nginx on a core of its own. `--collector seldom` has the garbage collector as the package's command sets it. Each point
is a process of its own, and the median of some, or one that took longer than `--once` seconds. A point that would take
longer than `--longest` seconds is left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from command_line import at_least_one, duration, exit_code, parse, writable
from environment import DEFAULT_DIRECTORY, Environment, prepare
from machine import Cores, describe
from runner import Measured, Peer, PeerFailed, Server, raise_file_limit, run_peer
from servers import Nginx, find_nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IDS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_000)
USUAL_IDS, USUAL_IN_FLIGHT = 30_000, 64
TIMEOUT = 1_800.0
DRAW = Path(__file__).resolve().parent / "growth_picture.py"
DRAWS = "matplotlib"


@dataclass(frozen=True)
class Point:
    """One size, and each round's measurement."""

    ids: int
    in_flight: int
    runs: list[Measured]

    def of(self, name: str) -> float:
        """Return the median of a number."""
        return float(median(getattr(run, name) for run in self.runs))


class Benchmark:
    """The client under growth."""

    def __init__(self, environment: Environment, server: Server, core: int, options: argparse.Namespace) -> None:
        self._environment = environment
        self._server = server
        self._core = core
        self._options = options
        self._rate = math.inf

    def measure(self, sizes: Sequence[tuple[int, int]]) -> list[Point]:
        """Measure pairs of ids and number in flight, in turns; print a line for each."""
        points: list[Point] = []
        for ids, in_flight in sizes:
            seconds = ids / self._rate
            if seconds > self._options.longest:
                print(f"Left out: {ids:,} ids with {in_flight:,} in flight would take some {seconds:,.0f} s.")
                continue
            run = self._run(ids, in_flight)
            self._rate = run.rate
            points.append(Point(ids, in_flight, [run]))
        for _ in range(self._options.rounds - 1):
            for point in points:
                if point.ids / point.of("rate") <= self._options.once:
                    point.runs.append(self._run(point.ids, point.in_flight))
        print("\n| ids | in flight | CPU µs/id | peak MiB | ids/s | errors |")
        print("| --: | --: | --: | --: | --: | --: |")
        for point in points:
            print(
                f"| {point.ids:,} | {point.in_flight:,} | {point.of('cpu'):,.1f} | {point.of('peak_mib'):.1f} "
                f"| {point.of('rate'):,.0f} | {sum(run.errors for run in point.runs):,} |",
                flush=True,
            )
        return points

    def _run(self, ids: int, in_flight: int) -> Measured:
        return run_peer(
            Peer("ours.py", ("--loop", self._options.loop, "--collector", self._options.collector)),
            self._environment,
            self._server,
            self._core,
            items=ids,
            in_flight=in_flight,
            seconds=0.0,
            patience=TIMEOUT,
        )


def spread(points: Sequence[Point], at_least: Callable[[Point], bool]) -> str:
    """Say how far the CPU time of some points is from the middle of their extremes."""
    times = [point.of("cpu") for point in points if at_least(point)]
    if len(times) < 2:
        return "too few points"
    return f"±{(max(times) - min(times)) / (max(times) + min(times)):.0%}"


def main() -> int:
    """Print the tables, draw the picture, and return the exit code."""
    parser = argparse.ArgumentParser(description="CPU time and memory as the work grows.")
    parser.add_argument("--ids", type=at_least_one, nargs="*", default=IDS, metavar="N")
    parser.add_argument("--in-flight", type=at_least_one, nargs="*", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument(
        "--collector", choices=("usual", "seldom"), default="usual", help="seldom: as the command has it"
    )
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N")
    parser.add_argument("--once", type=duration, default=10.0, metavar="S", help="do not repeat what takes longer")
    parser.add_argument("--longest", type=duration, default=120.0, metavar="S", help="leave out what takes longer")
    parser.add_argument("--picture", type=writable, metavar="FILE.svg")
    parser.add_argument("--json", type=writable, metavar="FILE")
    parser.add_argument("--environment", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    options = parse(parser)
    if find_nginx() is None:
        sys.exit("There is no nginx here: apt-get install nginx.")
    raise_file_limit()
    environment = prepare(options.environment, more=(DRAWS,) if options.picture else ())
    if options.picture and DRAWS in environment.skipped:
        sys.exit(f"There is no picture without {DRAWS}: {environment.skipped[DRAWS]}")
    cores = Cores.choose()
    machine = describe(environment.versions)
    print(f"{machine}\n{options.loop}, collector {options.collector}, {options.rounds} rounds, {cores}.")
    with Nginx(cores.server) as nginx:
        benchmark = Benchmark(environment, Server(nginx.url, nginx.token_url), cores.client, options)
        try:
            by_ids = benchmark.measure([(ids, USUAL_IN_FLIGHT) for ids in options.ids])
            by_in_flight = benchmark.measure([(USUAL_IDS, in_flight) for in_flight in options.in_flight])
        except PeerFailed as error:
            sys.exit(f"It failed: {error}")
    print(f"\nCPU time from 10,000 ids: {spread(by_ids, lambda point: point.ids >= 10_000)}")
    print(f"CPU time from 32 in flight: {spread(by_in_flight, lambda point: point.in_flight >= 32)}")
    written = {
        "machine": machine,
        "loop": f"{options.loop}, collector {options.collector}",
        "by_ids": [asdict(point) for point in by_ids],
        "by_in_flight": [asdict(point) for point in by_in_flight],
    }
    numbers = json.dumps(written, indent=1) + "\n"
    if options.json:
        options.json.write_text(numbers)
    if options.picture:
        subprocess.run([environment.python, DRAW, options.picture], input=numbers, text=True, check=True)
    points = [*by_ids, *by_in_flight]
    return exit_code(measured=bool(points), errors=sum(run.errors for point in points for run in point.runs))


if __name__ == "__main__":
    sys.exit(main())
