"""
One run with everything around it: progress, signals, output that is written as results come, and how it ended.

Two scopes can be cut. The inner one holds the retrieval: cutting it gives up the ids that have only been waiting. The
outer one holds the retriever as well, with the webhooks that are still to be delivered.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from ..errors import AuditWriteError, AuthenticationError, SettingsError
from .exit_codes import CommandFailed, ExitCode
from .output.progress import Moment, Progress
from .output.streams import say
from .output.summary import Ended, Results
from .output.writer import SECONDS_HELD_BACK, Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..counters import Statistics
    from ..models import MediaResult
    from ..retrieval.retriever import MediaRetriever
    from ..retrieval.run import Run as LibraryRun

GRACE = 10.0
"""Seconds that what is on its way may take after the first signal."""

QUIET = 0.3
"""After so many seconds with no request on its way and no result to be handed over, nothing is worth waiting for."""

POLL = 0.05
NO_IDS = "The input has no ids; one id a line is expected."
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Names:
    """The files of a run, for its summary; None where they have no names or are of no use to the next command."""

    ids_file: str | None = None
    output_file: str | None = None


class Run:
    """Retrieves `ids` into `output`, once."""

    def __init__(
        self,
        retriever: MediaRetriever,
        ids: AsyncIterator[str],
        output: Output[MediaResult],
        progress: Progress,
        *,
        total: int | None,
        quiet: bool,
        names: Names,
    ) -> None:
        self._retriever = retriever
        self._ids = ids
        self._output = output
        self._progress = progress
        self._total = total
        self._quiet = quiet
        self._names = names
        self._results = Results()
        self._retrieval: LibraryRun | None = None
        self._statistics: Statistics | None = None
        self._trouble: CommandFailed | None = None
        self._interrupted = False
        self._inner = anyio.CancelScope()
        self._outer = anyio.CancelScope()

    async def to_its_end(self) -> Ended:
        """Run, whatever happens to it, and return how it ended. Raises only what nobody expects."""
        self._progress.start()
        try:
            async with anyio.create_task_group() as watchers:
                watchers.start_soon(self._watch_signals)
                watchers.start_soon(self._tick)
                watchers.start_soon(self._flush_now_and_then)
                with self._outer:
                    await self._retrieve_or_note_why_not()
                await self._output.finish()
                watchers.cancel_scope.cancel()
        finally:
            # Somebody who has read enough wants to read no more.
            self._progress.end(None if self._output.reader_is_gone else self._moment())
        return self._ended()

    async def _retrieve_or_note_why_not(self) -> None:
        try:
            async with self._retriever:
                with self._inner:
                    await self._retrieve()
        except CommandFailed as error:
            self._trouble = error
        except (AuthenticationError, SettingsError) as error:
            self._trouble = CommandFailed(ExitCode.CONFIGURATION, str(error))
        except AuditWriteError as error:
            self._trouble = CommandFailed(ExitCode.OUTPUT_LOST, str(error))

    async def _retrieve(self) -> None:
        async with self._retriever.retrieve_many(self._ids) as retrieval:
            self._retrieval = retrieval
            if self._interrupted:
                retrieval.stop()
            self._output.start()
            try:
                async for result in retrieval:
                    self._results.add(result)
                    await self._output.put(result)
                    self._stop_if_output_is_lost()
            finally:
                self._statistics = retrieval.statistics()
                self._retrieval = None
        if not self._results.done and not self._interrupted:
            raise CommandFailed(ExitCode.INPUT, NO_IDS)

    async def _flush_now_and_then(self) -> None:
        while True:
            await anyio.sleep(SECONDS_HELD_BACK)
            await self._output.flush()
            self._stop_if_output_is_lost()

    def _stop_if_output_is_lost(self) -> None:
        if self._output.failure is None:
            return
        if self._output.reader_is_gone:
            self._inner.cancel()
        elif self._retrieval is not None:
            self._retrieval.stop()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(self._progress.interval)
            moment = self._moment()
            if moment is not None:
                self._progress.update(moment)

    async def _watch_signals(self) -> None:
        if sys.platform == "win32":
            return
        with anyio.open_signal_receiver(*STOP_SIGNALS) as received:
            async with anyio.create_task_group() as stopping:
                async for _ in received:
                    if self._interrupted:
                        self._outer.cancel()
                    else:
                        self._interrupted = True
                        stopping.start_soon(self._stop)

    async def _stop(self) -> None:
        """Let what is on its way come to its end, for a while."""
        if self._retrieval is None and self._statistics is None:
            self._outer.cancel()
            return
        if not self._quiet:
            say(f"Stopping; what is on its way may take {GRACE:.0f} s more. Once more stops at once.")
        if self._retrieval is not None:
            self._retrieval.stop()
        with anyio.move_on_after(GRACE):
            await self._wait_until_nothing_is_on_its_way()
            self._inner.cancel()
            await anyio.sleep_forever()
        self._outer.cancel()

    async def _wait_until_nothing_is_on_its_way(self) -> None:
        quiet = 0.0
        while self._retrieval is not None and quiet < QUIET:
            now = self._retrieval.statistics()
            handed_over = now.succeeded + now.failed <= self._results.done
            quiet = quiet + POLL if now.in_flight == 0 and handed_over else 0.0
            await anyio.sleep(POLL)

    def _moment(self) -> Moment | None:
        quota = self._retriever.settings.quota
        if self._retrieval is not None:
            return Moment(self._retrieval.statistics(), self._total, quota, self._retriever.quota)
        return None if self._statistics is None else Moment(self._statistics, self._total, quota)

    def _ended(self) -> Ended:
        output = self._output
        trouble = self._trouble
        if output.failure is not None and not output.reader_is_gone:
            trouble = CommandFailed(
                ExitCode.OUTPUT_LOST,
                f"{output.target.name} could not be written on: {output.failure.strerror or output.failure}; "
                f"{output.written} results are safely written, {output.lost} are lost. Make room or name another file, "
                "then run it again for the rest.",
            )
        return Ended(
            results=self._results,
            statistics=self._statistics,
            metrics=self._retriever.metrics(),
            written=output.written,
            lost=output.lost,
            interrupted=self._interrupted,
            reader_is_gone=output.reader_is_gone,
            trouble=trouble,
            place=output.target.name,
            ids_file=self._names.ids_file,
            output_file=self._names.output_file,
        )
