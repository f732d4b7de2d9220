"""The job of `retrieve` and `demo`: ids in, results into the output, and the report at the end."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from .exit_codes import CommandFailed, ExitCode
from .output.progress import ProgressSnapshot, progress_for
from .output.streams import ErrorLogHandler, print_err, print_failure, redirect_to_null
from .output.summary import ResultCounts, RetrievalReport, json_summary, summary
from .supervisor import run_supervised

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from ..counters import Statistics
    from ..models import MediaResult
    from ..retrieval.retriever import MediaRetriever
    from ..retrieval.run import Run
    from .exit_codes import RunReport
    from .output.progress import ProgressKind
    from .output.writer import Output

NO_IDS = "The input has no ids; one id per line is expected."


class RetrieveJob:
    """Retrieves ids into an output, once."""

    def __init__(
        self, retriever: MediaRetriever, ids: AsyncIterator[str], output: Output[MediaResult], *, total: int | None
    ) -> None:
        self.output = output
        self._retriever = retriever
        self._ids = ids
        self._total = total
        self._results = ResultCounts()
        self._run: Run | None = None
        self._statistics: Statistics | None = None
        self._is_stopped = False

    def opened(self) -> AbstractAsyncContextManager[object]:
        """Return the retriever, which delivers its webhooks before it closes."""
        return self._retriever

    async def work(self) -> None:
        """Retrieve the ids, and write each result as it comes."""
        try:
            async with self._retriever.retrieve_many(self._ids) as run:
                self._run = run
                if self._is_stopped:
                    run.stop()
                self.output.start()
                async for result in run:
                    self._results.add(result)
                    await self.output.put(result)
                    if self.output.is_reader_gone:
                        return
                    if self.output.failure is not None:
                        run.stop()
        finally:
            # Only the end of the run shows which jobs it left.
            if self._run is not None:
                self._statistics = self._run.statistics()
                self._run = None
        if not self._results.done and not self._is_stopped:
            raise CommandFailed(ExitCode.INPUT, NO_IDS)

    def stop(self) -> bool:
        """Read no more ids; False before the first one, while there is nothing in flight."""
        self._is_stopped = True
        if self._run is not None:
            self._run.stop()
        return self._run is not None or self._statistics is not None

    def is_idle(self) -> bool:
        """Return True if nothing is in flight or being prepared by Genesys, and every result was delivered."""
        if self._run is None:
            return True
        now = self._run.statistics()
        return now.in_flight == now.jobs == 0 and now.succeeded + now.failed <= self._results.done

    def snapshot(self) -> ProgressSnapshot | None:
        """Return the state of the run; None before it began."""
        quota = self._retriever.settings.quota
        if self._run is not None:
            return ProgressSnapshot(self._run.statistics(), self._total, quota, self._retriever.quota)
        return None if self._statistics is None else ProgressSnapshot(self._statistics, self._total, quota)

    def report(self, run: RunReport) -> RetrievalReport:
        """Return the report after a run that ended like this."""
        return RetrievalReport(
            run=run,
            results=self._results,
            statistics=self._statistics,
            metrics=self._retriever.metrics(),
            written=self.output.written,
            lost=self.output.lost,
            output=self.output.target.name,
        )


async def run_retrieval(job: RetrieveJob, progress: ProgressKind) -> RetrievalReport:
    """Run a job to its end and return its report."""
    logger, handler = logging.getLogger("genesys_media_async"), ErrorLogHandler()
    logger.addHandler(handler)
    try:
        target = job.output.target
        display = progress_for(progress, has_output_on_terminal=os.isatty(target.descriptor))
        return job.report(await run_supervised(job, display, job.output, is_quiet=progress == "none"))
    finally:
        logger.removeHandler(handler)


def conclude(report: RetrievalReport, progress: ProgressKind) -> int:
    """Print the failure and the summary of a run, and return the exit code."""
    if report.run.is_reader_gone:
        redirect_to_null(1)
        return report.exit_code
    if report.run.failure is not None:
        print_failure(str(report.run.failure))
    if progress == "json":
        print_err(json_summary(report))
    elif progress != "none" and report.statistics is not None:
        print_err(summary(report))
    return report.exit_code
