"""What a run came to: counted while it runs, then the summary for people or programs, and the exit code. Pure."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING

from ..exit_codes import CommandFailed, ExitCode
from .progress import duration

if TYPE_CHECKING:
    from ...counters import Statistics
    from ...errors import GenesysMediaError
    from ...models import MediaResult
    from ...sinks.metrics import MetricsSnapshot

MAX_ERROR_LINES = 3
MAX_ERROR_LINE = 240
MIN_WITH_RATE = 1.0


@dataclass(slots=True)
class Results:
    """Counts of the results handed over; of each error code one example is kept. `media` are those with a media id."""

    succeeded: int = 0
    failed: int = 0
    failed_for_good: int = 0
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
        self.failed_for_good += not error.retryable
        self.codes[error.code] += 1
        self.examples.setdefault(error.code, error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """
    How a run ended.

    `trouble` is what ended it early, if anything; `statistics` is None if it ended before its first id. `place` is
    where the output is, and `ids_file` and `output_file` are the files that the next command can name (the latter
    with JSON lines). `remarks` are
    further lines for the summary.
    """

    results: Results
    statistics: Statistics | None
    metrics: MetricsSnapshot
    written: int
    lost: int
    interrupted: bool
    reader_is_gone: bool
    trouble: CommandFailed | None
    place: str
    output_file: str | None = None
    ids_file: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """What to tell the shell: what ended the run first, then the worst of what became of the ids."""
        if self.reader_is_gone:
            return ExitCode.READER_GONE
        if self.trouble is not None:
            return self.trouble.code
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.results.failed_for_good:
            return ExitCode.FAILED_FOR_GOOD
        return ExitCode.FAILED_FOR_NOW if self.results.failed else ExitCode.ALL_RETRIEVED


def summary(ended: Ended) -> str:
    """Return at most twelve lines for people; no URL is in them."""
    lines = [_counts(ended), _pace(ended), *_errors(ended.results), f"Output: {_output(ended)}"]
    undelivered = ended.metrics.webhooks_failed
    if undelivered or ended.metrics.webhooks_delivered:
        lines.append(f"Webhooks: {ended.metrics.webhooks_delivered:,} delivered, {undelivered:,} undelivered")
    lines += ended.remarks
    lines += next_step(ended)
    return "\n".join(line for line in lines if line)


def json_summary(ended: Ended) -> str:
    """Return the summary as one JSON object; times are seconds, `rate` is ids a minute."""
    metrics, statistics = ended.metrics, ended.statistics
    fields: dict[str, object] = {
        "event": "summary",
        "exit_code": ended.exit_code.value,
        "done": ended.results.done,
        "ok": ended.results.succeeded,
        "failed": ended.results.failed,
        "errors": dict(ended.results.codes),
        "rate": None if statistics is None else round(statistics.rate * 60, 1),
        "elapsed": None if statistics is None else round(statistics.elapsed, 1),
        "requests": 0 if statistics is None else statistics.requests,
        "retries": 0 if statistics is None else statistics.retries,
        "transport": None if statistics is None else statistics.transport,
        "latency_p50": metrics.latency_p50,
        "latency_p95": metrics.latency_p95,
        "output": ended.place,
        "written": ended.written,
        "lost": ended.lost,
        "webhooks_delivered": metrics.webhooks_delivered,
        "webhooks_failed": metrics.webhooks_failed,
        "remarks": ended.remarks,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def next_step(ended: Ended) -> tuple[str, ...]:
    """Return what to do about what is not retrieved: a command where the files have names."""
    unfinished = ended.interrupted or ended.trouble is not None
    again = unfinished or ended.results.failed > ended.results.failed_for_good
    if not again or not ended.results.done:
        return ()
    # Of an id with several media, some may be retrieved.
    if ended.output_file is None or ended.ids_file is None or ended.results.media:
        return ("Next: run it again with the ids that the output does not show as ok",)
    ids, output = shlex.quote(ended.ids_file), shlex.quote(ended.output_file)
    more_ids, more_output = _rest(ended.ids_file), _rest(ended.output_file)
    return (
        "Next, for what is not retrieved yet:",
        f"  jq -r 'select(.status==\"ok\").file_id' {output} | grep -vxFf - {ids} > {more_ids}",
        f"  genesys-media retrieve -i {more_ids} -o {more_output}",
    )


def _rest(path: str) -> str:
    # Another name each time, so that following the advice twice overwrites nothing.
    old = PurePath(path)
    return shlex.quote(str(old.with_name(f"{old.stem}.rest{old.suffix}")))


def _counts(ended: Ended) -> str:
    results = ended.results
    # A medium is not an id: one id may have many.
    done = _plural(results.done, "result" if results.media else "id")
    head = f"{'Interrupted: ' if ended.interrupted else ''}{done}{'' if results.media else ' done'}: "
    counts = f"{results.succeeded:,} retrieved, {results.failed:,} failed"
    if ended.statistics is None:
        return head + counts
    elapsed = ended.statistics.elapsed
    # In less time than that, a rate is an accident.
    rate = f" ({ended.statistics.rate * 60:,.0f} a minute)" if elapsed >= MIN_WITH_RATE else ""
    return f"{head}{counts}, in {_elapsed(elapsed)}{rate}"


def _pace(ended: Ended) -> str:
    statistics, metrics = ended.statistics, ended.metrics
    if statistics is None:
        return ""
    latency = ""
    if metrics.latency_p50 is not None and metrics.latency_p95 is not None:
        latency = f"; latency p50 {metrics.latency_p50 * 1000:.0f} ms, p95 {metrics.latency_p95 * 1000:.0f} ms"
    # The usual one goes without saying.
    over = "" if statistics.transport == "direct" else f" over {statistics.transport}"
    return f"Requests: {statistics.requests:,}{over}, of which {statistics.retries:,} retries{latency}"


def _errors(results: Results) -> list[str]:
    lines: list[str] = []
    for code, count in results.codes.most_common(MAX_ERROR_LINES):
        line = f"  {count:,} {code}{_said(results.examples[code])}"
        lines.append(line if len(line) <= MAX_ERROR_LINE else f"{line[: MAX_ERROR_LINE - 1]}…")
    more = len(results.codes) - MAX_ERROR_LINES
    if more > 0:
        lines.append(f"  … and {more} more error codes")
    return lines


def _said(error: GenesysMediaError) -> str:
    # The correlation id comes first: a long message is cut.
    example = f" (correlation id {error.correlation_id})" if error.correlation_id else ""
    return f"{example}: {error.message} {error.advice}".rstrip()


def _output(ended: Ended) -> str:
    lost = f", {ended.lost:,} could not be written" if ended.lost else ""
    return f"{ended.place} ({_plural(ended.written, 'line')}{lost})"


def _plural(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _elapsed(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
