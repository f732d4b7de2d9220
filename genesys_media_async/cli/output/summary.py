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

    `run` is how it ended; `statistics` is None if it ended before its first id. `output` is the name of the output.
    `ids_file` and `output_file` are the files that the next command can name (the latter with JSON lines). `remarks`
    are further lines for the summary.
    """

    run: RunReport
    results: ResultCounts
    statistics: Statistics | None
    metrics: MetricsSnapshot
    written: int
    lost: int
    output: str
    output_file: str | None = None
    ids_file: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: for what ended the run early, else for the worst result."""
        if self.run.exit_code:
            return self.run.exit_code
        if self.results.failed_permanently:
            return ExitCode.PERMANENT_FAILURES
        return ExitCode.RETRYABLE_FAILURES if self.results.failed else ExitCode.ALL_RETRIEVED

    @property
    def is_unfinished(self) -> bool:
        """True if the run ended before its last id."""
        return self.run.is_interrupted or self.run.failure is not None


def summary(report: RetrievalReport) -> str:
    """Return at most twelve lines for people; they contain no URL."""
    lines = [_counts(report), _requests(report), *_errors(report.results), f"Output: {_output(report)}"]
    undelivered = report.metrics.webhooks_failed
    if undelivered or report.metrics.webhooks_delivered:
        lines.append(f"Webhooks: {report.metrics.webhooks_delivered:,} delivered, {undelivered:,} undelivered")
    lines.append(_batch_jobs(report.statistics))
    lines += report.remarks
    lines += next_step(report)
    return "\n".join(line for line in lines if line)


def json_summary(report: RetrievalReport) -> str:
    """Return the summary as one JSON object; times are seconds, `rate` is ids per minute."""
    metrics, statistics = report.metrics, report.statistics
    fields: dict[str, object] = {
        "event": "summary",
        "exit_code": report.exit_code.value,
        "done": report.results.done,
        "ok": report.results.succeeded,
        "failed": report.results.failed,
        "errors": dict(report.results.codes),
        "rate": None if statistics is None else round(statistics.rate * 60, 1),
        "elapsed": None if statistics is None else round(statistics.elapsed, 1),
        "requests": 0 if statistics is None else statistics.requests,
        "retries": 0 if statistics is None else statistics.retries,
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


def next_step(report: RetrievalReport) -> tuple[str, ...]:
    """Return how to retrieve what is missing: a command, if the files have names."""
    is_retry_useful = report.is_unfinished or report.results.failed > report.results.failed_permanently
    if not is_retry_useful or not report.results.done:
        return ()
    # Of an id with several media, some may be retrieved.
    if report.output_file is None or report.ids_file is None or report.results.media:
        return ("Next: run it again with the ids whose status in the output is not ok",)
    ids, output = shlex.quote(report.ids_file), shlex.quote(report.output_file)
    more_ids, more_output = _rest(report.ids_file), _rest(report.output_file)
    return (
        "Next, for the missing ids:",
        f"  jq -r 'select(.status==\"ok\").file_id' {output} | grep -vxFf - {ids} > {more_ids}",
        f"  genesys-media retrieve -i {more_ids} -o {more_output}",
    )


def _rest(path: str) -> str:
    # Another name each time, so that following the advice twice overwrites nothing.
    old = PurePath(path)
    return shlex.quote(str(old.with_name(f"{old.stem}.rest{old.suffix}")))


def _counts(report: RetrievalReport) -> str:
    results = report.results
    # A medium is not an id: one id may have many.
    done = _plural(results.done, "result" if results.media else "id")
    head = f"{'Interrupted: ' if report.run.is_interrupted else ''}{done}{'' if results.media else ' done'}: "
    counts = f"{results.succeeded:,} retrieved, {results.failed:,} failed"
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
