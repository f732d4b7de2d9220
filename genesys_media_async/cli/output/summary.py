"""The report of a run over ids: counts, the summary for people and for programs, and the exit code. Pure."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode, RunReport
from .progress import duration

if TYPE_CHECKING:
    from ...counters import Statistics
    from ...errors import GenesysMediaError
    from ...models import MediaResult
    from ...sinks.metrics import MetricsSnapshot

MAX_ERROR_LINES = 3
MAX_ERROR_LINE = 240
MAX_JOB_IDS = 20
MIN_SECONDS_FOR_RATE = 1.0


@dataclass(slots=True)
class ResultCounts:
    """Counts of the results delivered, with one example of each error code; `media` are those with a media id."""

    succeeded: int = 0
    failed: int = 0
    failed_permanently: int = 0
    media: int = 0
    codes: Counter[str] = field(default_factory=Counter[str])
    examples: dict[str, GenesysMediaError] = field(default_factory=dict["str", "GenesysMediaError"])

    @property
    def done(self) -> int:
        """All of them."""
        return self.succeeded + self.failed

    @property
    def are_some_retryable(self) -> bool:
        """True if a failed one can be retried."""
        return self.failed > self.failed_permanently

    def add(self, result: MediaResult) -> None:
        """Count one."""
        self.media += result.media_id is not None
        if result.ok:
            self.succeeded += 1
            return
        error = result.error
        self.failed += 1
        self.failed_permanently += not error.retryable
        self.codes[error.code] += 1
        self.examples.setdefault(error.code, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalReport:
    """
    The report of a run over ids.

    `run` is how it ended, and `is_complete` is True if every id had a result by then; `statistics` is None if it ended
    before its first id. `total` is the number of ids, None if it is unknown. `output` is the name of the output, and
    `output_file` that of a file that the next command can read the results from; `shows_failures` is False for an
    output of bare URLs. `undelivered_file` has the lost webhooks. `remarks` are further lines for the summary.
    """

    run: RunReport
    is_complete: bool
    results: ResultCounts
    statistics: Statistics | None
    metrics: MetricsSnapshot
    written: int
    lost: int
    output: str
    total: int | None = None
    output_file: str | None = None
    undelivered_file: str | None = None
    shows_failures: bool = True
    remarks: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """
        The exit code: for what ended the run early, else for the worst result, else for lost webhooks.

        Ids come before webhooks: an id without a URL has to be retrieved again, while the URL that a lost webhook
        announced is in the output.
        """
        if self.run.exit_code:
            return self.run.exit_code
        if self.results.failed_permanently:
            return ExitCode.PERMANENT_FAILURES
        if self.results.failed:
            return ExitCode.RETRYABLE_FAILURES
        return ExitCode.WEBHOOKS_LOST if self.metrics.webhooks_failed else ExitCode.ALL_RETRIEVED

    @property
    def not_done(self) -> int | None:
        """The number of ids without a result; None if the number of ids is unknown."""
        if self.total is None:
            return None
        return max(0, self.total - (0 if self.statistics is None else self.statistics.done))

    @property
    def are_ids_missing(self) -> bool:
        """True if ids have no result, or one that was not written."""
        return not self.is_complete or self.lost > 0


def summary(report: RetrievalReport) -> str:
    """Return a dozen lines or so for people; they contain no URL."""
    lines = [
        _counts(report),
        _requests(report),
        _outages(report),
        *_errors(report.results),
        f"Output: {_output(report)}",
        webhooks_line(report),
        _batch_jobs(report.statistics),
        *report.remarks,
    ]
    lines += next_step(report)
    return "\n".join(line for line in lines if line)


def json_summary(report: RetrievalReport) -> str:
    """Return the summary as one JSON object; times are seconds, `rate` is ids per minute."""
    metrics, statistics = report.metrics, report.statistics
    fields: dict[str, object] = {
        "event": "summary",
        "exit_code": report.exit_code.value,
        "done": report.results.done,
        "not_done": report.not_done,
        "ok": report.results.succeeded,
        "failed": report.results.failed,
        "errors": dict(report.results.codes),
        "rate": None if statistics is None else round(statistics.rate * 60, 1),
        "elapsed": None if statistics is None else round(statistics.elapsed, 1),
        "requests": 0 if statistics is None else statistics.requests,
        "retries": 0 if statistics is None else statistics.retries,
        "outages": 0 if statistics is None else statistics.outages,
        "outage_seconds": 0.0 if statistics is None else round(statistics.outage_seconds, 1),
        "orphaned_submissions": 0 if statistics is None else statistics.orphaned_submissions,
        "abandoned_jobs": () if statistics is None else statistics.abandoned_jobs,
        "transport": None if statistics is None else statistics.transport,
        "latency_p50": metrics.latency_p50,
        "latency_p95": metrics.latency_p95,
        "output": report.output,
        "written": report.written,
        "lost": report.lost,
        "webhooks_delivered": metrics.webhooks_delivered,
        "webhooks_failed": metrics.webhooks_failed,
        "remarks": report.remarks,
    }
    return json.dumps(fields, separators=(",", ":"))


def webhooks_line(report: RetrievalReport) -> str:
    """Return how many webhooks were delivered and where the others are; empty if there were none."""
    delivered, lost = report.metrics.webhooks_delivered, report.metrics.webhooks_failed
    if not delivered and not lost:
        return ""
    line = f"Webhooks: {delivered:,} delivered, {lost:,} undelivered"
    if not lost:
        return line
    return f"{line} ({'in ' + report.undelivered_file if report.undelivered_file else '--undelivered FILE keeps them'})"


def next_step(report: RetrievalReport) -> tuple[str, ...]:
    """Return how to retrieve what is missing: the same command, whatever its input and options, with a few more."""
    is_useful = report.are_ids_missing or report.results.are_some_retryable
    if not (is_useful and report.results.done and report.shows_failures):
        return ()
    keep, old, new = "keep the output in a FILE, and ", "FILE", ""
    if report.output_file is not None:
        keep, old, new = "", shlex.quote(report.output_file), f" -o {_rest(report.output_file)}"
    if report.are_ids_missing:
        return (f"Next, for the missing ids: {keep}run the same command, and add", f"  --skip-done {old}{new}")
    return (
        f"Next, for the ids that failed: {keep}run the same command, and instead of its ids give",
        f"  -i {old} --only-failed{new}",
    )


def _rest(path: str) -> str:
    # Another name each time, so that following the advice twice overwrites nothing.
    old = PurePath(path)
    return shlex.quote(str(old.with_name(f"{old.stem}.rest{old.suffix}")))


def _counts(report: RetrievalReport) -> str:
    results = report.results
    # A medium is not an id: one id may have many.
    done = _plural(results.done, "result" if results.media else "id")
    head = f"{'' if report.run.stopped_by is None else 'Interrupted: '}{done}{'' if results.media else ' done'}: "
    counts = f"{results.succeeded:,} retrieved, {results.failed:,} failed"
    if report.not_done and not report.is_complete:
        counts += f", {report.not_done:,} ids not done"
    if report.statistics is None:
        return head + counts
    elapsed = report.statistics.elapsed
    # The rate of a shorter run is an accident.
    per_second = results.done / elapsed if results.media and elapsed else report.statistics.rate
    rate = f" ({per_second * 60:,.0f} a minute)" if elapsed >= MIN_SECONDS_FOR_RATE else ""
    return f"{head}{counts}, in {_elapsed(elapsed)}{rate}"


def _requests(report: RetrievalReport) -> str:
    statistics, metrics = report.statistics, report.metrics
    if statistics is None:
        return ""
    latency = ""
    if metrics.latency_p50 is not None and metrics.latency_p95 is not None:
        latency = f"; latency p50 {metrics.latency_p50 * 1000:.0f} ms, p95 {metrics.latency_p95 * 1000:.0f} ms"
    # The usual transport is not worth a word.
    over = "" if statistics.transport == "direct" else f" over {statistics.transport}"
    return f"Requests: {statistics.requests:,}{over}, of which {statistics.retries:,} retries{latency}"


def _outages(report: RetrievalReport) -> str:
    statistics = report.statistics
    if statistics is None or not statistics.outages:
        return ""
    return f"Outages: {statistics.outages:,}, {_elapsed(statistics.outage_seconds)} in all, in which everything waited"


def _batch_jobs(statistics: Statistics | None) -> str:
    """Return which batch jobs at Genesys nobody polls any more; empty if there are none."""
    words: list[str] = []
    if statistics is not None and (left := statistics.abandoned_jobs):
        more = f" and {len(left) - MAX_JOB_IDS} more" if len(left) > MAX_JOB_IDS else ""
        words.append(f"{len(left):,} left unfinished: {' '.join(left[:MAX_JOB_IDS])}{more}")
    if statistics is not None and (orphans := statistics.orphaned_submissions):
        each = "which" if orphans == 1 else "each of which"
        words.append(f"{_plural(orphans, 'submission')} without a reply, {each} may have made one more")
    return f"Batch jobs: {'; '.join(words)}" if words else ""


def _errors(results: ResultCounts) -> list[str]:
    lines: list[str] = []
    for code, count in results.codes.most_common(MAX_ERROR_LINES):
        line = f"  {count:,} {code}{_example(results.examples[code])}"
        lines.append(line if len(line) <= MAX_ERROR_LINE else f"{line[: MAX_ERROR_LINE - 3]}...")
    more = len(results.codes) - MAX_ERROR_LINES
    if more > 0:
        lines.append(f"  ... and {more} more error codes")
    return lines


def _example(error: GenesysMediaError) -> str:
    # The correlation id comes first: a long message is cut.
    correlation = f" (correlation id {error.correlation_id})" if error.correlation_id else ""
    return f"{correlation}: {error.message} {error.advice}".rstrip()


def _output(report: RetrievalReport) -> str:
    lost = f", {report.lost:,} could not be written" if report.lost else ""
    return f"{report.output} ({_plural(report.written, 'line')}{lost})"


def _plural(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _elapsed(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
