"""One result as one line of output: JSON, CSV or the bare URL. Pure; the only place of the command that sees URLs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from msgspec.json import Encoder

from ...errors import escaped
from ...models import ResultDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...models import MediaResult

Format = Literal["jsonl", "csv", "urls"]
Encode = Callable[["MediaResult"], bytes]

CSV_COLUMNS = tuple(key for key in ResultDict.__annotations__ if key != "schema_version")
"""The keys of a line of JSON; the version of the schema is not repeated in every record."""

_encode: Callable[[ResultDict], bytes] = Encoder().encode

# Also as the full-width signs, which some spreadsheets take for the plain ones.
_FORMULA_STARTS = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


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
    members = result.as_dict()
    try:
        text = _encode(members).decode()
    # msgspec has a third of the time, but refuses half a surrogate pair, and a subclass of `str`.
    except (ValueError, TypeError):
        text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    return escaped(text).encode() + b"\n"


def csv_line(result: MediaResult) -> bytes:
    """Return the result as a CSV record; no spreadsheet takes a cell of it for a formula."""
    cells: dict[str, object] = {**result.as_dict()}
    return _csv_row([cells[column] for column in CSV_COLUMNS])


def url_line(result: MediaResult) -> bytes:
    """Return the bare URL and a line end; nothing for a failure."""
    return result.url.encode(errors="backslashreplace") + b"\n" if result.ok else b""


def _csv_row(cells: Sequence[object]) -> bytes:
    # All in quotes, since a semicolon or a tab separates cells elsewhere, and what follows it could be a formula.
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow([_csv_cell(cell) for cell in cells])
    return text.getvalue().encode()


def _csv_cell(cell: object) -> object:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return _csv_text(cell) if isinstance(cell, str) else cell


def _csv_text(text: str) -> str:
    # A spreadsheet passes over blanks, and over what cannot be seen.
    visible = "".join(each for each in text if each.isprintable() and not each.isspace())
    text = escaped(text)
    return f"'{text}" if visible.startswith(_FORMULA_STARTS) else text
