"""
CPU time for each id, and memory, as the work grows: from 1,000 to 1,000,000 ids, and from 1 to 2,000 in flight.

    python benchmarks/growth.py                        both curves as tables (some minutes)
    python benchmarks/growth.py --picture FILE.svg     and as a picture
    python benchmarks/growth.py --ids 1000 10000       other sizes

Neither should grow. This package on stock asyncio (`--loop uvloop` for the other), audit trail and metrics on, against
nginx on a core of its own; each point is a process of its own, and the median of some. A point that would take longer
than `--longest` seconds is left out, and said to be.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from environment import DEFAULT_DIRECTORY, Environment, prepare
from machine import Cores, describe
from runner import Measured, Peer, PeerFailed, Server, raise_file_limit, run_peer
from servers import Nginx, find_nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IDS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_000)
USUAL_IDS, USUAL_IN_FLIGHT = 30_000, 64
PATIENCE = 1_800.0


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
        kept: list[tuple[int, int]] = []
        first: list[Measured] = []
        for ids, in_flight in sizes:
            seconds = ids / self._rate
            if seconds > self._options.longest:
                print(f"Left out: {ids:,} ids with {in_flight:,} in flight would take some {seconds:,.0f} s.")
                continue
            run = self._run(ids, in_flight)
            self._rate = run.rate
            kept.append((ids, in_flight))
            first.append(run)
        rounds = [first, *([self._run(*size) for size in kept] for _ in range(self._options.rounds - 1))]
        points = [Point(*size, list(runs)) for size, runs in zip(kept, zip(*rounds, strict=True), strict=True)]
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
            Peer("ours.py", ("--loop", self._options.loop)),
            self._environment,
            self._server,
            self._core,
            items=ids,
            in_flight=in_flight,
            seconds=0.0,
            patience=PATIENCE,
        )


def spread(points: Sequence[Point], at_least: Callable[[Point], bool]) -> str:
    """Say how far the CPU time of some points is from the middle of their extremes."""
    times = [point.of("cpu") for point in points if at_least(point)]
    if len(times) < 2:
        return "too few points"
    return f"±{(max(times) - min(times)) / (max(times) + min(times)):.0%}"


WIDTH, HEIGHT, MARGIN = 380, 220, 48


def panel(left: int, top: int, title: str, unit: str, points: Sequence[tuple[float, float]], colour: str) -> list[str]:
    """Draw one curve over a logarithmic axis; the other axis begins at 0, so that growth looks like what it is."""
    xs, ys = zip(*points, strict=True)
    low, high, top_value = math.log10(min(xs)), math.log10(max(xs)), max(ys) * 1.25
    inner_width, inner_height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(x) - low) / ((high - low) or 1)
        return left + MARGIN + share * inner_width, top + MARGIN + (1 - y / top_value) * inner_height

    def text(x: float, y: float, words: str, anchor: str, size: int = 10) -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}">{escape(words)}</text>'

    base, corner = place(min(xs), 0), place(max(xs), 0)
    shapes = [
        text(left + MARGIN, top + 30, title, "start", 13),
        f'<path d="M{base[0]:.0f},{base[1]:.0f}H{corner[0]:.0f}" stroke="#888" fill="none"/>',
    ]
    for share in (0, 0.5, 1):
        x, y = place(min(xs), share * max(ys))
        shapes += [
            f'<path d="M{x:.0f},{y:.0f}H{corner[0]:.0f}" stroke="#ddd" fill="none"/>',
            text(x - 6, y + 4, f"{share * max(ys):,.0f}", "end"),
        ]
    for exponent in range(math.ceil(low), math.floor(high) + 1):
        x, y = place(10.0**exponent, 0)
        shapes.append(text(x, y + 16, f"{10**exponent:,}", "middle"))
    shapes.append(text(left + MARGIN + inner_width / 2, top + HEIGHT - 14, unit, "middle"))
    placed = [place(*point) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    shapes.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    shapes += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
    return shapes


def draw(by_ids: Sequence[Point], by_in_flight: Sequence[Point], caption: str) -> str:
    """Return the four curves as SVG."""
    shapes: list[str] = []
    columns: list[tuple[Sequence[Point], str, Callable[[Point], float]]] = [
        (by_ids, "ids", lambda point: point.ids),
        (by_in_flight, "in flight", lambda point: point.in_flight),
    ]
    for column, (points, unit, size) in enumerate(columns):
        for row, (name, title, colour) in enumerate(
            [("cpu", "CPU time, µs for each id", "#1f6feb"), ("peak_mib", "peak memory, MiB", "#d2691e")]
        ):
            curve = [(size(point), point.of(name)) for point in points]
            if curve:
                shapes += panel(column * WIDTH, row * HEIGHT, title, unit, curve, colour)
    width, height = 2 * WIDTH, 2 * HEIGHT + 24
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="sans-serif" fill="#333">\n<rect width="{width}" height="{height}" fill="#fff"/>\n{body}\n'
        f'<text x="{MARGIN}" y="{height - 8}" font-size="9">{escape(caption)}</text>\n</svg>\n'
    )


def main() -> None:
    """Print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description="CPU time and memory as the work grows.")
    parser.add_argument("--ids", type=int, nargs="*", default=IDS, metavar="N")
    parser.add_argument("--in-flight", type=int, nargs="*", default=IN_FLIGHT, metavar="N")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--longest", type=float, default=120.0, metavar="S", help="leave out what takes longer")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--environment", type=Path, default=DEFAULT_DIRECTORY, metavar="DIR")
    options = parser.parse_args()
    if find_nginx() is None:
        sys.exit("There is no nginx here: apt-get install nginx.")
    raise_file_limit()
    environment, cores = prepare(options.environment), Cores.choose()
    machine = describe(environment.versions)
    print(f"{machine}\n{options.loop}, {options.rounds} rounds, {cores}.")
    with Nginx(cores.server) as nginx:
        benchmark = Benchmark(environment, Server(nginx.url, nginx.token_url), cores.client, options)
        try:
            by_ids = benchmark.measure([(ids, USUAL_IN_FLIGHT) for ids in options.ids])
            by_in_flight = benchmark.measure([(USUAL_IDS, in_flight) for in_flight in options.in_flight])
        except PeerFailed as error:
            sys.exit(f"It failed: {error}")
    print(f"\nCPU time from 10,000 ids: {spread(by_ids, lambda point: point.ids >= 10_000)}")
    print(f"CPU time from 32 in flight: {spread(by_in_flight, lambda point: point.in_flight >= 32)}")
    if options.picture:
        options.picture.write_text(draw(by_ids, by_in_flight, f"{options.loop}; {machine.partition(';')[0]}"))
    if options.json:
        written = {
            "machine": machine,
            "loop": options.loop,
            "by_ids": [asdict(point) for point in by_ids],
            "by_in_flight": [asdict(point) for point in by_in_flight],
        }
        options.json.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
