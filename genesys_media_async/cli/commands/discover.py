"""`genesys-media discover`: the ids of an interval's conversations on standard output, one per line, as they come."""

# Annotations are evaluated: cyclopts reads those of the options at run time.

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Group, Parameter

from ...counters import Statistics
from ...discovery.filters import Direction, DiscoveryOptions, Interval, Way
from ...errors import SettingsError
from ...quota.permit import QuotaState
from ...retrieval.retriever import MediaRetriever
from ..descriptors import require_descriptors
from ..event_loop import run_in_event_loop
from ..exit_codes import CommandFailed, ExitCode, RunReport, exit_code_table, usage_error
from ..options import CREDENTIALS, OUTPUT, ConnectionOptions, SpeedOptions, settings_for
from ..output.progress import PlainProgressKind, duration, plain_progress_for, quota_words
from ..output.streams import print_err, print_failure, redirect_to_null
from ..output.writer import Output, open_target
from ..supervisor import CancellableJob, run_supervised

CONVERSATIONS = Group("Conversations", sort_key=1)

EPILOGUE = f"""\
{CREDENTIALS}

Finds conversations that were active in the interval and have at least one
recorded call; --media restricts the media types. The OAuth client needs the
permission analytics:conversationDetail:view.

Examples:
  genesys-media discover --from 2026-11-23T00:00Z --to 2026-11-24T00:00Z
  genesys-media discover --from 2026-11-01T00:00Z --queue QUEUE_ID --media voice

Exit codes:
{exit_code_table()}"""


