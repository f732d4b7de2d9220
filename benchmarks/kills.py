"""
Runs of the command that are ended by signals, and whether three ledgers agree afterwards.

    python -m benchmarks.kills                       100 runs for each way to end one (most of an hour)
    python -m benchmarks.kills --count 3             quicker
    python -m benchmarks.kills --only SIGKILL        one way

`genesys-media retrieve` runs against `genesys-media simulate`, each a process of its own, with a tenth of the requests
spoiled. It gets SIGINT, SIGTERM, SIGKILL, or SIGINT twice: at a random time, while it imports, at its token, at its
first audit record, in the middle, or when it is nearly done. Then the server's request log, the audit file and the
output are compared: no line is torn, no medium is told twice, nothing is told without its audit record, no attempt is
recorded that the server did not see, and after anything but a SIGKILL no request is without its record. It ends with
exit code 1 if anything of this is not so, or if a run is still there 30 s after its signal.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

from .harness.command_line import at_least_one, chosen, parse, parser_of, writable, write_json
from .harness.machine import describe_briefly
from .killing.ledgers import Findings, Ledgers, examine
from .killing.processes import Command, Server

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SECONDS_TO_DIE = 30.0
"""Longer than the ten seconds of grace after a first signal, and those in which webhooks and sinks close."""

WAYS = {
    "SIGINT": (signal.SIGINT,),
    "SIGTERM": (signal.SIGTERM,),
    "SIGKILL": (signal.SIGKILL,),
    "SIGINT twice": (signal.SIGINT, signal.SIGINT),
}
SOURCES = ("media-storage", "recording-batch")
MOMENTS = ("random", "import", "token", "first record", "middle", "drain")
IDS = {"media-storage": 400, "recording-batch": 12}
BETWEEN_SIGNALS = 0.5
"""Seconds, at most, between the two signals of SIGINT twice."""


@dataclass(frozen=True)
class End:
    """How a run ended, and what its ledgers say."""

    way: str
    source: str
    moment: str
    code: int | None
    seconds_to_die: float | None
    has_traceback: bool
    lines: int
    records: int
    requests: int
    findings: Findings = field(default_factory=Findings)


class Campaign:
    """Runs against one server, in one directory."""

    def __init__(self, server: Server, directory: Path, rng: random.Random) -> None:
        self._server = server
        self._directory = directory
        self._rng = rng
        self._number = 0
        self._seconds: dict[str, float] = {}
        """How long an undisturbed run of each source takes."""
        self._seconds_to_token = 0.0
        """How long the last undisturbed run took to ask for its token: what comes before is start and imports."""

    def run(self, way: str, source: str, moment: str) -> End:
        """Start a run, end it, and compare its ledgers."""
        if source not in self._seconds:
            self._seconds[source] = 0.0
            started = time.monotonic()
            undisturbed = self._run("none", (), source, moment)
            self._seconds[source] = time.monotonic() - started
            if undisturbed.findings.violations:
                sys.exit(f"{source}, undisturbed: {'; '.join(undisturbed.findings.violations)}")
        return self._run(way, WAYS[way], source, moment)

    def _run(self, way: str, signals: Sequence[signal.Signals], source: str, moment: str) -> End:
        self._number += 1
        ids = self._server.conversations[: IDS[source]]
        if source == "media-storage":
            ids = [f"run-{self._number}-{number}" for number in range(IDS[source])]
        mark = self._server.mark()
        command = Command(self._directory / f"{self._number}", self._server.variables, source, ids)
        seconds: float | None = None
        if not signals:
            self._time_token(command, mark)
        elif self._is_due(command, moment, source, len(ids), mark):
            seconds = self._end(command, signals)
        code = command.wait(None if signals else 120.0)
        server_lines = self._server.lines_since(mark)
        output, audit = command.output, command.audit
        is_killed = signal.SIGKILL in signals
        findings = examine(Ledgers(output, audit, server_lines, is_killed=is_killed))
        if code is None:
            findings.violations.append(f"still there {MAX_SECONDS_TO_DIE:.0f} s after its signal")
        return End(
            way,
            source,
            moment,
            code,
            seconds,
            "Traceback" in command.errors,
            output.count(b"\n"),
            audit.count(b"\n"),
            sum(line["kind"] == "api" for line in server_lines),
            findings,
        )

    def _time_token(self, command: Command, mark: int) -> None:
        started = time.monotonic()
        while self._server.mark() == mark and not command.has_ended:
            time.sleep(0.002)
        self._seconds_to_token = time.monotonic() - started

    def _is_due(self, command: Command, moment: str, source: str, count: int, mark: int) -> bool:
        """Wait for a moment of a run; False if it ended before."""
        share = {"middle": self._rng.uniform(0.1, 0.8), "drain": self._rng.uniform(0.93, 1.0)}.get(moment, 0.0)
        wanted = share * count * (2 if source == "recording-batch" else 1)
        until = self._rng.uniform(0.0, self._seconds_to_token if moment == "import" else self._seconds[source])
        started = time.monotonic()

        def is_due() -> bool:
            match moment:
                case "import" | "random":
                    return time.monotonic() - started >= until
                case "token":
                    return self._server.mark() > mark
                case _:
                    return command.records > wanted

        while not is_due():
            if command.has_ended:
                return False
            time.sleep(0.002)
        return not command.has_ended

    def _end(self, command: Command, signals: Sequence[signal.Signals]) -> float:
        """Send the signals, and return the seconds from the last one to the end of the process."""
        for number, each in enumerate(signals):
            if number:
                time.sleep(self._rng.uniform(0.0, BETWEEN_SIGNALS))
            command.send(each)
        started = time.monotonic()
        command.wait(MAX_SECONDS_TO_DIE)
        return time.monotonic() - started


def print_row(way: str, source: str, ends: Sequence[End]) -> None:
    """Print the row of one way to end a run."""
    signalled = [end for end in ends if end.seconds_to_die is not None]
    slowest = max((end.seconds_to_die or 0.0 for end in signalled), default=0.0)
    codes = ", ".join(f"{code} x {count}" for code, count in sorted(Counter(str(end.code) for end in ends).items()))
    findings = [end.findings for end in ends]
    print(
        f"| {way} | {source} | {len(signalled)} of {len(ends)} | {slowest:.1f} | {codes} "
        f"| {sum(end.lines for end in ends):,} | {sum(end.records for end in ends):,} "
        f"| {sum(end.requests for end in ends):,} | {sum(each.unrecorded for each in findings)} "
        f"| {sum(each.unwritten for each in findings)} | {sum(end.has_traceback for end in ends)} "
        f"| {sum(len(each.violations) for each in findings)} |",
        flush=True,
    )


def main() -> None:
    """Print a row for each way and source, and what is wrong."""
    parser = parser_of("kills", "Runs that are ended by signals, and whether three ledgers agree afterwards.")
    parser.add_argument("--count", type=at_least_one, default=100, metavar="N", help="runs for each way")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="ways whose name contains a word")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the moments (default: %(default)s)")
    parser.add_argument("--json", type=writable, metavar="FILE", help="write every run to this file")
    options = parse(parser)
    ways = chosen(WAYS, options.only)
    print(f"{describe_briefly()}\n{options.count} runs for each way, seed {options.seed}.\n")
    print("| way | source | signalled | slowest end, s | exit codes | lines | records | requests | not recorded "
          "| not written | tracebacks | wrong |\n"
          "| :-- | :-- | --: | --: | :-- | --: | --: | --: | --: | --: | --: | --: |")  # fmt: skip
    every: list[End] = []
    with tempfile.TemporaryDirectory(prefix="kills-") as name, Server(Path(name)) as server:
        campaign = Campaign(server, Path(name), random.Random(options.seed))
        # Counted over all ways, so that a few runs of each meet every moment.
        moments = cycle((moment, source) for moment in MOMENTS for source in SOURCES)
        for way in ways:
            ends = [campaign.run(way, source, moment) for moment, source in islice(moments, options.count)]
            for source in SOURCES:
                print_row(way, source, [end for end in ends if end.source == source])
            every += ends
    wrong = [
        f"{end.way}, {end.source}, {end.moment}: {violation}" for end in every for violation in end.findings.violations
    ]
    print("\n".join(["", *wrong]))
    write_json(options.json, {"seed": options.seed, "runs": [asdict(end) for end in every]})
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
