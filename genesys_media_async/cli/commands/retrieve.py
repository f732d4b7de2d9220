"""`genesys-media retrieve`: check everything that can be checked, open the files, then run."""

from __future__ import annotations

import logging
import os
import stat
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import SettingsError
from ...retrieval.retriever import MediaRetriever
from ...settings.policies import ValidationRule, WebhookTarget
from ...sinks.jsonl import JsonLinesSink
from ..event_loop import run_in_event_loop
from ..exit_codes import CommandFailed, ExitCode
from ..input.csv_ids import Table
from ..input.id_files import Input, open_input, read_ids
from ..options import misused, settings_for
from ..output.formats import Format, encoder
from ..output.progress import ProgressKind, progress_for
from ..output.streams import Complaints, complain, is_terminal, reason, say, silence
from ..output.summary import Ended, json_summary, summary
from ..output.writer import Output, Target, open_target
from ..sources import DEFAULT_SOURCE, endpoint_for
from ..supervisor import NO_IDS, Names, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from ...endpoints.base import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What `retrieve` was asked for, as it was typed.

    `options` are settings by their names; those left out are not in it. `webhook`, `content_types` and `hosts` make the
    settings that have no variable of their own.
    """

    ids: Sequence[str]
    source: str
    media_format: str | None
    input: str | None
    output: str | None
    format: Format
    progress: ProgressKind
    options: Mapping[str, str]
    audit: str | None
    webhook: str | None
    webhook_with_url: bool
    undelivered: str | None
    content_types: Sequence[str]
    hosts: Sequence[str]


def retrieve(order: Order) -> int:
    """Carry the order out, and return the exit code. Raises `CommandFailed` before anything is sent."""
    endpoint = endpoint_for(order.source, order.media_format)
    _check_what_can_be_asked(order)
    settings = settings_for(order.options, rule=_rule_of(order), webhook=_webhook_of(order))
    source = _input_of(order)
    try:
        total, has_plain_lines = _look_ahead(order, source, endpoint)
        _check_undelivered(order)
        target = open_target(order.output)
        _check_that_files_differ(order, source, target)
        audit = _audit_of(order)
        retriever = MediaRetriever(settings, endpoint=endpoint, audit=audit)
        ids_file = order.input if source is not None and source.is_file and not order.ids and has_plain_lines else None
        ids = read_ids(order.ids, source, Table(endpoint.id_formats))
        ended = run_in_event_loop(_run, order, retriever, ids, target, total, ids_file)
    finally:
        if source is not None:
            source.close()
    if order.format == "urls" and ended.results.failed:
        ended = replace(
            ended, remarks=(*ended.remarks, "Which ids failed is not in the output; --format jsonl has them")
        )
    return conclude(ended, order.progress)


async def _run(
    order: Order,
    retriever: MediaRetriever,
    ids: AsyncIterator[str],
    target: Target,
    total: int | None,
    ids_file: str | None,
) -> Ended:
    logging.getLogger("genesys_media_async").addHandler(Complaints())
    on_terminal = os.isatty(target.descriptor)
    named = order.format == "jsonl" and target.is_file
    return await Run(
        retriever,
        ids,
        Output(target, *encoder(order.format)),
        progress_for(order.progress, lines_on_terminal=on_terminal),
        total=total,
        quiet=order.progress == "none",
        names=Names(ids_file=ids_file, output_file=order.output if named else None),
    ).to_its_end()


def conclude(ended: Ended, progress: ProgressKind) -> int:
    """Tell people or programs how a run ended, and return the exit code."""
    if ended.reader_is_gone:
        silence(1)
        return ended.exit_code
    if ended.trouble is not None:
        complain(str(ended.trouble))
    if progress == "json":
        say(json_summary(ended))
    elif progress != "none" and ended.statistics is not None:
        say(summary(ended))
    return ended.exit_code


def _check_what_can_be_asked(order: Order) -> None:
    for option in ("expires_in", "access_level"):
        if option in order.options and order.source != DEFAULT_SOURCE:
            sentence = (
                f"it is of use with --source {DEFAULT_SOURCE} only; elsewhere the organisation's settings decide."
            )
            raise misused(f"--{option.replace('_', '-')}", sentence)


def _rule_of(order: Order) -> ValidationRule | None:
    if not order.content_types and not order.hosts:
        return None
    types = tuple(order.content_types) or ValidationRule().content_types
    try:
        return ValidationRule(content_types=types, allowed_hosts=tuple(order.hosts) or None)
    except SettingsError as error:
        setting, _, sentence = str(error).partition(": ")
        raise misused("--host" if setting == "hosts" else "--content-type", sentence) from None


def _webhook_of(order: Order) -> WebhookTarget | None:
    if order.webhook is None:
        if order.undelivered is not None or order.webhook_with_url:
            option = "--undelivered" if order.undelivered is not None else "--webhook-with-url"
            raise misused(option, "it is of use with --webhook only.")
        return None
    undelivered = None if order.undelivered is None else Path(order.undelivered)
    try:
        return WebhookTarget(url=order.webhook, include_url=order.webhook_with_url, undelivered_file=undelivered)
    except SettingsError as error:
        raise misused("--webhook", str(error).removeprefix("url: ")) from None


def _input_of(order: Order) -> Input | None:
    if order.input is not None:
        return open_input(order.input)
    if not order.ids:
        piped = "" if is_terminal(sys.stdin) else "; standard input is read with -i - only"
        raise CommandFailed(
            ExitCode.USAGE, f"No ids: give them as arguments or name a file that has one a line with -i FILE{piped}."
        )
    return None


def _audit_of(order: Order) -> tuple[JsonLinesSink, ...]:
    if order.audit is None:
        return ()
    try:
        return (JsonLinesSink(order.audit),)
    except (OSError, ValueError) as error:
        raise misused("--audit", f"{order.audit} cannot be written: {reason(error)}; name another file.") from None


def _check_undelivered(order: Order) -> None:
    if order.undelivered is not None:
        try:
            Path(order.undelivered).open("ab").close()
        except (OSError, ValueError) as error:
            sentence = f"{order.undelivered} cannot be written: {reason(error)}; name another file."
            raise misused("--undelivered", sentence) from None


def _check_that_files_differ(order: Order, source: Input | None, target: Target) -> None:
    """Refuse to write one file in two ways, or to overwrite the ids before they are read."""
    seen: dict[tuple[int, int], str] = {}
    named = {"--input": source.status if source else None, "--output": target.status}
    named |= {"--audit": _status(order.audit), "--undelivered": _status(order.undelivered)}
    for option, status in named.items():
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        other = seen.setdefault((status.st_dev, status.st_ino), option)
        if other != option:
            raise misused(option, f"it is the same file as that of {other}; name another one.")


def _status(path: str | None) -> os.stat_result | None:
    return Path(path).stat() if path is not None and Path(path).exists() else None


def _look_ahead(order: Order, source: Input | None, endpoint: Endpoint) -> tuple[int | None, bool]:
    """
    Return how many ids there are, and whether the lines of the file are the ids, where that can be said beforehand.

    Raises `CommandFailed` for a file that has none.
    """
    if source is None:
        return len(order.ids), False
    lines, first = source.count(), source.first_line()
    first_id = None if first is None else Table(endpoint.id_formats).read(first)
    if lines is None:
        return None, first == first_id
    has_header = first is not None and first_id is None
    total = len(order.ids) + lines - has_header
    if total == 0:
        raise CommandFailed(ExitCode.INPUT, NO_IDS)
    return total, first == first_id
