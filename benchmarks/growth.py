"""
CPU time for each id, and memory, as the work grows: from 1,000 to 1,000,000 ids, and from 1 to 2,000 in flight.

    python -m benchmarks.growth                        both curves as tables (four minutes)
    python -m benchmarks.growth --picture FILE.svg     also as a picture
    python -m benchmarks.growth --ids 1000 10000       other sizes

Neither should grow. This package runs on asyncio's own loop (or with `--loop uvloop`), audit trail and metrics on,
against nginx on a core of its own. `--collector seldom` sets the garbage collector as the package's command does. Each
run is a process of its own. A point is the median of `--rounds` runs, or one run if it takes longer than `--once`
seconds. A point that would take longer than `--longest` seconds is left out and reported.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING

from .harness.command_line import (
    add_common_options,
    at_least_one,
    duration,
    exit_code,
    parse,
    parser_of,
    writable,
    write_json,
)
from .harness.environment import DEFAULT_DIRECTORY, PROJECT, Environment, module_command, prepare
from .harness.machine import Cores, describe
from .harness.runner import Load, Measured, Peer, PeerFailed, Runner, Server, raise_file_limit
from .harness.servers import NO_NGINX, Nginx, find_nginx

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

IDS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_000)
USUAL_IDS, USUAL_IN_FLIGHT = 30_000, 64
TIMEOUT = 1_800.0
DRAWING_LIBRARY = "matplotlib"


@dataclass(frozen=True)
class Point:
    """One size, and the measurement of each round."""

    ids: int
    in_flight: int
    runs: list[Measured]

    def of(self, name: str) -> float:
        """Return the median of a number."""
        return float(median(getattr(run, name) for run in self.runs))


class Benchmark:
    """Runs the client with growing sizes."""

    def __init__(self, runner: Runner, options: argparse.Namespace) -> None:
        self._runner = runner
        self._peer = Peer("ours.py", ("--loop", options.loop, "--collector", options.collector))
        self._options = options
        self._rate = math.inf

    def measure(self, sizes: Sequence[tuple[int, int]]) -> list[Point]:
        """Measure pairs of ids and number in flight, in rounds, and print a row for each."""
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
        print_table(points)
        return points

    def _run(self, ids: int, in_flight: int) -> Measured:
        return self._runner.run(self._peer, Load(in_flight, ids), timeout=TIMEOUT)


def print_table(points: Sequence[Point]) -> None:
    """Print the Markdown table of a curve."""
    print("\n| ids | in flight | CPU µs/id | peak MiB | ids/s | errors |")
    print("| --: | --: | --: | --: | --: | --: |")
    for point in points:
        print(
            f"| {point.ids:,} | {point.in_flight:,} | {point.of('cpu'):,.1f} | {point.of('peak_mib'):.1f} "
            f"| {point.of('rate'):,.0f} | {sum(run.errors for run in point.runs):,} |",
            flush=True,
        )


def spread(points: Sequence[Point], at_least: Callable[[Point], bool]) -> str:
    """Return by how much the CPU times of some points differ from the middle of their extremes."""
    times = [point.of("cpu") for point in points if at_least(point)]
    if len(times) < 2:
        return "too few points"
    return f"±{(max(times) - min(times)) / (max(times) + min(times)):.0%}"


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("growth", "CPU time and memory as the work grows.")
    parser.add_argument("--ids", type=at_least_one, nargs="*", default=IDS, metavar="N")
    parser.add_argument("--in-flight", type=at_least_one, nargs="*", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument(
        "--collector", choices=("usual", "seldom"), default="usual", help="seldom: as set by the package's command"
    )
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N")
    parser.add_argument("--once", type=duration, default=10.0, metavar="S", help="do not repeat longer runs")
    parser.add_argument("--longest", type=duration, default=120.0, metavar="S", help="leave out longer runs")
    parser.add_argument("--picture", type=writable, metavar="FILE.svg")
    add_common_options(parser, DEFAULT_DIRECTORY)
    return parse(parser)


def measure(environment: Environment, cores: Cores, options: argparse.Namespace) -> tuple[list[Point], list[Point]]:
    """Measure both curves: over the ids, and over the number in flight."""
    with Nginx(cores.server) as nginx:
        benchmark = Benchmark(Runner(environment, Server(nginx.url, nginx.token_url), cores.client), options)
        try:
            by_ids = benchmark.measure([(ids, USUAL_IN_FLIGHT) for ids in options.ids])
            return by_ids, benchmark.measure([(USUAL_IDS, in_flight) for in_flight in options.in_flight])
        except PeerFailed as error:
            sys.exit(f"A run failed: {error}")


def draw(environment: Environment, numbers: Mapping[str, object], options: argparse.Namespace) -> None:
    """Draw the picture in the benchmarks' environment, which has the library for it."""
    command = module_command(environment.python, "harness.growth_picture", str(options.picture.resolve()))
    subprocess.run(command, input=json.dumps(numbers), text=True, check=True, cwd=PROJECT)


def main() -> int:
    """Print the tables, draw the picture, and return the exit code."""
    options = read_options()
    if find_nginx() is None:
        sys.exit(NO_NGINX)
    raise_file_limit()
    environment = prepare(options.environment, more=(DRAWING_LIBRARY,) if options.picture else ())
    if options.picture and DRAWING_LIBRARY in environment.skipped:
        sys.exit(f"--picture needs {DRAWING_LIBRARY}: {environment.skipped[DRAWING_LIBRARY]}")
    cores = Cores.choose()
    machine = describe(environment.versions)
    print(f"{machine}\n{options.loop}, collector {options.collector}, {options.rounds} rounds, {cores}.")
    by_ids, by_in_flight = measure(environment, cores, options)
    print(f"\nCPU time from 10,000 ids: {spread(by_ids, lambda point: point.ids >= 10_000)}")
    print(f"CPU time from 32 in flight: {spread(by_in_flight, lambda point: point.in_flight >= 32)}")
    numbers = {
        "machine": machine,
        "loop": f"{options.loop}, collector {options.collector}",
        "usual_ids": USUAL_IDS,
        "usual_in_flight": USUAL_IN_FLIGHT,
        "by_ids": [asdict(point) for point in by_ids],
        "by_in_flight": [asdict(point) for point in by_in_flight],
    }
    write_json(options.json, numbers)
    if options.picture:
        draw(environment, numbers, options)
    points = [*by_ids, *by_in_flight]
    return exit_code(measured=bool(points), errors=sum(run.errors for point in points for run in point.runs))


if __name__ == "__main__":
    sys.exit(main())
