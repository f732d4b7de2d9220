"""`genesys-media retrieve`: check all options, open the files, then run."""

# Annotations are evaluated: cyclopts reads those of the options at run time.

import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ...endpoints.base import Endpoint
from ...retrieval.retriever import MediaRetriever
from ...sinks.jsonl import JsonLinesSink
from ..event_loop import run_in_event_loop
from ..exit_codes import CommandFailed, ExitCode, exit_code_table, usage_error
from ..input.csv_ids import IdTable
from ..input.id_files import Input, open_input, read_ids
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
)
from ..output.formats import Format, encoder
from ..output.streams import is_terminal, reason
from ..output.writer import Output, Target, open_target
from ..retrieve_job import NO_IDS, RetrieveJob, conclude, run_retrieval
from ..sources import DEFAULT_SOURCE, MEDIA_FORMATS, SOURCES, endpoint_for, source_table
from ..supervisor import GRACE_PERIOD

EPILOGUE = f"""\
{CREDENTIALS}

An id has the parts that its source needs, with slashes between them:
{source_table()}
The input can be CSV with ',' ';' or tab: a header names those parts, in any
order, beside other columns; without a header a record has just those parts.

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
            "--input", "-i", group=INPUT, text="File of further ids, UTF-8, one per line; - is standard input."
        ),
    ] = None
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
    source = _open_input(ids, options)
    try:
        total, has_plain_lines = _look_ahead(ids, source, endpoint)
        _check_undelivered_file(options.evidence.undelivered)
        target = open_target(options.output)
        _check_files_differ(options, source, target)
        retriever = MediaRetriever(settings, endpoint=endpoint, audit=_open_audit(options.evidence.audit))
        all_ids = read_ids(ids, source, IdTable(endpoint.id_formats))
        job = RetrieveJob(retriever, all_ids, Output(target, *encoder(options.format)), total=total)
        ids_file = options.input if source is not None and source.is_file and not ids and has_plain_lines else None
        output_file = options.output if options.format == "jsonl" and target.is_file else None
        report = run_in_event_loop(run_retrieval, job, options.progress)
    finally:
        if source is not None:
            source.close()
    if options.format == "urls" and report.results.failed:
        report = replace(report, remarks=("The output does not show which ids failed; --format jsonl does",))
    return conclude(replace(report, ids_file=ids_file, output_file=output_file), options.progress)


def _check_urls_can_be_requested(options: RetrieveOptions) -> None:
    if options.source == DEFAULT_SOURCE:
        return
    for option, value in (("--expires-in", options.urls.expires_in), ("--access-level", options.urls.access_level)):
        if value is not None:
            raise usage_error(
                option, f"it applies to --source {DEFAULT_SOURCE} only; elsewhere the organisation's settings decide."
            )


def _open_input(ids: Sequence[str], options: RetrieveOptions) -> Input | None:
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
            Path(path).open("ab").close()
        except (OSError, ValueError) as error:
            sentence = f"{path} cannot be written: {reason(error)}; name another file."
            raise usage_error("--undelivered", sentence) from None


def _check_files_differ(options: RetrieveOptions, source: Input | None, target: Target) -> None:
    """Refuse to write one file in two ways, or to overwrite the ids before they are read."""
    seen: dict[tuple[int, int], str] = {}
    named = {"--input": source.status if source else None, "--output": target.status}
    named |= {"--audit": _status(options.evidence.audit), "--undelivered": _status(options.evidence.undelivered)}
    for option, status in named.items():
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        other = seen.setdefault((status.st_dev, status.st_ino), option)
        if other != option:
            raise usage_error(option, f"it is the same file as that of {other}; name another one.")


def _status(path: str | None) -> os.stat_result | None:
    return Path(path).stat() if path is not None and Path(path).exists() else None


def _look_ahead(ids: Sequence[str], source: Input | None, endpoint: Endpoint) -> tuple[int | None, bool]:
    """
    Return the number of ids, if it can be known beforehand, and whether the lines of the file are the ids.

    Raises `CommandFailed` for a file without ids.
    """
    if source is None:
        return len(ids), False
    lines, first = source.count(), source.first_line()
    first_id = None if first is None else IdTable(endpoint.id_formats).read(first)
    if lines is None:
        return None, first == first_id
    has_header = first is not None and first_id is None
    total = len(ids) + lines - has_header
    if total == 0:
        raise CommandFailed(ExitCode.INPUT, NO_IDS)
    return total, first == first_id
