"""`genesys-media retrieve`: check all options, open the files, then run."""

# Annotations are evaluated: cyclopts reads those of the options at run time.

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Annotated

from cyclopts import App, Parameter, validators

from ...retrieval.retriever import MediaRetriever
from ...sinks.jsonl import JsonLinesSink, open_to_append
from ..descriptors import require_descriptors
from ..event_loop import run_in_event_loop
from ..exit_codes import CommandFailed, ExitCode, exit_code_table, usage_error
from ..input.done_ids import done_ids
from ..input.id_files import IdStream, Input, open_input
from ..options import (
    CREDENTIALS,
    INPUT,
    OUTPUT,
    SPEED,
    ConnectionOptions,
    EvidenceOptions,
    OutputFile,
    Progress,
    SpeedOptions,
    UrlOptions,
    ValidationOptions,
    setting,
    settings_for,
    stream_or_file,
    unused_client,
)
from ..output.formats import Format, encoder
from ..output.streams import is_terminal, print_failure, reason
from ..output.summary import RetrievalReport
from ..output.writer import Output, Target, open_target
from ..retrieve_job import RetrieveJob, conclude, run_retrieval
from ..sources import DEFAULT_SOURCE, MEDIA_FORMATS, SOURCES, endpoint_for, source_table
from ..supervisor import GRACE_PERIOD

MAX_REFUSALS = 25
"""So many refusals are no accident, and cost five seconds of the usual quota."""

