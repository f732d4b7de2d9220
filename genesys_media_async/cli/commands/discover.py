"""`genesys-media discover`: the ids of an interval's conversations on standard output, one a line, as they come."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import anyio

from ...errors import AuthenticationError, GenesysMediaError, SettingsError
from ...retrieval.retriever import MediaRetriever
from ..event_loop import run_in_event_loop
from ..exit_codes import CommandFailed, ExitCode
from ..options import misused, settings_for
from ..output.progress import JSON_INTERVAL, LOG_INTERVAL, Moment, duration
from ..output.streams import complain, say, silence
from ..output.writer import SECONDS_HELD_BACK, Output, open_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...counters import Statistics
    from ...discovery.filters import Direction, DiscoveryOptions, Interval, Way
    from ...settings.settings import Settings
    from ..output.writer import Target

Progress = Literal["log", "json", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `discover` was asked for, as it was typed; `options` are settings by their names."""

    begin: str
    end: str | None
    queues: Sequence[str]
    media: Sequence[str]
    direction: Direction | None
    divisions: Sequence[str]
    by: Way
    progress: Progress
    options: Mapping[str, str]


def discover(order: Order) -> int:
    """Carry the order out, and return the exit code. Raises `CommandFailed` before anything is sent."""
    interval = _moment("--from", order.begin), _end(order.end)
    wanted: DiscoveryOptions = {
        "queues": order.queues,
        "media": order.media,
        "direction": order.direction,
        "divisions": order.divisions,
        "by": order.by,
    }
    return run_in_event_loop(_run, settings_for(order.options), interval, wanted, open_target(None), order.progress)


async def _run(
    settings: Settings, interval: Interval, wanted: DiscoveryOptions, target: Target, progress: Progress
) -> int:
    output = Output[str](target, b"", lambda conversation_id: f"{conversation_id}\n".encode())
    return await _Run(MediaRetriever(settings), interval, wanted, output, progress).to_its_end()


class _Run:
    """Writes the ids to the output, once."""

    def __init__(
        self,
        retriever: MediaRetriever,
        interval: Interval,
        wanted: DiscoveryOptions,
        output: Output[str],
        progress: Progress,
    ) -> None:
        self._retriever = retriever
        self._interval = interval
        self._wanted = wanted
        self._output = output
        self._progress = progress
        self._found = 0
        self._statistics: Statistics | None = None
        self._is_open = False
        self._failure: CommandFailed | None = None
        self._interrupted = False
        self._scope = anyio.CancelScope()

    async def to_its_end(self) -> int:
        """Run, whatever happens to it, and return the exit code. Raises only what nobody expects."""
        async with anyio.create_task_group() as watchers:
            watchers.start_soon(self._watch_signals)
            watchers.start_soon(self._flush_now_and_then)
            watchers.start_soon(self._show_progress)
            with self._scope:
                await self._find_or_note_why_not()
            await self._output.finish()
            watchers.cancel_scope.cancel()
        return self._concluded()

    async def _find_or_note_why_not(self) -> None:
        try:
            async with self._retriever:
                self._is_open = True
                try:
                    await self._find()
                finally:
                    self._is_open = False
                    self._statistics = self._retriever.statistics()
        except CommandFailed as failure:
            self._failure = failure
        except (AuthenticationError, SettingsError) as error:
            self._failure = CommandFailed(ExitCode.CONFIGURATION, str(error))
        except GenesysMediaError as error:
            code = ExitCode.FAILED_FOR_NOW if error.retryable else ExitCode.FAILED_FOR_GOOD
            self._failure = CommandFailed(code, str(error))

    async def _find(self) -> None:
        try:
            ids = self._retriever.discover(self._interval, **self._wanted)
        except SettingsError as error:
            raise CommandFailed(ExitCode.USAGE, str(error)) from None
        async with aclosing(ids):
            async for conversation_id in ids:
                self._found += 1
                await self._output.put(conversation_id)
                if self._output.failure is not None:
                    return

    async def _flush_now_and_then(self) -> None:
        while True:
            await anyio.sleep(SECONDS_HELD_BACK)
            await self._output.flush()
            if self._output.failure is not None:
                self._scope.cancel()

    async def _show_progress(self) -> None:
        while self._progress != "none":
            await anyio.sleep(JSON_INTERVAL if self._progress == "json" else LOG_INTERVAL)
            if self._is_open:
                say(self._told("progress", self._retriever.statistics()))

    async def _watch_signals(self) -> None:
        if sys.platform == "win32":
            return
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for _ in received:
                self._interrupted = True
                self._scope.cancel()

    def _told(self, event: str, now: Statistics, **more: object) -> str:
        counts = {"found": self._found, "requests": now.requests, "retries": now.retries}
        if self._progress == "json":
            fields = {"event": event, **more, **counts, "elapsed": round(now.elapsed, 1)}
            return json.dumps(fields, separators=(",", ":"))
        words = {name: str(count) for name, count in counts.items()} | {"elapsed": duration(now.elapsed)}
        if self._is_open:
            words |= Moment(now, None, self._retriever.settings.quota, self._retriever.quota).quota_words
        return " ".join((event, *(f"{name}={word}" for name, word in words.items())))

    def _concluded(self) -> int:
        failure, output = self._failure, self._output
        if output.reader_is_gone:
            silence(1)
            return ExitCode.READER_GONE
        if output.failure is not None:
            why = output.failure.strerror or output.failure
            failure = CommandFailed(
                ExitCode.OUTPUT_LOST,
                f"{output.target.name} could not be written on: {why}; make room and run it again.",
            )
        if failure is not None:
            complain(str(failure))
        code = failure.code if failure is not None else ExitCode.INTERRUPTED if self._interrupted else 0
        if self._statistics is not None and self._progress != "none" and (failure is None or self._found):
            self._say_summary(self._statistics, code)
        return code

    def _say_summary(self, statistics: Statistics, code: int) -> None:
        if self._progress == "json":
            say(self._told("summary", statistics, exit_code=int(code)))
            return
        head = "Interrupted: " if code == ExitCode.INTERRUPTED else "Incomplete: " if code else ""
        noun = "conversation" if self._found == 1 else "conversations"
        say(
            f"{head}{self._found:,} {noun} found, in {statistics.elapsed:.1f} s with {statistics.requests:,} requests, "
            f"of which {statistics.retries:,} retries"
        )


def _end(text: str | None) -> datetime:
    return datetime.now(UTC) if text is None else _moment("--to", text)


def _moment(option: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise misused(
            option, f"{text[:40]!r} is no time; write it in ISO 8601 with its zone, as in 2026-11-23T00:00Z."
        ) from None
    if moment.tzinfo is None:
        raise misused(option, f"{text!r} has no zone; write {moment:%Y-%m-%dT%H:%M}Z, or +01:00 and the like for Z.")
    return moment
