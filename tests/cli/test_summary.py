"""The report of a run: the summary and the exit code."""

from __future__ import annotations

import json
from dataclasses import replace
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