def _ids(text: str, metavar: str) -> Parameter:
    return Parameter(group=CONVERSATIONS, metavar=metavar, help=f"{text}; can be repeated.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DiscoverOptions:
    """The options of `discover`, as they were typed."""

    begin: Annotated[
        str,
        Parameter(
            name="--from",
            group=CONVERSATIONS,
            metavar="TIME",
            help="Begin of the interval, in ISO 8601 with a zone, such as 2026-11-23T00:00Z.",
        ),
    ]
    end: Annotated[
        str | None,
        Parameter(
            name="--to",
            group=CONVERSATIONS,
            metavar="TIME",
            show_default="now",
            help="End of the interval, in the same format.",
        ),
    ] = None
    queue: Annotated[list[str] | None, _ids("Id of a queue", "ID")] = None
    media: Annotated[list[str] | None, _ids("Media type, such as voice, chat, email or message", "TYPE")] = None
    direction: Annotated[Direction | None, Parameter(group=CONVERSATIONS, help="Direction of the conversation.")] = None
    division: Annotated[list[str] | None, _ids("Id of a division", "ID")] = None
    by: Annotated[
        Way,
        Parameter(
            group=CONVERSATIONS,
            help="query: immediate, includes the latest calls. job: for large result sets. auto: query for intervals "
            "of at most 31 days with few results, otherwise job.",
        ),
    ] = "auto"
    progress: Annotated[
        PlainProgressKind,
        Parameter(
            group=OUTPUT,
            help="Progress on standard error. log: a line every 5 s, then a summary. json: an object every second, "
            "then the summary. none: errors only.",
        ),
    ] = "log"
    speed: SpeedOptions = field(default_factory=SpeedOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)

    def interval(self) -> Interval:
        """Return the interval; it ends now unless an end is given. Raises `CommandFailed`."""
        end = datetime.now(UTC) if self.end is None else _time("--to", self.end)
        return _time("--from", self.begin), end

    def filters(self) -> DiscoveryOptions:
        """Return the filters. Raises `CommandFailed`."""
        lists = {"--queue": self.queue or (), "--media": self.media or (), "--division": self.division or ()}
        for option, values in lists.items():
            if not all(value.strip() for value in values):
                raise usage_error(option, "must not be empty; leave it out to find all.")
        return {
            "queues": lists["--queue"],
            "media": lists["--media"],
            "direction": self.direction,
            "divisions": lists["--division"],
            "by": self.by,
        }


app = App(name="discover", help_epilogue=EPILOGUE)


@app.default
def discover(*, options: DiscoverOptions) -> int:
    """
    Find the conversations of an interval, and write their ids.

    The ids go to standard output, one per line, for retrieve -i -.
    """
    interval, filters = options.interval(), options.filters()
    settings = settings_for(options.speed, options.connection)
    require_descriptors()
    output = Output[str](open_target(None), b"", lambda conversation_id: f"{conversation_id}\n".encode())
    job = DiscoverJob(MediaRetriever(settings), interval, filters, output)
    run = run_in_event_loop(run_supervised, job, plain_progress_for(options.progress), output)
    return _conclude(run, job, options.progress)


@dataclass(frozen=True, slots=True)
class DiscoverySnapshot:
    """The state of a search for conversations; `quota` is None once it is over."""

    found: int
    statistics: Statistics
    quota: QuotaState | None = None

    def log_line(self) -> str:
        """Return it as one line of `name=value` pairs."""
        now = self.statistics
        words = {"found": self.found, "requests": now.requests, "retries": now.retries}
        more = {"elapsed": duration(now.elapsed), **quota_words(self.quota)}
        return " ".join(("progress", *(f"{name}={word}" for name, word in {**words, **more}.items())))

    def json_object(self, event: str = "progress", **more: object) -> str:
        """Return it as one JSON object; times are seconds."""
        now = self.statistics
        counts = {"found": self.found, "requests": now.requests, "retries": now.retries}
        fields = {"event": event, **more, **counts, "elapsed": round(now.elapsed, 1)}
        return json.dumps(fields, separators=(",", ":"))


class DiscoverJob(CancellableJob):
    """The job of `discover`: writes the ids of conversations to an output."""

    def __init__(
        self, retriever: MediaRetriever, interval: Interval, filters: DiscoveryOptions, output: Output[str]
    ) -> None:
        self.last: DiscoverySnapshot | None = None
        self._retriever = retriever
        self._interval = interval
        self._filters = filters
        self._output = output
        self._found = 0
        self._is_open = False

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Open the retriever, and keep its counts when it closes."""
        async with self._retriever:
            self._is_open = True
            try:
                yield
            finally:
                self._is_open = False
                self.last = DiscoverySnapshot(self._found, self._retriever.statistics())

    async def work(self) -> None:
        """Find the conversations, and write each id as it comes."""
        try:
            ids = self._retriever.discover(self._interval, **self._filters)
        except SettingsError as error:
            raise CommandFailed(ExitCode.USAGE, f"--from and --to: {error}") from None
        async with aclosing(ids):
            async for conversation_id in ids:
                self._found += 1
                await self._output.put(conversation_id)
                if self._output.failure is not None:
                    return

    def snapshot(self) -> DiscoverySnapshot | None:
        """Return the state of the search; None unless it is running."""
        if not self._is_open:
            return None
        return DiscoverySnapshot(self._found, self._retriever.statistics(), self._retriever.quota)


def _conclude(run: RunReport, job: DiscoverJob, progress: PlainProgressKind) -> int:
    if run.is_reader_gone:
        redirect_to_null(1)
        return run.exit_code
    if run.failure is not None:
        print_failure(str(run.failure))
    last = job.last
    if last is not None and progress != "none" and (run.failure is None or last.found):
        is_json = progress == "json"
        print_err(last.json_object("summary", exit_code=run.exit_code.value) if is_json else _summary(run, last))
    return run.exit_code


def _summary(run: RunReport, last: DiscoverySnapshot) -> str:
    head = "Interrupted: " if run.exit_code == ExitCode.INTERRUPTED else "Incomplete: " if run.exit_code else ""
    noun = "conversation" if last.found == 1 else "conversations"
    now = last.statistics
    return (
        f"{head}{last.found:,} {noun} found, in {now.elapsed:.1f} s with {now.requests:,} requests, "
        f"of which {now.retries:,} retries"
    )


def _time(option: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise usage_error(
            option, f"{text[:40]!r} is not a time; write it in ISO 8601 with a zone, such as 2026-11-23T00:00Z."
        ) from None
    if time.tzinfo is None:
        raise usage_error(option, f"{text!r} has no zone; write {time:%Y-%m-%dT%H:%M}Z, or an offset such as +01:00.")
    return time
