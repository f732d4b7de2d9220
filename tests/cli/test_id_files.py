"""Reading ids: however the bytes are cut, and whatever is wrong with them."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode
from genesys_media_async.cli.input.id_files import MAX_LINE, IdDecoder, LineError, open_input, read_ids

if TYPE_CHECKING:
    from pathlib import Path


def decoded(*chunks: bytes) -> list[str]:
    decoder = IdDecoder()
    found = [file_id for chunk in chunks for file_id in decoder.feed(chunk)]
    return found + list(decoder.finish())


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=20), max_size=20)


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.data())
def test_any_cut_of_the_bytes_gives_the_same_ids(lines: list[str], end: str, bom: bool, data: st.DataObject):
    text = end.join(lines).encode("utf-8-sig" if bom else "utf-8")
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=10).map(sorted))

    whole = decoded(text)

    assert decoded(*(text[start:stop] for start, stop in pairwise([0, *cuts, len(text)]))) == whole
    # The byte order mark of a text that begins with one by itself goes, too.
    expected = end.join(lines).removeprefix("\ufeff").encode().split(b"\n")
    assert bom or whole == [stripped.decode() for line in expected if (stripped := line.strip(b" \t\r\n"))]


def test_spaces_around_an_id_are_dropped_and_those_within_kept():
    assert decoded(b" \ta b\t \r\n\n\r\n  \nc") == ["a b", "c"]


def test_only_the_first_line_may_begin_with_a_byte_order_mark():
    assert decoded(b"\xef\xbb\xbfa\n\xef\xbb\xbfb") == ["a", "\ufeffb"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (b"a\nb\0\n", 2, "NUL"),
        (b"a\n\xe4\n", 2, "not UTF-8"),
        ("a\n".encode("utf-16"), 1, "save the file as UTF-8"),
        (b"\n\n" + b"x" * (MAX_LINE + 1), 3, "more than"),
        (b"x" * (MAX_LINE + 1) + b"\n", 1, "more than"),
    ],
)
def test_a_line_that_is_not_text_is_named(text: bytes, line: int, message: str):
    with pytest.raises(LineError, match=message) as caught:
        decoded(text)
    assert caught.value.line == line


def test_the_longest_line_allowed_passes():
    assert decoded(b"x" * MAX_LINE + b"\n") == ["x" * MAX_LINE]


def test_the_ids_before_a_wrong_line_are_read():
    found = []
    with pytest.raises(LineError):
        for file_id in IdDecoder().feed(b"a\nb\n\0\n"):
            found.append(file_id)
    assert found == ["a", "b"]


@pytest.mark.anyio
async def test_arguments_come_before_the_file(tmp_path: Path):
    (tmp_path / "ids").write_text("c\nd\n")
    source = open_input(str(tmp_path / "ids"))
    try:
        assert source.count() == 2
        assert [file_id async for file_id in read_ids(["a", "b"], source)] == ["a", "b", "c", "d"]
    finally:
        source.close()


def test_blank_lines_are_not_counted(tmp_path: Path):
    (tmp_path / "ids").write_bytes(b"a\r\n\r\n \t\nb\n\nc")
    source = open_input(str(tmp_path / "ids"))
    try:
        assert source.count() == 3
        assert os.lseek(source.descriptor, 0, os.SEEK_CUR) == 0
    finally:
        source.close()


@pytest.mark.parametrize(("name", "message"), [("missing", "No such file"), (".", "is a directory"), ("a\0b", "null")])
def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path, name: str, message: str):
    with pytest.raises(CommandFailed, match=message) as caught:
        open_input(str(tmp_path / name) if "\0" not in name else name)
    assert caught.value.code is ExitCode.INPUT


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path):
    (tmp_path / "ids").touch(mode=0o000)
    with pytest.raises(CommandFailed, match="Permission denied"):
        open_input(str(tmp_path / "ids"))
