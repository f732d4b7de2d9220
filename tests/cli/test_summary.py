"""The report of a run: the summary and the exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from genesys_media_async import InternalServerError, NotFoundError
from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode, RunReport
from genesys_media_async.cli.output.summary import ResultCounts, RetrievalReport, json_summary, summary
from genesys_media_async.models import Failed
from genesys_media_async.sinks import MetricsSink
from tests.support.statistics import statistics

if TYPE_CHECKING:
    from genesys_media_async.errors import GenesysMediaError


def report(*errors: GenesysMediaError, run: RunReport | None = None) -> RetrievalReport:
    results = ResultCounts()
    for error in errors:
        results.add(Failed("x", error))
    return RetrievalReport(
        run=run or RunReport(),
        results=results,
        statistics=statistics(),
        metrics=MetricsSink().snapshot(),
        written=1,
        lost=0,
        output="out.jsonl",
        output_file="out.jsonl",
        ids_file="ids.txt",
        remarks=("remark",),
    )


INTERRUPTED = RunReport(is_interrupted=True)


class TestASummary:
    def test_has_at_most_twelve_lines(self):
        errors = [InternalServerError("bad\u2028 " + "x" * 500, code=f"code-{number}") for number in range(9)]
        text = summary(report(*errors, run=INTERRUPTED))
        assert len(text.split("\n")) <= 12
        assert "... and 6 more error codes" in text

    def test_shows_the_correlation_id_of_a_long_message(self):
        assert "the-id" in summary(report(InternalServerError("x" * 500, correlation_id="the-id")))

    def test_names_the_transport_to_people_only_if_it_is_not_the_usual_one(self):
        usual, other = report(), replace(report(), statistics=replace(statistics(), transport="httpx"))
        assert "Requests: 12, of which 2 retries" in summary(usual)
        assert "Requests: 12 over httpx, of which 2 retries" in summary(other)
        assert [json.loads(json_summary(each))["transport"] for each in (usual, other)] == ["direct", "httpx"]

    def test_names_the_batch_jobs_that_nobody_polls_any_more(self):
        assert "Batch jobs" not in summary(report())
        left = replace(statistics(), abandoned_jobs=("job-1", "job-2"), orphaned_submissions=3)
        (line,) = [each for each in summary(replace(report(), statistics=left)).splitlines() if "Batch" in each]
        assert line == (
            "Batch jobs: 2 left unfinished: job-1 job-2; "
            "3 submissions without a reply, each of which may have made one more"
        )
        fields = json.loads(json_summary(replace(report(), statistics=left)))
        assert (fields["abandoned_jobs"], fields["orphaned_submissions"]) == (["job-1", "job-2"], 3)

    def test_names_no_more_jobs_than_can_be_read(self):
        left = replace(statistics(), abandoned_jobs=tuple(f"job-{number}" for number in range(1, 31)))
        text = summary(replace(report(), statistics=left))
        assert "30 left unfinished: job-1 " in text
        assert "job-20 and 10 more" in text
        assert "job-21" not in text

    def test_counts_the_media_of_a_minute_where_an_id_has_several(self):
        several = report()
        several.results.add(Failed("x", NotFoundError("x"), media_id="x/1"))
        slow = replace(statistics(), elapsed=60.0, rate=0.0)
        assert "(1 a minute)" in summary(replace(several, statistics=slow))

    def test_names_a_command_for_the_missing_ids(self):
        text = summary(report(NotFoundError("x"), run=INTERRUPTED))
        assert "genesys-media retrieve -i ids.rest.txt -o out.rest.jsonl" in text

    def test_is_ascii_for_programs(self):
        assert json_summary(report(run=RunReport(CommandFailed(ExitCode.INPUT, "\u00fc")))).isascii()


class TestTheExitCode:
    def test_is_of_what_ended_the_run_first_and_then_of_the_worst_result(self):
        lost = RunReport(CommandFailed(ExitCode.OUTPUT_LOST, "full"), is_interrupted=True)
        assert report().exit_code is ExitCode.ALL_RETRIEVED
        assert report(InternalServerError("x")).exit_code is ExitCode.RETRYABLE_FAILURES
        assert report(InternalServerError("x"), NotFoundError("x")).exit_code is ExitCode.PERMANENT_FAILURES
        assert report(NotFoundError("x"), run=INTERRUPTED).exit_code is ExitCode.INTERRUPTED
        assert report(NotFoundError("x"), run=lost).exit_code is ExitCode.OUTPUT_LOST
        assert report(run=replace(lost, is_reader_gone=True)).exit_code is ExitCode.READER_GONE
