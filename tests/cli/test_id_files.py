"""The ids of a command line: arguments and a file, the total beforehand, and what is left out."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode
from genesys_media_async.cli.input.id_files import MAX_COUNTED_SIZE, IdStream, Input, open_input
from tests.support.id_corpus import packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


FILE = ("fileId",)
NOT_TEXT = b"a1\n\xff\nb2\n"


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[Input]:
    path.write_bytes(content)
    source = open_input(str(path))
    try:
        yield source
    finally:
        source.close()


async def ids_of(stream: IdStream) -> list[str]:
    return [file_id async for file_id in stream.read()]


@pytest.mark.anyio
async def test_arguments_come_before_the_file(tmp_path: Path):
    with opened(tmp_path / "ids", b"c\nd\n") as source:
        stream = IdStream(["a", "b"], source, FILE)
        assert stream.look_ahead() == 4
        assert await ids_of(stream) == ["a", "b", "c", "d"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content",
    [
        b"a\r\n\r\n \t\nb\n\nc",
        b"# of Monday\na\nb\n#c\nd\n",
        b'sep=;\nfile_id;note\na;"1\n2"\n;;\nb;\nc;x\n',
        packed(b"name,file_id\n" + b'"x\ny",a1\n' * 20_000),
        "file_id\na\n".encode("utf-16"),
        b'{"file_id":"a","media_id":"1"}\n{"file_id":"a","media_id":"2"}\n',
        NOT_TEXT,
    ],
)
async def test_the_total_is_the_number_of_ids_that_are_read_then(tmp_path: Path, content: bytes):
    with opened(tmp_path / "ids", content) as source:
        stream = IdStream((), source, FILE)
        assert stream.look_ahead() == len(await ids_of(stream))


@pytest.mark.anyio
async def test_ids_that_are_done_are_left_out_and_counted(tmp_path: Path):
    with opened(tmp_path / "ids", b"c\na\nd\nd\n") as source:
        stream = IdStream(["a", "b"], source, FILE, {"a", "d"})
        assert stream.look_ahead() == 2
        assert await ids_of(stream) == ["b", "c"]
        assert stream.skipped == 4


@pytest.mark.anyio
async def test_an_input_whose_ids_are_all_done_is_no_empty_input(tmp_path: Path):
    with opened(tmp_path / "ids", b"a\n") as source:
        stream = IdStream((), source, FILE, {"a"})
        assert stream.look_ahead() == 0
        assert await ids_of(stream) == []


@pytest.mark.anyio
async def test_an_input_without_ids_is_an_error_ahead_and_in_the_end(tmp_path: Path):
    with opened(tmp_path / "ids", b"\n \r\n# none\n") as source:
        stream = IdStream((), source, FILE)
        with pytest.raises(CommandFailed, match="has no ids") as caught:
            stream.look_ahead()
        assert caught.value.code is ExitCode.INPUT
        with pytest.raises(CommandFailed, match="has no ids"):
            await ids_of(stream)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Media Name\na\n", "ids: the first record is no id and names no known column"),
        (b'file_id,note\na,ok\nb,"cut', r"ids, line 3: a quote opens in this record and is not closed"),
        (packed(b"a\nb\n")[:-5], "ids: the gzip data ends before its end"),
    ],
)
def test_what_cannot_be_read_to_its_end_is_seen_before_anything_is_sent(tmp_path: Path, content: bytes, message: str):
    with opened(tmp_path / "ids", content) as source:
        with pytest.raises(CommandFailed, match=message) as caught:
            IdStream(["a"], source, FILE).look_ahead()
        assert caught.value.code is ExitCode.INPUT
        assert os.lseek(source.descriptor, 0, os.SEEK_CUR) == 0


def test_a_file_that_is_too_large_to_be_read_twice_has_no_total(tmp_path: Path):
    with opened(tmp_path / "ids", b"a\n") as source:
        os.truncate(tmp_path / "ids", MAX_COUNTED_SIZE + 1)
        assert IdStream((), source, FILE).look_ahead() is None


def test_nor_has_one_that_is_large_once_it_is_unpacked(tmp_path: Path):
    with opened(tmp_path / "ids", packed(b"a\n" + bytes(MAX_COUNTED_SIZE))) as source:
        assert IdStream((), source, FILE).look_ahead() is None


def test_the_header_of_a_file_of_any_size_is_looked_at(tmp_path: Path):
    with opened(tmp_path / "ids", b"Media Name,Size\n" + b"a,1\n" * 100) as source:
        os.truncate(tmp_path / "ids", MAX_COUNTED_SIZE + 1)
        with pytest.raises(CommandFailed, match="'Media Name', 'Size'"):
            IdStream((), source, FILE).look_ahead()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_has_no_total_and_is_not_read_ahead(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    source = open_input(str(tmp_path / "pipe"))
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    try:
        os.write(writer, b"a\n")
        assert IdStream((), source, FILE).look_ahead() is None
        assert os.read(source.descriptor, 10) == b"a\n"
    finally:
        os.close(writer)
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
