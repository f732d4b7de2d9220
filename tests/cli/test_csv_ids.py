"""Ids out of CSV: the columns that a source needs, however they are named, ordered and separated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.cli.input.csv_ids import IdTable
from genesys_media_async.cli.input.id_files import IdDecoder, open_input, read_ids

if TYPE_CHECKING:
    from pathlib import Path

RECORDING = ("conversationId", "conversationId/recordingId")
MESSAGE = ("conversationId/communicationId/mediaId",)
FILE = ("fileId",)


def ids_in(text: str, id_formats: tuple[str, ...]) -> list[str]:
    decoder = IdDecoder(IdTable(id_formats))
    return [*decoder.feed(text.encode()), *decoder.finish()]


@pytest.mark.parametrize(
    "header",
    [
        "conversationId,recordingId",
        "conversation_id;recording_id",
        "Conversation ID\tRecording-ID",
        '"CONVERSATIONID","recordingid"',
        "\ufeffconversationId,recordingId",
    ],
)
def test_a_header_is_recognised_in_any_spelling(header: str):
    delimiter = next(each for each in ",;\t" if each in header)
    assert ids_in(f"{header}\na{delimiter}b\n", RECORDING) == ["a/b"]


@pytest.mark.parametrize(
    ("text", "id_formats", "expected"),
    [
        # In any order, and beside other columns.
        ("queue,recordingId,conversationId,name\nq,b,a,x\n,d,c,\n", RECORDING, ["a/b", "c/d"]),
        ("conversationId,agent\na,x\nb,y", RECORDING, ["a", "b"]),
        ("conversationId\na\nb", RECORDING, ["a", "b"]),
        # An empty cell makes the shorter id, a missing one too.
        ("conversationId,recordingId\na,\nb\nc,d\n", RECORDING, ["a", "b", "c/d"]),
        # Without a header there are just the parts.
        ("a,b\nc\nd/e\nf;g\n", RECORDING, ["a/b", "c", "d/e", "f/g"]),
        ("a,b,c\n", MESSAGE, ["a/b/c"]),
        ("conversationId,communicationId,mediaId\n1,2,3", MESSAGE, ["1/2/3"]),
        # What fits no form stays an id, to be refused as one.
        ("a,b,c\n", RECORDING, ["a/b/c"]),
        ("conversationId,communicationId,mediaId\n1,,3\n", MESSAGE, ["1//3"]),
        ("conversationId,communicationId,mediaId\n,,\n", MESSAGE, [""]),
        ("agent,queue\na,b\n", RECORDING, ["agent/queue", "a/b"]),
        # Ids of one part.
        ("fileId\na\nb,c\n", FILE, ["a", "b,c"]),
        ("a,b\n", FILE, ["a,b"]),
        ("name,file_id,size\nx,a,7\n", FILE, ["a"]),
        # The command's own CSV, with quotes and a comma in a message.
        ('file_id,status,error_message\na/b,failed,"no, not"\n', RECORDING, ["a/b"]),
        # A carriage return within a line is no line end here.
        ("conversationId,recordingId\na\rb,c\n", RECORDING, ["a\rb/c"]),
        ("", RECORDING, []),
        ("conversationId,recordingId\n\n", RECORDING, []),
    ],
)
def test_an_id_is_made_of_its_parts(text: str, id_formats: tuple[str, ...], expected: list[str]):
    assert ids_in(text, id_formats) == expected


PARTS = st.text("abcXYZ019._-", min_size=1, max_size=8).filter(lambda part: not part.startswith("."))


@given(st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=5), st.sampled_from(",;\t"), st.booleans())
def test_a_table_gives_the_same_ids_as_lines_of_ids(rows: list[tuple[str, str]], delimiter: str, named: bool):
    header = f"recordingId{delimiter}conversationId\n" if named else ""
    lines = [delimiter.join(reversed(row) if named else row) for row in rows]
    assert ids_in(header + "\n".join(lines), RECORDING) == ["/".join(row) for row in rows]


@given(st.text(max_size=40), st.sampled_from([RECORDING, MESSAGE, FILE]))
def test_no_text_raises(text: str, id_formats: tuple[str, ...]):
    table = IdTable(id_formats)
    for line in text.split("\n"):
        read = table.read(line)
        assert read is None or isinstance(read, str)


@pytest.mark.anyio
async def test_a_look_ahead_does_not_move_the_reading_position(tmp_path: Path):
    path = tmp_path / "ids.csv"
    path.write_text("\n\nconversationId,recordingId\na,b\n")
    source = open_input(str(path))

    assert source.first_line() == "conversationId,recordingId"
    assert [file_id async for file_id in read_ids(["x"], source, IdTable(RECORDING))] == ["x", "a/b"]

    source.close()


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\n", b"a\0\n"])
def test_a_file_without_a_first_line_has_none(tmp_path: Path, content: bytes):
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    source = open_input(str(path))
    assert source.first_line() is None
    source.close()
