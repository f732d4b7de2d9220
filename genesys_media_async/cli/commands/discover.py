"""`genesys-media discover`: the ids of an interval's conversations on standard output, one per line, as they come."""

# Annotations are evaluated: cyclopts reads those of the options at run time.

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, cast

from cyclopts import App, Group, Parameter, validators

from ...discovery.filters import DEFAULT_LOOK_BACK_DAYS, Direction, DiscoveryOptions, Interval, Way, interval_text
from ...retrieval.retriever import MediaRetriever
from ..descriptors import require_descriptors
from ..discover_job import DiscoverJob, DiscoverySnapshot
from ..event_loop import run_in_event_loop
from ..exit_codes import SHARED_MEANINGS, ExitCode, RunReport, exit_code_table, usage_error
from ..input.filter_file import read_filter_file
from ..options import CREDENTIALS, OUTPUT, ConnectionOptions, SpeedOptions, settings_for, unused_client
from ..output.progress import PlainProgressKind, plain_progress_for
from ..output.streams import print_err, print_failure, redirect_to_null
from ..output.writer import Output, open_target
from ..supervisor import run_supervised

if TYPE_CHECKING:
    from ...discovery.discovery import Discovery

CONVERSATIONS = Group("Conversations", sort_key=1)

MEANINGS: Final = SHARED_MEANINGS | {
    ExitCode.ALL_RETRIEVED: "the whole interval was searched, whether or not anything was found",
    ExitCode.CONFIGURATION: "configuration error, or the credentials are rejected",
    ExitCode.RETRYABLE_FAILURES: "the search ended early; run it again for the interval that is left",
    ExitCode.PERMANENT_FAILURES: "the search failed; running it again will not help",
    ExitCode.OUTPUT_LOST: "the output could not be written",
}

EPILOGUE = f"""\
{CREDENTIALS}

Finds conversations that were active in the interval and have at least one
recorded call; --media restricts the media types. A conversation must match one
value of each filter. Ids are Genesys's: names are not resolved, and an id that
does not exist matches nothing.

A job finds whatever was active in the interval. A query finds only what began
on a day of the interval, or on one of --look-back-days before it: with
--by query, and as long as jobs have no data of the interval yet, an older
conversation that was still active is not found; standard error says so.

The OAuth client needs the permission analytics:conversationDetail:view; for
--by query analytics:agentConversationDetail:view is enough.

A filter file has filters as in Genesys's API, for all that has no option:
  {{"segmentFilters": [{{"type": "or", "predicates": [
    {{"dimension": "disconnectType", "value": "transfer"}}]}}]}}

Examples:
  genesys-media discover --from 2026-11-23T00:00Z --to 2026-11-24T00:00Z
  genesys-media discover --from 2026-11-01T00:00Z --queue QUEUE_ID --media voice
  genesys-media discover --from 2026-11-30T06:00Z --by query --min-duration 60

Exit codes:
{exit_code_table(MEANINGS)}"""


LISTS: Final = {
    "queue": "queues",
    "media": "media",
    "division": "divisions",
    "user": "users",
    "ani": "ani",
    "dnis": "dnis",
    "wrap_up_code": "wrap_up_codes",
    "flow": "flows",
    "language": "languages",
}
"""The options that can be repeated, and their filters in the library."""


def _ids(text: str, metavar: str = "ID") -> Parameter:
    return Parameter(group=CONVERSATIONS, metavar=metavar, help=f"{text}; can be repeated.")


def _seconds(text: str) -> Parameter:
    return Parameter(group=CONVERSATIONS, metavar="SECONDS", validator=validators.Number(gte=0), help=text)


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
    queue: Annotated[list[str] | None, _ids("Id of a queue")] = None
    media: Annotated[list[str] | None, _ids("Media type, such as voice, chat, email or message", "TYPE")] = None
    direction: Annotated[Direction | None, Parameter(group=CONVERSATIONS, help="Direction of the conversation.")] = None
    division: Annotated[list[str] | None, _ids("Id of a division")] = None
    user: Annotated[list[str] | None, _ids("Id of a user, such as an agent")] = None
    ani: Annotated[
        list[str] | None, _ids("Number of the caller as analytics has it, such as tel:+493012345", "NUMBER")
    ] = None
    dnis: Annotated[list[str] | None, _ids("Number that was called, in the same form", "NUMBER")] = None
    wrap_up_code: Annotated[list[str] | None, _ids("Id of a wrap-up code")] = None
    flow: Annotated[list[str] | None, _ids("Id of a flow")] = None
    language: Annotated[list[str] | None, _ids("Id of a requested language")] = None
    min_duration: Annotated[
        float | None, _seconds("Least time from start to end; a conversation in progress has none yet.")
    ] = None
    max_duration: Annotated[float | None, _seconds("Most time from start to end.")] = None
    filter_file: Annotated[
        str | None,
        Parameter(
            group=CONVERSATIONS,
            metavar="FILE",
            help="JSON with segmentFilters and conversationFilters, all of which must match as well.",
        ),
    ] = None
    by: Annotated[
        Way,
        Parameter(
            group=CONVERSATIONS,
            help="query: immediate, but blind to what began before the look-back. job: sees all, and queries what is "
            "too recent for jobs. auto: job, unless the query sees all and finds few.",
        ),
    ] = "auto"
    look_back_days: Annotated[
        int,
        Parameter(
            group=CONVERSATIONS,
            metavar="DAYS",
            help="Days before the interval on which a conversation may have begun for a query to find it.",
        ),
    ] = DEFAULT_LOOK_BACK_DAYS
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
        filters: DiscoveryOptions = {} if self.filter_file is None else read_filter_file(self.filter_file)
        filters |= {
            "direction": self.direction,
            "min_duration": self.min_duration,
            "max_duration": self.max_duration,
            "look_back_days": self.look_back_days,
            "by": self.by,
        }
        lists: dict[str, list[str]] = {}
        for name, filter_name in LISTS.items():
            lists[filter_name] = values = cast("list[str] | None", getattr(self, name)) or []
            if not all(value.strip() for value in values):
                raise usage_error(f"--{name.replace('_', '-')}", "must not be empty; leave it out to find all.")
        return cast("DiscoveryOptions", {**filters, **lists})


