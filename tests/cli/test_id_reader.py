"""Ids out of lines, CSV and JSON lines: exactly those that are in the column of the ids, or an error before them."""

from __future__ import annotations

import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.cli.input.decoding import InputError
from genesys_media_async.cli.input.id_columns import HEADER_DELIMITERS
from genesys_media_async.cli.input.id_reader import IdReader
from tests.support.id_corpus import RECORDINGS, A, B, C, D, packed, result

RECORDING = ("conversationId", "conversationId/recordingId")
MESSAGE = ("conversationId/communicationId/mediaId",)
DOCUMENT = ("documentId",)
FILE = ("fileId",)


def ids_in(content: str | bytes, id_formats: tuple[str, ...] = RECORDING, *, only_failed: bool = False) -> list[str]:
    reader = IdReader(id_formats, only_failed=only_failed)
    data = content.encode() if isinstance(content, str) else content
    return [*reader.feed(data), *reader.finish()]


@pytest.mark.parametrize(("content", "expected"), RECORDINGS.values(), ids=RECORDINGS)
def test_a_file_of_recordings_has_these_ids(content: str | bytes, expected: list[str]):
    assert ids_in(content) == expected


@pytest.mark.parametrize(("content", "expected"), RECORDINGS.values(), ids=RECORDINGS)
def test_it_has_them_however_its_bytes_arrive(content: str | bytes, expected: list[str]):
    reader = IdReader(RECORDING)
    data = content.encode() if isinstance(content, str) else content
    found = [file_id for byte in data for file_id in reader.feed(bytes([byte]))]
    assert [*found, *reader.finish()] == expected


@pytest.mark.parametrize(
    ("content", "id_formats", "expected"),
    [
        # An id of media storage may be any word.
        ("a\nb-1\n", FILE, ["a", "b-1"]),
        ("fileId\na\nb,c\n", FILE, ["a", "b,c"]),
        ("name,file_id,size\nx,a,7\n", FILE, ["a"]),
        ("a\nfile_id,size\nb,7\n", FILE, ["a", "b"]),
        ("note,file_id\n#1,abc\n", FILE, ["abc"]),
        ("P", FILE, ["P"]),
        ("../etc\ngood\na b\n\u00fc\n", FILE, ["../etc", "good", "a b", "\u00fc"]),
        ("a\n\0\nb\0\n", FILE, ["a", "\0", "b\0"]),
        (f"{A},{B},{C}\n", MESSAGE, [f"{A}/{B}/{C}"]),
        (f"conversationId,communicationId,mediaId\n{A},,{C}\n,,\n", MESSAGE, [f"{A}//{C}"]),
        (f"{result('a/b/c', media_id='1')}\n", MESSAGE, ["a/b/c"]),
        (f"Document Id;Name\n{A};x\n", DOCUMENT, [A]),
    ],
)
def test_other_sources_have_other_ids(content: str, id_formats: tuple[str, ...], expected: list[str]):
    assert ids_in(content, id_formats) == expected


@pytest.mark.parametrize(
    ("content", "id_formats", "message"),
    [
        (f"Interaction ID,Queue\n{A},Q1\n", RECORDING, "found 'Interaction ID', 'Queue'; wanted conversationId, or "),
        (f"Interaction ID\n{A}\n", RECORDING, "found 'Interaction ID'"),
        (f"All\n\nInteraction ID,Queue,Date\n{A},Q1,x\n", RECORDING, "found 'Interaction ID', 'Queue', 'Date'"),
        (f"{A},Q1\n{B},Q2\n", RECORDING, f"found '{A}', 'Q1'"),
        (f"{A},12\n" * 99, RECORDING, "'12'"),
        ("interactionId\n", RECORDING, "found 'interactionId'"),
        (f"Communication,Conversation ID\n{A},{B}", MESSAGE, "conversationId and communicationId and mediaId"),
        ("Media Name\nx\n", FILE, "found 'Media Name'; wanted fileId"),
        ("name,size\na,1\n", FILE, "found 'name', 'size'"),
        ('{"id":"x"}\n', FILE, "found 'id'; wanted fileId"),
        ("https://example.com/a?Signature=canary\n", FILE, r"a\?…'"),
        (",".join(f"c{number}" for number in range(20)), FILE, "and 8 more"),
        (f'Conversation ID,Note\n{A},ok\n{B},"cut\n{C},x\n', RECORDING, "a quote opens in this record and is not"),
        (f'Conversation ID,Note\n{A},"5 inch\n{B},say "yes"\n', RECORDING, "text follows where a later line closes it"),
        (f'conversationId,x\n{A},"' + "x\n" * 600_000, RECORDING, "a quote opens"),
        ("conversationId,x\n" + "x" * 1_200_000, RECORDING, "the line has more than 1048576 bytes"),
        ("x" * 1_200_000, RECORDING, "the line has more than 1048576 bytes"),
        (packed(b"a\nb\n")[:-9], FILE, "ends before its end"),
        (packed(b"a\nb\n")[:9] + b"\xff" * 99, FILE, "is broken"),
        (packed(b"a\nb\n") + b"xx", FILE, "is broken"),
        (b"PK\x03\x04\x14", FILE, "an Excel workbook or a ZIP archive; save the ids as CSV"),
        (packed(b"BZh91"), FILE, "compressed by bzip2"),
    ],
)
def test_a_file_that_leaves_open_which_ids_are_meant_is_refused_with_the_repair(
    content: str | bytes, id_formats: tuple[str, ...], message: str
):
    with pytest.raises(InputError, match=message) as caught:
        ids_in(content, id_formats)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "line"),
    [(f'x\nConversation ID,"a\nb"\n{A},"1\n2"\n\n{B},"cut', 7), (f'conversationId,x\n{A},"1\n2"\n{B},"3\n4" x\n', 4)],
)
def test_a_wrong_quote_is_found_by_its_line(content: str, line: int):
    with pytest.raises(InputError) as caught:
        ids_in(content)
    assert caught.value.line == line


