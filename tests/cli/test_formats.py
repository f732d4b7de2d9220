"""Results as lines of JSON, CSV and bare URLs."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from genesys_media_async import NotFoundError
from genesys_media_async.cli.output.formats import CSV_COLUMNS, csv_line, json_line, url_line
from genesys_media_async.errors import escaped
from genesys_media_async.models import Failed, ResultDict, Retrieved

ENDS_AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
RETRIEVED = Retrieved("a\n\u00fc", "https://media.example.com/a?Signature=canary", ENDS_AT, 60, "\u00fc.wav")

INVISIBLE = [
    *map(chr, (0x00, 0x07, 0x1B, 0x7F, 0x80, 0x85, 0x9B, 0x9F, 0xAD, 0x61C, 0x180E, 0xFEFF, 0xE0001)),
    *map(chr, (*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2065), *range(0x2066, 0x206A))),
    "\ud800",
]


class TestJson:
    def test_keeps_every_letter_and_stays_one_line(self):
        line = json_line(RETRIEVED)

        assert line.count(b"\n") == 1
        assert "\u00fc.wav".encode() in line
        assert json.loads(line)["file_id"] == "a\n\u00fc"

    @pytest.mark.parametrize("character", INVISIBLE)
    def test_escapes_what_a_terminal_would_obey_or_hide(self, character: str):
        result = Failed(f"a{character}b", NotFoundError(f"no {character}"))
        text = json_line(result).decode()
        assert character not in text.removesuffix("\n")
        assert json.loads(text) == result.as_dict()

    def test_is_the_dict_of_the_result(self):
        failed = Failed("a", NotFoundError("no"))
        for result in (RETRIEVED, failed):
            assert json.loads(json_line(result)) == result.as_dict()

    def test_returns_an_argument_that_is_not_text_as_it_was(self):
        name = b"\xff".decode(errors="surrogateescape")

        assert json.loads(json_line(Failed(name, NotFoundError("no"))))["file_id"] == name

    @given(
        st.text(st.characters(categories=None) | st.sampled_from('"\\/\n\x7f\u2028\ud800')),
        st.none() | st.text(st.characters(codec="utf-8")),
        st.floats(0.001, 1e9),
    )
    @settings(deadline=None)
    def test_is_what_the_json_module_writes_of_it(self, file_id: str, name: str | None, latency: float):
        result = replace(RETRIEVED, file_id=file_id, file_name=name, latency=latency)
        written = json.dumps(result.as_dict(), ensure_ascii=False, separators=(",", ":"))
        assert json_line(result) == escaped(written).encode() + b"\n"

    def test_is_written_of_a_subclass_of_text(self):
        class Id(StrEnum):
            FIRST = "f-1"

        class Name(str):
            __slots__ = ()

        named = replace(RETRIEVED, file_id=Id.FIRST, file_name=Name("a"))
        assert json_line(named) == json_line(replace(RETRIEVED, file_id="f-1", file_name="a"))


class TestCsv:
    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
    @pytest.mark.parametrize(
        "before", ["", " ", "\u00a0", "\u3000", "\t", "\r", "\n", "\x00", "\u200b", "\ufeff", " \t\n "]
    )
    def test_disarms_what_a_spreadsheet_would_run(self, before: str, sign: str):
        for cell in cells_of(f"{before}{sign}1+1"):
            assert cell.startswith("'")
            assert cell.endswith(f"{sign}1+1")

    @pytest.mark.parametrize("text", ["a;=1+1", "a\t=1+1", 'a";=1+1', "a,=1+1", "a\n=1+1", "a\r\n=1+1", "a\u2028=1+1"])
    def test_has_no_cell_that_another_separator_would_cut(self, text: str):
        line = csv_line(Failed(text, NotFoundError(text)))
        assert line.count(b"\n") == 1
        assert all(cell.startswith('"') for cell in line.decode().split('",'))
        assert b"\t" not in line

    @pytest.mark.parametrize("text", ["a", "a=1", "1+1", "'=1", "M\u00fcller \u682a\u5f0f\u3000\u4f1a\u793e.wav", ""])
    def test_leaves_any_other_text_as_it_is(self, text: str):
        assert cells_of(text) == [text, text]

    def test_has_a_column_for_each_key_of_a_result(self):
        assert ["schema_version", *CSV_COLUMNS] == [*ResultDict.__annotations__]

    def test_has_the_values_of_a_result(self):
        (row,) = csv.DictReader([replace_line_end(csv_line(replace(RETRIEVED, file_id="a")))], fieldnames=CSV_COLUMNS)
        assert (row["file_id"], row["expires_at"], row["expires_in"]) == ("a", "2030-01-02T03:04:05Z", "60")
        assert (row["error_code"], row["media_id"]) == ("", "")

    def test_has_the_values_of_an_error(self):
        failed = Failed("a", NotFoundError("no", status_code=404), media_id="a/1")
        (row,) = csv.DictReader([replace_line_end(csv_line(failed))], fieldnames=CSV_COLUMNS)
        assert (row["error_code"], row["error_retryable"]) == ("not_found", "false")
        assert (row["error_status_code"], row["media_id"]) == ("404", "a/1")


def cells_of(text: str) -> list[str]:
    """Return what a reader of CSV finds in the two cells that hold this text: as an id and in a message."""
    line = csv_line(Failed(text, NotFoundError(text, advice="")))
    (row,) = csv.DictReader([replace_line_end(line)], fieldnames=CSV_COLUMNS)
    return [row["file_id"], row["error_message"]]


def replace_line_end(line: bytes) -> str:
    return line.decode().removesuffix("\r\n")


class TestUrls:
    def test_are_bare(self):
        assert url_line(RETRIEVED) == b"https://media.example.com/a?Signature=canary\n"

    def test_leave_failures_out(self):
        assert url_line(Failed("a", NotFoundError("no"))) == b""
