"""One result as one line of output: JSON, CSV or the bare URL. Pure; the only place of the command that sees URLs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ...models import MediaResult

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
    "latency",
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
    text = json.dumps(result.as_dict(), ensure_ascii=False, separators=(",", ":"))
    # A half surrogate, which an argument can hold, becomes the \\udc80 that JSON itself would write.
    return text.encode(errors="backslashreplace") + b"\n"


def csv_line(result: MediaResult) -> bytes:
    """Return the result as a CSV record whose cells no spreadsheet takes for formulas."""
    fields = result.as_dict()
    error = fields["error"]
    errors: tuple[Cell, ...] = (None, None, None)
    if error is not None:
        errors = (error["code"], error["message"], error["retryable"])
    return _csv_row(
        (
            fields["file_id"],
            fields["status"],
            fields["url"],
            fields["expires_at"],
            fields["expires_in"],
            fields["file_name"],
            fields["content_type"],
            fields["attempts"],
            fields["latency"],
            fields["correlation_id"],
            *errors,
            fields["media_id"],
        )
    )


def url_line(result: MediaResult) -> bytes:
    """Return the bare URL and a line end; nothing for a failure."""
    return result.url.encode(errors="backslashreplace") + b"\n" if result.ok else b""


def _csv_row(cells: tuple[Cell, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_csv_cell(cell) for cell in cells])
    return text.getvalue().encode(errors="backslashreplace")


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
