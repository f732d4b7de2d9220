"""
Ids from the bytes of a file: one per line, CSV, or JSON lines. Pure.

What is no id and names no column, in the first records, is the title of a table or the header of an unknown one.
"""

from __future__ import annotations

import csv
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from ...errors import sanitized
from .decoding import MAX_LINE, InputError, LineDecoder
from .id_columns import LIST_DELIMITERS, IdColumns, Record, cleaned, is_valid, joined, record_in

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from .id_columns import Header

MAX_BEGINNING: Final = 64 * 1024
"""Characters in which a header ends, quoted line breaks included."""

MAX_TITLES: Final = 30
"""Records above a header."""

MAX_SHOWN: Final = 200
"""Characters of a line that is no id in its result; the longest id has fewer."""

MAX_COLUMNS: Final = 12
"""Names in a message."""

# The digit tells an id from the name of a column.
_PLAIN_ID: Final = re.compile(r"(?=\D*\d)[A-Za-z0-9_-][A-Za-z0-9._/-]*", re.ASCII)
# Rows of empty cells, the lines that terminals draw under a header, the brackets of a JSON array.
_EMPTY: Final = re.compile(r"[][\s\u200b-\u200f\u2060\ufeff,;|'\"=+-]*")
_SEPARATOR_LINE: Final = re.compile(r'"?sep=.?"?[,;\s]*', re.IGNORECASE)
_OBJECT: Final = re.compile(r'\s*\{\s*["}]')

# Yields the ids in lines, and returns those lines that are to be read in another way.
Ids: TypeAlias = "Generator[str, None, Sequence[str]]"


