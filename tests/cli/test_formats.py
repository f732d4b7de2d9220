"""Results as lines of JSON, CSV and bare URLs."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from genesys_media_async import NotFoundError
from genesys_media_async.cli.output.formats import CSV_COLUMNS, csv_line, json_line, url_line
from genesys_media_async.models import Failed, ResultDict, Retrieved

ENDS_AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
RETRIEVED = Retrieved("a\n\u00fc", "https://media.example.com/a?Signature=canary", ENDS_AT, 60, "\u00fc.wav")


class TestJson:
    def test_keeps_every_letter_and_stays_one_line(self):
        line = json_line(RETRIEVED)

        assert line.count(b"\n") == 1
        assert "\u00fc.wav".encode() in line
        assert json.loads(line)["file_id"] == "a\n\u00fc"

    def test_is_the_dict_of_the_result(self):
        failed = Failed("a", NotFoundError("no"))
        for result in (RETRIEVED, failed):
            assert json.loads(json_line(result)) == result.as_dict()

    def test_returns_an_argument_that_is_not_text_as_it_was(self):
        name = b"\xff".decode(errors="surrogateescape")

        assert json.loads(json_line(Failed(name, NotFoundError("no"))))["file_id"] == name


class TestCsv:
    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_disarms_what_a_spreadsheet_would_run(self, start: str):
        line = csv_line(Failed(f"{start}1", NotFoundError(f"{start}2")))

        assert f"'{start}1".encode() in line
        assert f"'{start}2".encode() in line

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


def replace_line_end(line: bytes) -> str:
    return line.decode().removesuffix("\r\n")


class TestUrls:
    def test_are_bare(self):
        assert url_line(RETRIEVED) == b"https://media.example.com/a?Signature=canary\n"

    def test_leave_failures_out(self):
        assert url_line(Failed("a", NotFoundError("no"))) == b""
