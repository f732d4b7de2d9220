"""What every Python peer measures of itself, and the report it writes."""

from __future__ import annotations

import json
import resource
import time
from dataclasses import dataclass
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.peers.options import file_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.peers.options import Options


class Measurement:
    """Wall time and CPU time, children's included, between entering and leaving."""

    wait: ClassVar[Callable[[], object]] = staticmethod(lambda: None)
    """Waits for the other processes of this run before the measurement begins."""

    def __init__(self) -> None:
        self.started = self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Start measuring."""
        Measurement.wait()
        self.started, self._cpu_before = time.perf_counter(), _cpu_seconds()

    def end(self) -> None:
        """Stop measuring."""
        self.seconds = time.perf_counter() - self.started
        self.cpu_seconds = _cpu_seconds() - self._cpu_before


@dataclass(slots=True)
class Counters:
    """Answers and errors."""

    answers: int = 0
    errors: int = 0
    first_error: str | None = None

    def fail(self, reason: str) -> None:
        """Count an error and keep the first one's reason."""
        self.errors += 1
        self.first_error = self.first_error or reason


class Window:
    """
    The measured part of a run without an end: whole turns, each of as many answers as requests are in flight.

    The first turn begins with the last answer of the warm-up; the last is the first to end after `--seconds`. Ids are
    handed out until then, so that no connection is idle at the beginning or at the end of the measurement.
    """

    def __init__(self, options: Options) -> None:
        self.measurement = Measurement()
        self.latencies: list[float] = []
        """Seconds from taking an id to finishing it, of measured ids only."""
        self._options = options
        self._taken_at: dict[str, float] = {}
        self._answers = 0
        self._turn_ends_with = options.warm_up
        self._ends_at: float | None = None
        self._is_over = False

    def ids(self) -> Iterator[str]:
        """Yield ids until the last turn is over."""
        for number in numbers():
            if self._is_over:
                return
            file_id = file_id_of(number)
            self._taken_at[file_id] = time.perf_counter()
            yield file_id

    def count(self, file_id: str) -> None:
        """Count a finished id."""
        taken_at = self._taken_at.pop(file_id)
        if self._is_over:
            return
        self._answers += 1
        if self._ends_at is not None:
            self.latencies.append(time.perf_counter() - taken_at)
        if self._answers == self._turn_ends_with:
            self._turn_ends_with += self._options.in_flight
            self._end_turn()

    def _end_turn(self) -> None:
        if self._ends_at is None:
            self._ends_at = time.perf_counter() + self._options.seconds
            self.measurement.begin()
        elif time.perf_counter() >= self._ends_at:
            self.measurement.end()
            self._is_over = True

    def write_report(self, counters: Counters) -> None:
        """Write the report, with exact percentiles."""
        ranked = sorted(self.latencies)
        percentiles = {f"latency_p{share}": ranked[len(ranked) * share // 100] for share in (50, 99)}
        write_report(self._options, self.measurement, counters, percentiles, items=len(ranked))


def write_report(
    options: Options,
    measurement: Measurement,
    counters: Counters,
    latencies: Mapping[str, float | None],
    *,
    items: int | None = None,
) -> None:
    """Write the report to the file of `--out`; `items` is how many answers were measured, if not all."""
    measured = {
        "items": counters.answers if items is None else items,
        "answers": counters.answers,
        "started": measurement.started,
        "seconds": measurement.seconds,
        "cpu_seconds": measurement.cpu_seconds,
        "peak_mib": peak_mib(),
        "errors": counters.errors,
        "first_error": counters.first_error,
        **latencies,
    }
    options.out.write_text(json.dumps(measured))


def add_reports(options: Options, files: Iterable[Path]) -> None:
    """
    Write the report of processes that measured themselves at the same time, from the first's start to the last's end.

    Their clock is the system's, one for all. Memory that processes share counts for each. Percentiles cannot be added:
    those of the slowest process are kept.
    """
    reports = [json.loads(file.read_text()) for file in files]
    total: dict[str, object] = {
        name: sum(report[name] for report in reports)
        for name in ("items", "answers", "cpu_seconds", "peak_mib", "errors")
    }
    started = min(report["started"] for report in reports)
    total |= {"started": started, "seconds": max(each["started"] + each["seconds"] for each in reports) - started}
    total["first_error"] = next(filter(None, (report["first_error"] for report in reports)), None)
    total |= {name: max(report[name] for report in reports) for name in ("latency_p50", "latency_p99")}
    options.out.write_text(json.dumps(total))


def peak_mib() -> float:
    """Return the largest resident size of this process so far, without its children."""
    # Not ru_maxrss: on Linux a child inherits the parent's.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)
