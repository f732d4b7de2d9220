"""One result as one line of output: JSON, CSV or the bare URL. Pure; the only place of the command that sees URLs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...models import MediaResult

Format = Literal["jsonl", "csv", "urls"]
Encode = Callable[["MediaResult"], bytes]

CSV_COLUMNS = (
    *("file_id", "status", "url", "expires_at", "expires_in", "expiry_source", "file_name", "content_type"),
    *("access_level", "attempts", "latency", "correlation_id"),
    *("error_code", "error_message", "error_retryable", "error_status_code", "media_id"),
)
"""The keys of `ResultDict` without the schema's version; the members of the error have columns of their own."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def encoder(format_name: Format) -> tuple[bytes, Encode]:
    """Return the header of the output, and the function that encodes a result as a line (empty if it has none)."""
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
    """Return the result as a CSV record; no spreadsheet takes a cell of it for a formula."""
    fields = result.as_dict()
    cells: dict[str, object] = {**fields}
    if (error := fields["error"]) is not None:
        cells |= {f"error_{name}": cell for name, cell in error.items()}
    return _csv_row([cells.get(column) for column in CSV_COLUMNS])


def url_line(result: MediaResult) -> bytes:
    """Return the bare URL and a line end; nothing for a failure."""
    return result.url.encode(errors="backslashreplace") + b"\n" if result.ok else b""


def _csv_row(cells: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow([_csv_cell(cell) for cell in cells])
    return text.getvalue().encode(errors="backslashreplace")


def _csv_cell(cell: object) -> object:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
