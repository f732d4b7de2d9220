"""
An id from a line of text: the line itself, or cells of a CSV record. Pure.

    conversationId,recordingId     a header names the columns, in any order and spelling, beside others
    5a0d…,77b1…                    without one, a record has just the parts of an id, in their order
    5a0d…/77b1…                    or the line is the id
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

DELIMITERS: Final = ",;\t"

WHOLE_ID: Final = "fileid"
"""The column of the command's own CSV with the id as it was given."""


class IdTable:
    """
    Reads the lines of one input, for an endpoint whose ids have these `id_formats`.

    The columns of a header are matched without case, spaces, dashes and underscores. If one format is the beginning of
    another, as `conversationId` is of `conversationId/recordingId`, an empty cell makes the shorter id. A line that
    matches no format is returned as an id all the same, for the run to refuse.
    """

    def __init__(self, id_formats: Sequence[str]) -> None:
        parts = (tuple(map(_normalized, each.split("/"))) for each in id_formats)
        self._id_formats = sorted(parts, key=len, reverse=True)
        self._is_begun = False
        self._delimiter = ""
        self._columns: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<IdTable with the columns {self._columns}>" if self._columns else "<IdTable without a header>"

    def read(self, line: str) -> str | None:
        """Return the id in a line that is not blank, or None for a header."""
        if not self._is_begun:
            self._is_begun = True
            if self._take_header(line):
                return None
        if self._columns:
            cells = _cells(line, self._delimiter)
            parts = [cells[column] if column < len(cells) else "" for column in self._columns]
        elif len(self._id_formats[0]) > 1 and (delimiter := _delimiter_in(line)):
            parts = _cells(line, delimiter)
        else:
            return line
        return "/".join(parts).rstrip("/")

    def _take_header(self, line: str) -> bool:
        self._delimiter = _delimiter_in(line)
        names = [_normalized(cell) for cell in _cells(line, self._delimiter)]
        for id_format in (*self._id_formats, (WHOLE_ID,)):
            if set(id_format) <= set(names):
                self._columns = tuple(names.index(part) for part in id_format)
                return True
        return False


def _delimiter_in(line: str) -> str:
    return next((each for each in DELIMITERS if each in line), "")


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a record in one line: no id contains a line break."""
    if not delimiter:
        return [line.strip('"').strip()]
    try:
        cells = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip() for cell in cells]


def _normalized(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " -_")
