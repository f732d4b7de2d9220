"""The report of a run: the summary and the exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

import pytest

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
        is_complete=run is None,
        results=results,
        statistics=statistics(),
        metrics=MetricsSink().snapshot(),
        written=1,
        lost=0,
        output="out.jsonl",
        output_file="out.jsonl",
        remarks=("remark",),
    )


INTERRUPTED = RunReport(stopped_by=SIGINT)


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

    def test_names_the_outages_and_their_length(self):
        assert "Outage" not in summary(report())
        down = replace(report(), statistics=replace(statistics(), outages=2, outage_seconds=75.4))
        assert "Outages: 2, 1m15s in all, in which everything waited" in summary(down)
        program = json.loads(json_summary(down))
        assert (program["outages"], program["outage_seconds"]) == (2, 75.4)

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

    def test_names_the_options_for_the_missing_ids(self):
        text = summary(report(NotFoundError("x"), run=INTERRUPTED))
        assert text.endswith("run the same command, and add\n  --skip-done out.jsonl -o out.rest.jsonl")

    def test_names_the_options_for_the_failed_ids(self):
        text = summary(report(InternalServerError("x")))
        assert text.endswith("instead of its ids give\n  -i out.jsonl --only-failed -o out.rest.jsonl")

    def test_says_to_keep_an_output_that_has_no_name(self):
        unnamed = replace(report(InternalServerError("x"), run=INTERRUPTED), output_file=None)
        assert summary(unnamed).endswith(
            "keep the output in a FILE, and run the same command, and add\n  --skip-done FILE"
        )

    @pytest.mark.parametrize(
        "without",
        [
            report(NotFoundError("x")),
            # Every id has a result, and only webhooks were cut off.
            replace(report(NotFoundError("x"), run=INTERRUPTED), is_complete=True),
            replace(report(InternalServerError("x")), shows_failures=False),
            report(run=INTERRUPTED),
        ],
        ids=["nothing to retry", "webhooks cut off", "bare URLs", "no result yet"],
    )
    def test_advises_nothing_that_is_of_no_use(self, without: RetrievalReport):
        assert "Next" not in summary(without)

    def test_advises_to_retrieve_again_what_could_not_be_written(self):
        assert "--skip-done" in summary(replace(report(NotFoundError("x")), lost=1))

    def test_counts_the_ids_that_were_not_done_if_the_run_ended_early(self):
        early, whole = replace(report(run=INTERRUPTED), total=1_010), replace(report(), total=1_010)
        left = 1_010 - statistics().done
        assert f"failed, {left:,} ids not done, in " in summary(early)
        assert "not done" not in summary(whole)
        assert json.loads(json_summary(early))["not_done"] == left
        assert json.loads(json_summary(report(run=INTERRUPTED)))["not_done"] is None

    def test_is_ascii_for_programs(self):
        assert json_summary(report(run=RunReport(CommandFailed(ExitCode.INPUT, "\u00fc")))).isascii()


class TestTheExitCode:
    def test_is_of_lost_webhooks_only_after_every_id_was_retrieved(self):
        def code(*errors: GenesysMediaError, run: RunReport | None = None) -> ExitCode:
            metrics = replace(MetricsSink().snapshot(), webhooks_failed=1)
            return replace(report(*errors, run=run), metrics=metrics).exit_code

        assert code() is ExitCode.WEBHOOKS_LOST
        assert code(InternalServerError("x")) is ExitCode.RETRYABLE_FAILURES
        assert code(NotFoundError("x")) is ExitCode.PERMANENT_FAILURES
        assert code(run=INTERRUPTED) is ExitCode.INTERRUPTED

    def test_is_of_what_ended_the_run_first_and_then_of_the_worst_result(self):
        lost = RunReport(CommandFailed(ExitCode.OUTPUT_LOST, "full"), stopped_by=SIGTERM)
        assert report().exit_code is ExitCode.ALL_RETRIEVED
        assert report(InternalServerError("x")).exit_code is ExitCode.RETRYABLE_FAILURES
        assert report(InternalServerError("x"), NotFoundError("x")).exit_code is ExitCode.PERMANENT_FAILURES
        assert report(NotFoundError("x"), run=INTERRUPTED).exit_code is ExitCode.INTERRUPTED
        assert report(run=RunReport(stopped_by=SIGTERM)).exit_code is ExitCode.TERMINATED
        assert report(NotFoundError("x"), run=lost).exit_code is ExitCode.OUTPUT_LOST
        assert report(run=replace(lost, is_reader_gone=True)).exit_code is ExitCode.READER_GONE