app = App(name="discover", help_epilogue=EPILOGUE)


@app.default
def discover(*, options: DiscoverOptions) -> int:
    """
    Find the conversations of an interval, and write their ids.

    The ids go to standard output, one per line, for retrieve -i -.
    """
    interval, filters = options.interval(), options.filters()
    settings = settings_for(options.speed, options.connection)
    if options.progress == "log" and (remark := unused_client(settings)) is not None:
        print_failure(remark)
    require_descriptors()
    output = Output[str](open_target(None), b"", lambda conversation_id: f"{conversation_id}\n".encode())
    job = DiscoverJob(MediaRetriever(settings), interval, filters, output)
    run = run_in_event_loop(run_supervised, job, plain_progress_for(options.progress), output)
    return _conclude(run, job, options.progress)


def _conclude(run: RunReport, job: DiscoverJob, progress: PlainProgressKind) -> int:
    if run.is_reader_gone:
        redirect_to_null(1)
        return run.exit_code
    left = _left(run, job)
    still = "Not searched yet: --from {} --to {}".format(*left.split("/")) if left else ""
    if run.failure is not None:
        print_failure(f"{run.failure} {still}".rstrip())
    last = job.last
    if last is not None and progress != "none" and (run.failure is None or last.found):
        hint = "" if run.exit_code else _hint(job, last.found)
        if progress == "json":
            print_err(last.json_object("summary", exit_code=run.exit_code.value, left=left or None, hint=hint or None))
        else:
            lines = (_summary(run, last), hint, still if run.failure is None else "")
            print_err("\n".join(line for line in lines if line))
    return run.exit_code


def _summary(run: RunReport, last: DiscoverySnapshot) -> str:
    is_interrupted = run.stopped_by is not None and run.failure is None
    head = "Interrupted: " if is_interrupted else "Incomplete: " if run.exit_code else ""
    noun = "conversation" if last.found == 1 else "conversations"
    now = last.statistics
    return (
        f"{head}{last.found:,} {noun} found, in {now.elapsed:.1f} s with {now.requests:,} requests, "
        f"of which {now.retries:,} retries"
    )


def _left(run: RunReport, job: DiscoverJob) -> str:
    """Return the interval that a search which ended early has left; empty if it is not known."""
    is_all_left = run.failure is not None and job.last is not None and not job.last.found
    # What could not be written is not behind us, wherever the search is.
    if not run.exit_code or is_all_left or job.search is None or job.search.left is None or job.has_lost_lines:
        return ""
    return interval_text(*job.search.left)


def _hint(job: DiscoverJob, found: int) -> str:
    """Return why nothing was found, or what a query cannot have found; empty if there is nothing to say."""
    search = job.search
    if search is None:
        return ""
    if not found:
        return f"Nothing found: {_why_nothing(search, job.filters)}"
    if search.sees_from is not None:
        return f"Not seen by a query: conversations that began before {search.sees_from:%Y-%m-%dT%H:%MZ}"
    return ""


def _why_nothing(search: "Discovery", filters: DiscoveryOptions) -> str:
    if search.returned:
        kind = "were recorded and active" if search.not_recorded else "were active"
        return f"Genesys has {search.returned:,} conversations on these days, but none that {kind} in the interval"
    reasons = ["Genesys has no such conversation in the interval, or none in the divisions of the OAuth client's roles"]
    if set(filters.get("media", ())) <= {"voice"}:
        reasons.append("only recorded calls are looked for unless --media names others")
    named = [f"--{name.replace('_', '-')}" for name, key in LISTS.items() if name != "media" and filters.get(key)]
    if named:
        reasons.append(f"a value of {', '.join(named)} that does not exist matches nothing")
    if search.sees_from is not None:
        reasons.append(f"a query does not see what began before {search.sees_from:%Y-%m-%dT%H:%MZ}")
    return "; ".join(reasons)


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