class IdReader:
    """
    Reads ids from chunks of bytes, however they are cut, for an endpoint whose ids have these `id_formats`.

    A line that is no id is an id all the same, for the run to refuse: it costs one failed result. What would leave
    open which ids are meant raises `InputError`. With `only_failed` the input is an output of the command, and its ids
    are those that have a result that is not ok.
    """

    def __init__(self, id_formats: Sequence[str], *, only_failed: bool = False) -> None:
        self.left_out = 0
        """How many records are ok, where only the failed ones are wanted."""
        self._only_failed = only_failed
        self._columns = IdColumns(id_formats)
        self._decoder = LineDecoder()
        self._read: Callable[[Sequence[str]], Ids] = self._read_beginning
        self._held: list[str] = []
        """The lines of a record whose quotes are still open."""
        self._line = 0
        self._titles: list[Record] = []
        """The records above a header."""
        self._has_ids = False
        self._seen: set[str] = set()
        self._is_ending = False

    @property
    def size(self) -> int:
        """How many bytes of text were read."""
        return self._decoder.size

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the ids in the records that end in this chunk. Raises `InputError`, after the ids before it."""
        for lines in self._decoder.feed(chunk):
            yield from self._ids(lines)

    def finish(self) -> Iterator[str]:
        """Yield the ids in what has no end. Raises `InputError`."""
        for lines in self._decoder.finish():
            yield from self._ids(lines)
        self._is_ending = True
        yield from self._ids([])
        if self._read == self._read_beginning:
            yield from self._take_titles()

    def _ids(self, lines: Sequence[str]) -> Iterator[str]:
        if self._decoder.is_cut and self._read != self._read_list:
            line = self._line + len(self._held) + 1
            raise InputError(f"the line has more than {MAX_LINE} bytes; one record a line is expected", line)
        if self._held:
            lines, self._held = [*self._held, *lines], []
        while lines:
            lines = yield from self._read(lines)

    def _read_beginning(self, lines: Sequence[str]) -> Ids:
        while lines and self._read == self._read_beginning:
            taken = 1
            if _OBJECT.match(lines[0]):
                self._read = self._read_objects
                return lines
            if not _is_noise(lines[0]):
                if header := self._columns.header_in(lines):
                    self._begin_table(header)
                    taken = header.lines
                elif self._columns.is_id(self._columns.id_in(lines[0])):
                    yield from self._take_titles()
                    return lines
                elif self._may_become_header(lines):
                    self._held = list(lines)
                    return ()
                else:
                    taken = self._take_title(lines)
                    if len(self._titles) == MAX_TITLES:
                        yield from self._take_titles()
            lines = lines[taken:]
            self._line += taken
        return lines

    def _may_become_header(self, lines: Sequence[str]) -> bool:
        """Return True if a quote is open in the first record of these lines, and its end may still arrive."""
        if self._is_ending or sum(map(len, lines)) > MAX_BEGINNING:
            return False
        return any(not record_in(lines, delimiter).is_whole for delimiter in LIST_DELIMITERS)

    def _take_title(self, lines: Sequence[str]) -> int:
        """Keep a record that is neither a header nor an id, and return how many lines it has."""
        records = [record for delimiter in LIST_DELIMITERS if (record := record_in(lines, delimiter)).is_whole]
        # With the right delimiter there are the most cells.
        record = max(records, key=lambda each: len(each.cells), default=Record([lines[0]], 1, is_whole=True))
        self._titles.append(record)
        return record.lines

    def _take_titles(self) -> Iterator[str]:
        """
        Begin a list of ids, with what is above the first of them, to be refused.

        Raises `InputError` if one of these records can be a header.
        """
        records = [_not_empty(record.cells) for record in self._titles]
        if headers := [cells for cells in records if _can_be_header(cells)]:
            headers.sort(key=len, reverse=True)
            raise InputError(_unknown(headers[0], self._columns.wanted))
        self._require_status(has_status=False)
        self._read = self._read_list
        for cells in records:
            yield "".join(cells)[:MAX_SHOWN]

    def _read_list(self, lines: Sequence[str]) -> Ids:
        for position, line in enumerate(lines):
            text = line[:-1]
            if _PLAIN_ID.fullmatch(text):
                yield text
            elif _is_noise(line):
                continue
            elif self._columns.may_be_header(text) and (header := self._columns.header_in([line])):
                self._begin_table(header)
                self._line += position + 1
                return lines[position + 1 :]
            else:
                yield self._columns.id_in(text)[:MAX_SHOWN]
        self._line += len(lines)
        return ()

    def _begin_table(self, header: Header) -> None:
        self._require_status(has_status=header.status is not None)
        # A cell may be longer than the module's usual limit; `MAX_LINE` bounds the record.
        csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_LINE))
        self._read = partial(self._read_table, header)

    def _require_status(self, *, has_status: bool) -> None:
        if self._only_failed and not has_status:
            raise InputError("--only-failed takes an output of retrieve, as JSON lines or CSV; this has no status")

    def _read_table(self, header: Header, lines: Sequence[str]) -> Ids:
        is_exhausted = False

        def supply() -> Iterator[str]:
            nonlocal is_exhausted
            yield from lines
            is_exhausted = True

        start, reader = 0, csv.reader(supply(), delimiter=header.delimiter)
        for cells in reader:
            if is_exhausted:
                self._hold(lines[start:])
                break
            if reader.line_num > start + 1:
                self._check_quotes(lines[start : reader.line_num], header.delimiter)
            self._line += reader.line_num - start
            start = reader.line_num
            if (file_id := self._id_in(cells, header)) is not None:
                yield file_id
        return ()

    def _id_in(self, cells: Sequence[str], header: Header) -> str | None:
        """Return the id in a record; None for one that is to be passed over."""
        parts = [cleaned(cells[column]) if column < len(cells) else "" for column in header.columns]
        file_id = joined(parts)
        if header.medium is None and _PLAIN_ID.fullmatch(file_id):
            return file_id
        is_comment = cells and cells[0].lstrip().startswith("#") and not is_valid(file_id)
        if is_comment or all(map(_EMPTY.fullmatch, cells)) or header.repeats_in(parts):
            return None
        medium, status = (
            cells[column] if column is not None and column < len(cells) else ""
            for column in (header.medium, header.status)
        )
        return file_id[:MAX_SHOWN] if self._is_wanted(file_id, medium, status) else None

    def _is_wanted(self, file_id: str, medium: str, status: object) -> bool:
        """Return False for an output's record that is ok, if that is not wanted, or is of one more medium of an id."""
        if self._only_failed and status == "ok":
            self.left_out += 1
            return False
        if not medium:
            return True
        is_repeated = file_id in self._seen
        self._seen.add(file_id)
        return not is_repeated

    def _hold(self, lines: Sequence[str]) -> None:
        """Keep the lines of a record whose quote is open. Raises `InputError` if that will never be closed."""
        if self._is_ending or sum(map(len, lines)) > MAX_LINE:
            raise InputError(
                'a quote opens in this record and is not closed; close it, or write "" for a quote in a cell',
                self._line + 1,
            )
        self._held = list(lines)

    def _check_quotes(self, lines: Sequence[str], delimiter: str) -> None:
        """Refuse a record of several lines with text behind a closed quote: it may have begun with a stray one."""
        try:
            next(csv.reader(lines, delimiter=delimiter, strict=True))
        except csv.Error:
            raise InputError(
                'a quote opens in this record, and text follows where a later line closes it; write "" for a quote '
                "in a cell",
                self._line + 1,
            ) from None

    def _read_objects(self, lines: Sequence[str]) -> Ids:
        for line in lines:
            self._line += 1
            if _is_noise(line):
                continue
            members = _members(line)
            found = None if members is None else self._columns.id_of(members)
            if found is not None:
                status = members.get("status") if members else None
                self._require_status(has_status=status is not None)
                self._has_ids = True
                if self._is_wanted(*found, status):
                    yield found[0][:MAX_SHOWN]
            elif members and not self._has_ids:
                raise InputError(_unknown(list(members), self._columns.wanted))
            else:
                # Not the line itself, in which there may be a URL.
                yield f"<line {self._line}>"
        return ()


def _is_noise(line: str) -> bool:
    """Return True for a line without a meaning of its own: blank or empty cells, a comment, `sep=;`."""
    if line.lstrip().startswith("#") or _SEPARATOR_LINE.fullmatch(line):
        return True
    # A lone quote begins a cell of several lines.
    return _EMPTY.fullmatch(line) is not None and line.count('"') % 2 == 0


def _not_empty(cells: Sequence[str]) -> list[str]:
    return [text for cell in cells if (text := cleaned(cell))]


def _can_be_header(cells: Sequence[str]) -> bool:
    """Return True for several cells, or for one with a name; it is text then, and begins with a letter."""
    return len(cells) > 1 or (len(cells) == 1 and cells[0][0].isalpha() and cells[0].isprintable())


def _unknown(names: Sequence[str], wanted: str) -> str:
    shown = ", ".join(repr(sanitized(name, 40)) for name in names[:MAX_COLUMNS])
    more = f" and {len(names) - MAX_COLUMNS} more" if len(names) > MAX_COLUMNS else ""
    return (
        f"the first record is no id and names no known column: found {shown}{more}; wanted {wanted}. "
        "Rename the column of the ids, or leave only the ids"
    )


def _members(line: str) -> dict[str, object] | None:
    try:
        found: object = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", found) if isinstance(found, dict) else None
