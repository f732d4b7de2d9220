"""Ids: what a file id may be, and correlation ids."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.errors import InvalidRequestError, sanitized
from genesys_media_async.ids import check_file_id, correlation_id, display_id, exact_str, is_file_id


class Id(StrEnum):
    """Ids as members of an enum, which is text with a `repr` of its own."""

    FIRST = "f-1"


class Rude:
    """An object that refuses to be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError


class TestFileIds:
    @pytest.mark.parametrize(
        "file_id",
        ["a", "7", "_", "-", "5a1d7e4c-2f9b-4d7e-8a57-3f0c8b6f1e2d", "A.b_c-9", "a..b", "a.", "x" * 128],
    )
    def test_an_id_of_plain_characters_is_valid(self, file_id: str) -> None:
        assert check_file_id(file_id) == file_id
        assert is_file_id(file_id)

    @pytest.mark.parametrize(
        "file_id",
        [
            "",
            " ",
            ".",
            "..",
            ".a",
            "...",
            "a/b",
            "../a",
            "a\\b",
            "a b",
            " a",
            "a ",
            "a\n",
            "\na",
            "a\x00",
            "%2e%2e",
            "a%2Fb",
            "a?b",
            "a#b",
            "a;b",
            "a:b",
            "a@b",
            "{fileId}",
            "ä",
            "\u0661",
            "\uff41",
            "\ud800",
            "x" * 129,
            None,
            7,
            b"a",
            ["a"],
            "https://media.example.com/?canary",
        ],
    )
    def test_an_id_that_could_reach_another_endpoint_is_refused(self, file_id: Any) -> None:
        assert not is_file_id(file_id)
        with pytest.raises(InvalidRequestError) as caught:
            check_file_id(file_id)
        assert caught.value.code == "invalid_file_id"
        assert caught.value.advice
        assert not caught.value.retryable
        message = str(caught.value)
        assert message.isprintable()
        assert "canary" not in message
        assert len(message) < 300

    @given(st.text())
    @settings(deadline=None, max_examples=200)
    def test_a_valid_id_needs_no_quoting(self, file_id: str) -> None:
        if not is_file_id(file_id):
            return
        assert quote(file_id, safe="") == file_id
        assert set(file_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
        assert not file_id.startswith(".")
        assert 1 <= len(file_id) <= 128

    @given(
        file_id=st.one_of(st.text(), st.text("aZ0._-/\n\ud800", max_size=140)),
        id_format=st.sampled_from(["fileId", "a/b", "a/b/c"]),
    )
    @settings(deadline=None, max_examples=300)
    def test_an_id_is_valid_if_each_of_its_parts_is(self, file_id: str, id_format: str) -> None:
        part = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
        plain = re.fullmatch("/".join([part] * len(id_format.split("/"))), file_id) and len(file_id) <= 128
        try:
            valid = check_file_id(file_id, id_format) == file_id
        except InvalidRequestError:
            valid = False
        assert valid == bool(plain)

    def test_an_id_with_the_wrong_number_of_parts_is_refused_with_the_format(self) -> None:
        with pytest.raises(InvalidRequestError, match=r"has 1 part instead of 2\. Write it as a/b\."):
            check_file_id("x", "a/b")
        for lacking in ("a/", "/b"):
            with pytest.raises(InvalidRequestError, match=r"has an empty part\. Write it as a/b\."):
                check_file_id(lacking, "a/b")

    def test_a_subclass_of_str_becomes_an_exact_str(self) -> None:
        assert type(check_file_id(Id.FIRST)) is str
        assert type(exact_str(Id.FIRST)) is str
        other: object = 7
        assert exact_str(other) == other

    @pytest.mark.parametrize(
        ("given", "shown"), [("f-1", "f-1"), (Id.FIRST, "f-1"), (7, "7"), (None, "None"), (Rude(), "<Rude>")]
    )
    def test_anything_given_for_an_id_can_be_displayed(self, given: object, shown: str) -> None:
        assert display_id(given) == shown


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"inin-correlation-id": "a-1"}, "a-1"),
        ({"genesys-correlation-id": "a-2"}, "a-2"),
        ({"inin-correlation-id": "a-1", "genesys-correlation-id": "a-2"}, "a-1"),
        ({"inin-correlation-id": ""}, None),
        ({"inin-correlation-id": "a\x1b[31mb"}, "a [31mb"),
    ],
)
def test_a_correlation_id_is_found_under_either_name_and_is_printable(
    headers: dict[str, str], expected: str | None
) -> None:
    assert correlation_id(headers) == expected


def test_a_correlation_id_is_bounded() -> None:
    assert len(correlation_id({"inin-correlation-id": "x" * 10_000}) or "") <= 64


@given(st.one_of(st.text(min_size=1), st.text("a0-_.: ?\x1b\u0661", min_size=1, max_size=80)))
@settings(deadline=None, max_examples=300)
def test_a_correlation_id_is_sanitized_as_any_foreign_text(text: str) -> None:
    assert correlation_id({"inin-correlation-id": text}) == sanitized(text, 64)
