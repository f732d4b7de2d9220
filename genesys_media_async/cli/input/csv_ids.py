"""
An id out of a line of text: the line itself, or cells of a CSV record put together. Pure.

    conversationId,recordingId     a header names the columns, in any order and spelling; others are passed over
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
"""The column of the command's own CSV that has the id as it was given."""


class Table:
    """
    Reads the lines of one input, for an endpoint whose ids have these `forms`.

    The columns of a header are recognised without case, spaces, dashes and underscores. Where one form is the beginning
    of another, as `conversationId` is of `conversationId/recordingId`, an empty cell makes the shorter id. What fits no
    form is an id all the same, which will be refused as one.
    """

    def __init__(self, forms: Sequence[str]) -> None:
        self._forms = sorted((tuple(map(_plain, form.split("/"))) for form in forms), key=len, reverse=True)
        self._is_begun = False
        self._delimiter = ""
        self._columns: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"<Table with the columns {self._columns}>" if self._columns else "<Table without a header>"

    def read(self, line: str) -> str | None:
        """Return the id in a line that is not blank, or None for a header."""
        if not self._is_begun:
            self._is_begun = True
            if self._take_header(line):
                return None
        if self._columns:
            cells = _cells(line, self._delimiter)
            wanted = [cells[column] if column < len(cells) else "" for column in self._columns]
        elif len(self._forms[0]) > 1 and (delimiter := _delimiter_in(line)):
            wanted = _cells(line, delimiter)
        else:
            return line
        return "/".join(wanted).rstrip("/")

    def _take_header(self, line: str) -> bool:
        self._delimiter = _delimiter_in(line)
        names = [_plain(cell) for cell in _cells(line, self._delimiter)]
        for form in (*self._forms, (WHOLE_ID,)):
            if set(form) <= set(names):
                self._columns = tuple(names.index(part) for part in form)
                return True
        return False


def _delimiter_in(line: str) -> str:
    return next((each for each in DELIMITERS if each in line), "")


def _cells(line: str, delimiter: str) -> list[str]:
    """Return the cells of a record that has one line: no id has a line break in it."""
    if not delimiter:
        return [line.strip('"').strip()]
    try:
        cells = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        cells = line.split(delimiter)
    return [cell.strip() for cell in cells]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " -_")
