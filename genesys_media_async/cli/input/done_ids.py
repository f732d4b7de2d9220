"""The ids that an earlier output of the command has URLs for, so that the next run can leave them out."""

from __future__ import annotations

import csv
import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .id_columns import cleaned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def done_ids(path: str) -> frozenset[str]:
    """
    Return the ids whose result in an output, JSON lines or CSV, is ok.

    An id with several media is never among them: a run that ended early may have written some of them only. Nor is an
    id in a line that a crash cut off. Asking once more costs a request; leaving one out would lose it.

    Raises `OSError` for a file that cannot be read, and `ValueError` for one that is no output of this command.
    """
    done: set[str] = set()
    is_output = False
    with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = next(file, "")
        lines = chain([first], file)
        try:
            for record in _objects(lines) if first.startswith("{") else csv.DictReader(lines):
                is_output = is_output or "status" in record
                if record.get("status") == "ok" and not record.get("media_id"):
                    done.add(cleaned(str(record.get("file_id"))))
        except csv.Error:
            is_output = False
    if first and not is_output:
        raise ValueError("it is no output of retrieve, as JSON lines or CSV")
    return frozenset(done)


def _objects(lines: Iterable[str]) -> Iterator[Mapping[str, object]]:
    for line in lines:
        try:
            found: object = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield cast("dict[str, object]", found)