EPILOGUE = f"""\
{CREDENTIALS}

An id has the parts that its source needs, with slashes between them:
{source_table()}
The input is one id a line, CSV with a header that names those parts in any order
beside other columns (without one: just the parts), or JSON lines; .gz as well.

Each line of JSON has the same keys; those without a value are null:
  schema_version file_id media_id status url expires_at expires_in
  expiry_source file_name content_type access_level attempts latency
  correlation_id error_code error_message error_retryable error_status_code
CSV has the same columns, without schema_version.

Examples:
  genesys-media retrieve 5a0d7a9e-6f1c-4f0e-9d5b-0d8f3c1f1b11
  genesys-media retrieve -i ids.txt -o urls.jsonl --audit audit.jsonl
  genesys-media retrieve -i ids.txt --format urls | aria2c -i -
  cat ids.txt | genesys-media retrieve -i - --format csv -o urls.csv
  genesys-media retrieve --source document DOCUMENT_ID
  genesys-media retrieve --source transcript -i conversations.csv -o urls.jsonl

Ctrl-C once: finish requests and jobs in flight, for up to {GRACE_PERIOD:.0f} s. Twice: stop
at once.

Exit codes:
{exit_code_table()}"""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RetrieveSpeedOptions(SpeedOptions):
    """The speed of a run over ids."""

    concurrency: Annotated[
        str | None, setting("concurrency", SPEED, "N", "Maximum number of ids in progress at once.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RetrieveOptions:
    """The options of `retrieve`, as they were typed."""

    source: Annotated[
        str, Parameter(group=INPUT, choices=tuple(SOURCES), metavar="NAME", help="Source of the URLs.")
    ] = DEFAULT_SOURCE
    media_format: Annotated[
        str | None,
        Parameter(
            group=INPUT,
            metavar="FORMAT",
            help=f"Format to transcode recordings to, if the source can: {', '.join(MEDIA_FORMATS)}.",
        ),
    ] = None
    no_resubmit: Annotated[
        bool,
        Parameter(
            group=INPUT,
            negative="",
            show_default=False,
            help="Do not submit a batch job again if Genesys may have made it: its ids fail instead.",
        ),
    ] = False
    input: Annotated[
        str | None,
        stream_or_file(
            "--input", "-i", group=INPUT, text="File of further ids: lines, CSV or JSON lines; - is standard input."
        ),
    ] = None
    max_refusals: Annotated[
        int,
        Parameter(
            group=INPUT,
            metavar="N",
            validator=validators.Number(gte=0),
            help="End the run if the first N ids are refused alike, as where the source is wrong; 0: request all ids.",
        ),
    ] = MAX_REFUSALS
    skip_done: Annotated[
        list[str] | None,
        Parameter(
            group=INPUT,
            metavar="FILE",
            help="Earlier output, as jsonl or csv: leave out the ids that are ok in it; can be repeated. An id with "
            "several media is not left out, since some of them may be missing.",
        ),
    ] = None
    only_failed: Annotated[
        bool,
        Parameter(
            group=INPUT,
            negative=(),
            show_default=False,
            help="The file of -i is an earlier output, as jsonl or csv: retrieve the ids that are not ok in it.",
        ),
    ] = False
    output: OutputFile = None
    format: Annotated[
        Format,
        Parameter(
            group=OUTPUT,
            help="jsonl: one JSON object per line. csv: RFC 4180 with a header; a cell that a spreadsheet could take "
            "for a formula (it begins with = + - @ tab or CR) gets a ' before it. urls: the bare URLs only.",
        ),
    ] = "jsonl"
    progress: Progress = "auto"
    urls: UrlOptions = field(default_factory=UrlOptions)
    speed: RetrieveSpeedOptions = field(default_factory=RetrieveSpeedOptions)
    connection: ConnectionOptions = field(default_factory=ConnectionOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    evidence: EvidenceOptions = field(default_factory=EvidenceOptions)


DEFAULTS = RetrieveOptions()


app = App(name="retrieve", help_epilogue=EPILOGUE)


@app.default
def retrieve(
    *ids: Annotated[str, Parameter(help="Media ids; write -- before an id that begins with a hyphen.")],
    options: RetrieveOptions = DEFAULTS,
) -> int:
    """
    Retrieve a pre-signed download URL for each id, one line per result.

    Every id gets a result, in the order of completion; a failed one has an error.
    An id with several media gets one result for each, with a media_id.
    """
    endpoint = endpoint_for(options.source, options.media_format, resubmit=not options.no_resubmit)
    _check_urls_can_be_requested(options)
    settings = settings_for(
        *(options.urls, options.speed, options.connection),
        rule=options.validation.rule(),
        webhook=options.evidence.webhook_target(),
    )
    if options.progress not in {"json", "none"} and (remark := unused_client(settings)) is not None:
        print_failure(remark)
    require_descriptors(settings.workers, "--concurrency")
    source = _open_input(ids, options)
    try:
        done = _done_ids(options.skip_done or ())
        all_ids = IdStream(ids, source, endpoint.id_formats, done, only_failed=options.only_failed)
        total = all_ids.look_ahead()
        _check_undelivered_file(options.evidence.undelivered)
        target = open_target(options.output)
        _check_files_differ(options, source, target)
        output_file = options.output if target.is_file else None
        warnings = _warnings(target)
        retriever = MediaRetriever(settings, endpoint=endpoint, audit=_open_audit(options.evidence.audit))
        output = Output(target, *encoder(options.format))
        job = RetrieveJob(retriever, all_ids.read(), output, total=total, max_refusals=options.max_refusals or None)
        report = run_in_event_loop(run_retrieval, job, options.progress)
    finally:
        if source is not None:
            source.close()
    remarks = (*_remarks(options, report, all_ids.skipped), *warnings)
    report = replace(report, remarks=remarks, output_file=output_file, shows_failures=options.format != "urls")
    return conclude(report, options.progress)


def _warnings(target: Target) -> tuple[str, ...]:
    # Not repaired unasked: someone may share the file on purpose.
    if not target.is_readable_by_others:
        return ()
    return (f"Other users can read {target.name}, which has URLs now; to restrict it: chmod 600 {quote(target.name)}",)


def _remarks(options: RetrieveOptions, report: RetrievalReport, skipped: int) -> list[str]:
    remarks: list[str] = []
    if options.skip_done:
        remarks.append(f"Left out: {skipped:,} done before")
    if options.format == "urls" and report.results.failed:
        remarks.append("The output does not show which ids failed; --format jsonl and csv do")
    return remarks


def _done_ids(paths: Sequence[str]) -> frozenset[str]:
    try:
        return frozenset[str]().union(*map(done_ids, paths))
    except (OSError, ValueError) as error:
        name = getattr(error, "filename", None) or " ".join(paths)
        raise usage_error("--skip-done", f"{name} cannot be read: {reason(error)}.") from None


def _check_urls_can_be_requested(options: RetrieveOptions) -> None:
    if options.source == DEFAULT_SOURCE:
        return
    for option, value in (("--expires-in", options.urls.expires_in), ("--access-level", options.urls.access_level)):
        if value is not None:
            raise usage_error(
                option, f"it applies to --source {DEFAULT_SOURCE} only; elsewhere the organisation's settings decide."
            )


def _open_input(ids: Sequence[str], options: RetrieveOptions) -> Input | None:
    if options.only_failed and options.input is None:
        raise usage_error("--only-failed", "it applies to an earlier output; name that by -i FILE.")
    if options.input is not None:
        return open_input(options.input)
    if not ids:
        piped = "" if is_terminal(sys.stdin) else "; standard input is read only with -i -"
        raise CommandFailed(
            ExitCode.USAGE, f"No ids: give them as arguments, or name a file with one per line by -i FILE{piped}."
        )
    return None


def _open_audit(path: str | None) -> tuple[JsonLinesSink, ...]:
    if path is None:
        return ()
    try:
        return (JsonLinesSink(path),)
    except (OSError, ValueError) as error:
        raise usage_error("--audit", f"{path} cannot be written: {reason(error)}; name another file.") from None


def _check_undelivered_file(path: str | None) -> None:
    if path is not None:
        try:
            os.close(open_to_append(path))
        except (OSError, ValueError) as error:
            sentence = f"{path} cannot be written: {reason(error)}; name another file."
            raise usage_error("--undelivered", sentence) from None


def _check_files_differ(options: RetrieveOptions, source: Input | None, target: Target) -> None:
    """Refuse to write one file in two ways, or to overwrite what is read."""
    seen: dict[tuple[int, int], str] = {}
    read: list[tuple[str, os.stat_result | None]] = [("--input", source.status if source else None)]
    read += [("--skip-done", _status(path)) for path in options.skip_done or ()]
    written: list[tuple[str, os.stat_result | None]] = [("--output", target.status)]
    written += [("--audit", _status(options.evidence.audit)), ("--undelivered", _status(options.evidence.undelivered))]
    for option, status in (*read, *written):
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        other = seen.setdefault((status.st_dev, status.st_ino), option)
        if other != option and (option, status) in written:
            raise usage_error(option, f"it is the same file as that of {other}; name another one.")


def _status(path: str | None) -> os.stat_result | None:
    return Path(path).stat() if path is not None and Path(path).exists() else None
