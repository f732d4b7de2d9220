"""
This checkout against another one: requests a second and CPU time of the whole pipeline, alternately, in one run.

    python -m benchmarks.compare ../before                       five rounds of both (half a minute)
    python -m benchmarks.compare ../before --rounds 15           more certainty
    python -m benchmarks.compare ../before --loop uvloop         on uvloop
    git worktree add ../before v0.1.0                            another checkout

A is this checkout, B the other. Each is its own `benchmarks/peers/ours.py` with its own package, by PYTHONPATH, in the
same virtual environment, so that both have the same dependencies: those of this checkout. They run one at a time on one
core, A B A B and so on, against the same nginx on another core, and retrieve the same number of ids. Rates and CPU
times are medians over the rounds; the range over the rounds shows how much of a difference is noise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .harness.command_line import add_common_options, at_least_one, duration, exit_code, parse, parser_of, write_json
from .harness.environment import DEFAULT_DIRECTORY, PROJECT, Environment, last_line, prepare
from .harness.machine import Cores, describe
from .harness.runner import PEERS, Load, Peer, PeerFailed, Runner, Server, raise_file_limit, suitable_items
from .harness.servers import NO_NGINX, Nginx, find_nginx

if TYPE_CHECKING:
    from .harness.runner import Measured

PACKAGE, PROGRAM = "genesys_media_async", "ours.py"
FIND_PACKAGE = f"import {PACKAGE}; print({PACKAGE}.__file__)"


@dataclass(frozen=True)
class Side:
    """One of the two checkouts, and the measurement of each round."""

    name: str
    peer: Peer
    runs: list[Measured] = field(default_factory=list)

    def values(self, number: str) -> list[float]:
        """Return a number of each round."""
        return [float(getattr(run, number)) for run in self.runs]

    def of(self, number: str) -> float:
        """Return the median of a number."""
        return median(self.values(number))

    @property
    def errors(self) -> int:
        """How many answers were wrong, in all rounds together."""
        return sum(run.errors for run in self.runs)

    def line(self) -> str:
        """Return the row of the table."""
        rates = self.values("rate")
        errors = f" **{self.errors:,} errors**" if self.errors else ""
        return (
            f"| {self.name}: {self.peer.checkout}{errors} | {self.of('rate'):,.0f} | {min(rates):,.0f} to "
            f"{max(rates):,.0f} | {self.of('cpu'):,.2f} | {self.of('peak_mib'):.0f} |"
        )


def checkout(text: str) -> Path:
    """Read the folder of a checkout, which has the peer and the package."""
    path = Path(text).resolve()
    for needed in (PEERS / PROGRAM, Path(PACKAGE, "__init__.py")):
        if not (path / needed).is_file():
            raise argparse.ArgumentTypeError(f"{text} is not a checkout of this project: it has no {needed}")
    return path


def check_package(environment: Environment, side: Side) -> None:
    """End the benchmark unless a side imports the package of its own checkout."""
    folder = side.peer.checkout
    command = [str(environment.python), "-P", "-c", FIND_PACKAGE]
    variables = {**os.environ, "PYTHONPATH": str(folder)}
    finished = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    if finished.returncode:
        sys.exit(f"{side.name}: the package cannot be imported: {last_line(finished.stderr)}")
    if not Path(finished.stdout.strip()).is_relative_to(folder):
        sys.exit(f"{side.name}: the package is imported from {finished.stdout.strip()}, not from {folder}.")


def measure(runner: Runner, sides: tuple[Side, Side], options: argparse.Namespace) -> int:
    """Run both sides in turns, each once a round, and return how many ids each run retrieved."""

    def run(side: Side, items: int) -> Measured:
        return runner.run(side.peer, Load(options.in_flight, items))

    try:
        items = min(suitable_items(partial(run, side), options.seconds) for side in sides)
        for number in range(options.rounds):
            for side in sides:
                side.runs.append(run(side, items))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    except PeerFailed as error:
        sys.exit(f"A run failed: {error}")
    return items


def ratio(sides: tuple[Side, Side], number: str) -> str:
    """Return A's median of a number divided by B's, and the range of the ratios within a round."""
    ours, other = sides
    rounds = [a / b for a, b in zip(ours.values(number), other.values(number), strict=True)]
    return f"{ours.of(number) / other.of(number):.3f} (rounds: {min(rounds):.3f} to {max(rounds):.3f})"


def print_table(sides: tuple[Side, Side]) -> None:
    """Print the Markdown table, and the ratios."""
    print("| | requests/s | range | CPU µs/item | peak MiB |")
    print("| :-- | --: | --: | --: | --: |")
    for side in sides:
        print(side.line())
    print(f"\nRequests/s, A ÷ B: {ratio(sides, 'rate')}")
    print(f"CPU µs/item, A ÷ B: {ratio(sides, 'cpu')}")
    share = max(side.of("others_share") for side in sides)
    print(f"\nOther processes used up to {share:.0%} of the client's core (median of the worse side).")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("compare", "This checkout (A) against another one (B), alternately in one run.")
    parser.add_argument("other", type=checkout, metavar="OTHER_CHECKOUT", help="folder of the other checkout")
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N")
    parser.add_argument("--seconds", type=duration, default=1.5, metavar="S", help="approximate length of each run")
    parser.add_argument("--in-flight", type=at_least_one, default=64, metavar="N")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--no-audit", dest="audit", action="store_false", help="without the audit trail")
    add_common_options(parser, DEFAULT_DIRECTORY)
    return parse(parser)


def main() -> int:
    """Measure both sides, print the comparison, and return the exit code."""
    options = read_options()
    if find_nginx() is None:
        sys.exit(NO_NGINX)
    raise_file_limit()
    environment, cores = prepare(options.environment), Cores.choose()
    sides = (side_of("A", PROJECT, options), side_of("B", options.other, options))
    for side in sides:
        check_package(environment, side)
    machine = describe(environment.versions)
    print(machine, flush=True)
    with Nginx(cores.server) as nginx:
        runner = Runner(environment, Server(nginx.url, nginx.token_url), cores.client)
        items = measure(runner, sides, options)
    extent = f"{options.rounds} rounds of {items:,} ids, {options.in_flight} in flight"
    print(f"{options.loop}, {'audit trail' if options.audit else 'no audit trail'}, {extent}, {cores}.\n")
    print_table(sides)
    runs = {side.name: [asdict(run) for run in side.runs] for side in sides}
    write_json(options.json, {"machine": machine, "other": str(options.other), "items": items, "runs": runs})
    return exit_code(measured=True, errors=sum(side.errors for side in sides))


def side_of(name: str, folder: Path, options: argparse.Namespace) -> Side:
    """Return a side, with the peer of its own checkout."""
    return Side(name, Peer(PROGRAM, ("--loop", options.loop), audit=options.audit, checkout=folder))


if __name__ == "__main__":
    sys.exit(main())