def test_the_ids_before_what_cannot_be_read_are_read():
    found: list[str] = []
    with pytest.raises(InputError):
        for file_id in IdReader(FILE).feed(packed(b"a\nb\n") + b"broken"):
            found.append(file_id)
    assert found == ["a", "b"]


def test_a_line_that_is_too_long_is_one_id_to_refuse_and_never_in_memory():
    reader = IdReader(FILE)
    found = list(reader.feed(b"a1\n"))
    for _ in range(100):
        found += reader.feed(b"x" * 65_536)
    found += [*reader.feed(b"x\nb2\n"), *reader.finish()]
    assert [(each[:3], len(each)) for each in found] == [("a1", 2), ("xxx", 200), ("b2", 2)]


def test_what_a_small_gzip_file_holds_is_unpacked_a_piece_at_a_time():
    reader = IdReader(FILE)
    bomb = packed(b"a1\n" + b"x" * 8_000_000 + b"\nb2\n")
    found = [*reader.feed(bomb), *reader.finish()]
    assert [len(each) for each in found] == [2, 200, 2]


@pytest.mark.parametrize("as_csv", [False, True])
def test_the_failed_ids_of_an_output_can_be_read_alone(as_csv: bool):
    rows = [(A, "", "ok"), (B, "", "failed"), (C, "1", "ok"), (C, "2", "failed"), (C, "3", "failed"), (D, "1", "ok")]
    table = "\n".join(["file_id,media_id,status", *map(",".join, rows)])
    lines = "\n".join(result(file_id, status, media_id or None) for file_id, media_id, status in rows)
    assert ids_in(table if as_csv else lines, only_failed=True) == [B, C]


@pytest.mark.parametrize("content", [A, f"conversationId\n{A}\n", f"file_id\n{A}\n", f'{{"file_id":"{A}"}}\n'])
def test_only_an_output_has_failed_ids(content: str):
    with pytest.raises(InputError, match="--only-failed takes an output of retrieve"):
        ids_in(content, only_failed=True)


UUIDS = st.uuids().map(str)
NOTES = st.text(max_size=12) | st.sampled_from(
    [A, f"\n{A}\n", f"x\r{B}\r", f"\r\n{C}\r\n", '"', '""', '"\n', "'", "=", f'="{D}"', "#", "sep=;", "conversationId"]
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(NOTES, UUIDS, NOTES), min_size=1, max_size=6),
    st.sampled_from(HEADER_DELIMITERS),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
    st.integers(1, 200),
)
def test_of_any_table_exactly_the_ids_in_the_column_of_ids_are_read(
    rows: list[tuple[str, str, str]], delimiter: str, quoting: int, end: str, encoding: str, is_packed: bool, size: int
):
    if end == "\r" and quoting == csv.QUOTE_MINIMAL:
        # Python 3.11 leaves an LF unquoted then, and where that follows a CR, nobody can tell.
        quoting = csv.QUOTE_ALL
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([("Note", "Conversation ID", "Subject"), *rows])
    content = file.getvalue().encode(encoding, "replace")
    content = packed(content) if is_packed else content
    reader = IdReader(RECORDING)
    found = [each for at in range(0, len(content), size) for each in reader.feed(content[at : at + size])]
    assert [*found, *reader.finish()] == [file_id for _, file_id, _ in rows]


PARTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)


@given(st.lists(PARTS, min_size=1, max_size=9), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_word_of_a_list_is_an_id_of_media_storage(words: list[str], end: str):
    assert ids_in(end.join(words), FILE) == words


@given(st.text(max_size=60) | st.binary(max_size=60), st.sampled_from([RECORDING, MESSAGE, FILE]), st.integers(1, 9))
def test_no_bytes_raise_anything_else(content: str | bytes, id_formats: tuple[str, ...], size: int):
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    reader = IdReader(id_formats)
    with suppress(InputError):
        found = [each for at in range(0, len(data), size) for each in reader.feed(data[at : at + size])]
        assert all(isinstance(each, str) for each in [*found, *reader.finish()])
