"""One result as one line of output: JSON, CSV or the bare URL. Pure; the only place of the command that sees URLs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from ..models import MediaResult

Format = Literal["jsonl", "csv", "urls"]
Encode = Callable[["MediaResult"], bytes]

CSV_COLUMNS = (
    "file_id",
    "status",
    "url",
    "expires_at",
    "expires_in",
    "file_name",
    "content_type",
    "attempts",
    "latency_ms",
    "correlation_id",
    "error_code",
    "error_message",
    "error_retryable",
    "media_id",
)

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

Cell = str | int | float | bool | None


def encoder(format_name: Format) -> tuple[bytes, Encode]:
    """Return what the output begins with, and what turns a result into its line (empty if it has none)."""
    match format_name:
        case "jsonl":
            return b"", json_line
        case "csv":
            return _csv_row(CSV_COLUMNS), csv_line
        case "urls":
            return b"", url_line


def json_line(result: MediaResult) -> bytes:
    """Return the result as a JSON object and a line end."""
    error = result.error
    fields: dict[str, Cell | dict[str, str | bool]] = {
        **_common(result),
        "error": None if error is None else {"code": error.code, "message": str(error), "retryable": error.retryable},
    }
    if result.media_id is not None:
        fields["media_id"] = result.media_id
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    # A half surrogate, which an argument can hold, comes out as the \\udc80 that JSON itself would write.
    return text.encode(errors="backslashreplace") + b"\n"


def csv_line(result: MediaResult) -> bytes:
    """Return the result as a CSV record whose cells no spreadsheet takes for formulas."""
    error = result.error
    wrong: tuple[Cell, ...] = (None, None, None)
    if error is not None:
        wrong = (error.code, str(error), error.retryable)
    return _csv_row((*_common(result).values(), *wrong, result.media_id))


def url_line(result: MediaResult) -> bytes:
    """Return the bare URL and a line end; nothing for a failure."""
    return b"" if result.url is None else result.url.url.encode(errors="backslashreplace") + b"\n"


def _common(result: MediaResult) -> dict[str, Cell]:
    url = result.url
    return {
        "file_id": result.file_id,
        "status": "failed" if url is None else "ok",
        "url": None if url is None else url.url,
        "expires_at": None if url is None else _utc(url.expires_at),
        "expires_in": None if url is None else url.expires_in,
        "file_name": None if url is None else url.file_name,
        "content_type": None if url is None else url.content_type,
        "attempts": result.attempts,
        "latency_ms": round(result.latency * 1000, 1),
        "correlation_id": result.correlation_id,
    }


def _csv_row(cells: tuple[Cell, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_csv_cell(cell) for cell in cells])
    return text.getvalue().encode(errors="backslashreplace")


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
