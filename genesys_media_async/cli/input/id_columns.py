"""
The parts of an id in the cells of a record: by a header, or by their number. Pure.

    conversationId,recordingId     a header names the columns, in any order and spelling, beside others
    5a0d…,77b1…                    without one, a record has just the parts of an id, in their order
    5a0d…/77b1…                    or the line is the id
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ...ids import is_file_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LIST_DELIMITERS: Final = ",;\t|"
"""Between the parts of an id in records without a header."""

HEADER_DELIMITERS: Final = f"{LIST_DELIMITERS}^~\x1f\x01"

_NO_DELIMITER: Final = "\x1f"
_FREE_FORM: Final = "fileid"
_WHOLE_ID: Final = ("fileid",)
"""The column of the command's own output with the id as it was given."""

_MEDIUM: Final = "mediaid"
_STATUS: Final = "status"

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

# What strip() leaves: the marks of width zero and of direction that office programs and web pages put around a text.
_BLANKS: Final = "\t\n\v\f\r \x85\xa0\xad\u180e\u1680\u3000\ufeff" + "".join(
    map(chr, (*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070)))
)
_WRAPPING: Final = _BLANKS + "=\"'`,;|{}"
_ID: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of the first record in some lines, and how many lines it takes; `is_whole` if its quotes are closed."""

    cells: list[str]
    lines: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Header:
    """
    The known columns of a header: those of the parts of an id, whose `names` are normalized.

    In an output of the command there are also the `medium`, for each of which an id has a record, and the `status`.
    """

    delimiter: str
    columns: tuple[int, ...]
    names: tuple[str, ...]
    lines: int
    medium: int | None = None
    status: int | None = None

    def repeats_in(self, parts: Sequence[str]) -> bool:
        """Return True for the parts of a header once more, as in files that were put together."""
        return tuple(map(normalized, parts)) == self.names


class IdColumns:
    """
    Finds ids with these `id_formats` in records.

    Names of columns are matched without case, blanks and punctuation. If one format is the beginning of another, as
    `conversationId` is of `conversationId/recordingId`, an empty cell makes the shorter id.

    Each part of a platform's id is a UUID, by which a list without a header is told from a table with an unknown one.
    A `fileId` of media storage may be any word; nothing is assumed about an id in a column of ids.
    """

    def __init__(self, id_formats: Sequence[str]) -> None:
        self._wanted = tuple(id_formats)
        parts = (tuple(map(normalized, each.split("/"))) for each in id_formats)
        self._id_formats = sorted(parts, key=len, reverse=True)
        self._first_names = {*(each[0] for each in self._id_formats), *_WHOLE_ID}

    @property
    def wanted(self) -> str:
        """The columns that are known, for a message."""
        return ", or ".join(each.replace("/", " and ") for each in sorted(self._wanted, key=len))

    def header_in(self, lines: Sequence[str]) -> Header | None:
        """Return the header that the lines begin with: its delimiter is the one with which it has known columns."""
        for delimiter in HEADER_DELIMITERS:
            record = record_in(lines, delimiter)
            names = [normalized(cell) for cell in record.cells]
            for id_format in (*self._id_formats, _WHOLE_ID):
                if record.is_whole and set(id_format) <= set(names):
                    columns = tuple(names.index(part) for part in id_format)
                    own = names if id_format == _WHOLE_ID else []
                    medium, status = (own.index(name) if name in own else None for name in (_MEDIUM, _STATUS))
                    between = delimiter if len(names) > 1 else _NO_DELIMITER
                    return Header(between, columns, id_format, record.lines, medium, status)
        return None

    def id_of(self, members: dict[str, object]) -> tuple[str, str] | None:
        """Return the id in the members of a JSON object, and its medium; None without known members."""
        names = {_normalized_key(name): name for name in members}
        for id_format in (*self._id_formats, _WHOLE_ID):
            if names.keys() >= set(id_format):
                medium = members.get(names.get(_MEDIUM, "")) if id_format == _WHOLE_ID else None
                return joined(cleaned(_text(members[names[part]])) for part in id_format), _text(medium)
        return None

    def id_in(self, line: str) -> str:
        """Return the id in a line without a header; what matches no format is an id all the same, to be refused."""
        text = cleaned(line)
        if len(self._id_formats[0]) > 1:
            for delimiter in LIST_DELIMITERS:
                if delimiter in text:
                    file_id = joined(map(cleaned, record_in([text], delimiter).cells))
                    # Something else than parts is no id: with its delimiter it is refused.
                    return file_id if self.is_id(file_id) else text
        return text

    def may_be_header(self, line: str) -> bool:
        """Return False, fast, for a line that is no header."""
        name = normalized(line)
        return any(each in name for each in self._first_names)

    def is_id(self, text: str) -> bool:
        """Return True if every part of an id is what it has to be."""
        parts = text.split("/")
        return any(len(parts) == len(names) and all(map(_is_part, names, parts)) for names in self._id_formats)


def normalized(name: str) -> str:
    """Return the name of a column in the one spelling in which names are compared."""
    return "".join(filter(str.isalnum, name)).lower()


_normalized_key = lru_cache(maxsize=100)(normalized)


def joined(parts: Iterable[str]) -> str:
    """Return the id with these parts; empty ones at its end are left out."""
    return "/".join(parts).rstrip("/")


def cleaned(cell: str) -> str:
    """
    Return the id in a cell without what programs put around one: quotes, `="…"`, apostrophes, commas, blanks.

    None of these can be in an id. A cell in which something else would be left is only stripped of blanks.
    """
    if _ID.fullmatch(cell):
        return cell
    inner = cell.strip(_WRAPPING)
    return inner if not inner or _ID.fullmatch(inner) else cell.strip(_BLANKS)


def is_valid(file_id: str) -> bool:
    """Return True if nothing in an id is certain to be refused."""
    return _ID.fullmatch(file_id) is not None


def record_in(lines: Sequence[str], delimiter: str) -> Record:
    """Return the first record in some lines, which may be more than one (RFC 4180, 2.6)."""
    is_exhausted = False

    def supply() -> Iterator[str]:
        nonlocal is_exhausted
        yield from lines
        is_exhausted = True

    reader = csv.reader(supply(), delimiter=delimiter)
    try:
        cells = next(reader, list[str]())
    except csv.Error:
        return Record([], 1, is_whole=False)
    return Record(cells, reader.line_num, not is_exhausted)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _is_part(name: str, part: str) -> bool:
    return is_file_id(part) if name == _FREE_FORM else _UUID.fullmatch(part) is not None
