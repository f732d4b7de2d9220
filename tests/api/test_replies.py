"""Errors for replies: the class, the code in snake_case, and the requested wait."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.api.replies import error_from, repaired_json, retry_after_of, snake_case
from genesys_media_async.errors import (
    APIStatusError,
    GenesysMediaError,
    InternalServerError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    TokenRejectedError,
)
from genesys_media_async.transports import HttpReply

WALL = 1_700_000_000.0


def error_of(status: int, body: object = None, **headers: str) -> GenesysMediaError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return error_from(HttpReply(status, named, raw), wall=WALL)


class TestClass:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, APIStatusError),
            (401, TokenRejectedError),
            (403, PermissionDeniedError),
            (404, NotFoundError),
            (408, APIStatusError),
            (429, RateLimitError),
            (451, APIStatusError),
            (500, InternalServerError),
            (501, InternalServerError),
            (503, InternalServerError),
            (102, InvalidResponseError),
            (307, InvalidResponseError),
        ],
    )
    def test_follows_the_status(self, status: int, kind: type[GenesysMediaError]) -> None:
        error = error_of(status, {"code": "some.code"})
        assert type(error) is kind
        assert error.status_code == status

    def test_of_a_401_about_the_requested_thing_is_permission_denied(self) -> None:
        assert type(error_of(401, {"code": "unauthorized"})) is PermissionDeniedError
        assert type(error_of(401, {"code": "TokenRejectedError"})) is TokenRejectedError
        assert type(error_of(401, {"code": "bad.credentials"})) is TokenRejectedError

    @pytest.mark.parametrize(
        ("status", "retryable"), [(400, False), (404, False), (408, True), (429, True), (500, True), (501, False)]
    )
    def test_and_whether_a_later_try_can_succeed(self, status: int, retryable: bool) -> None:
        assert error_of(status).retryable is retryable

    def test_keeps_what_support_asks_for(self) -> None:
        error = error_of(404, {"code": "not.found", "contextId": "context-1"}, inin_correlation_id="correlation-1")
        assert (error.correlation_id, error.context_id) == ("correlation-1", "context-1")


PAGE = b"<html><head><title>\n Request blocked </title></head></html>"


class TestPage:
    @pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 451, 600, 999])
    def test_of_something_before_genesys_is_called_that(self, status: int) -> None:
        error = error_of(status, PAGE, content_type="text/html; charset=utf-8")
        assert type(error) is APIStatusError
        assert (error.code, error.status_code, error.retryable) == ("not_from_genesys", status, False)
        assert error.message == f'Something between here and Genesys answered {status} (text/html "Request blocked").'
        assert "role" not in str(error)
        assert "Check the id" not in str(error)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, TokenRejectedError), (429, RateLimitError), (502, InternalServerError), (520, InternalServerError)],
    )
    def test_keeps_the_class_that_decides_what_is_done(self, status: int, kind: type[GenesysMediaError]) -> None:
        error = error_of(status, b"upstream error", content_type="text/plain", retry_after="7")
        assert type(error) is kind
        assert (error.retryable, error.retry_after) == (status != 401, 7.0)
        assert error.message == f"Something between here and Genesys answered {status} (text/plain)."

    def test_of_a_status_that_may_pass_is_retryable(self) -> None:
        assert error_of(408, PAGE).retryable

    @pytest.mark.parametrize("body", [b"", b" ", b"{}", b"[]", b'{"error": "no"}', {"code": "forbidden"}])
    def test_is_neither_json_nor_nothing(self, body: object) -> None:
        assert type(error_of(403, body)) is PermissionDeniedError

    def test_is_genesyss_own_with_a_correlation_id(self) -> None:
        assert type(error_of(403, PAGE, inin_correlation_id="correlation-1")) is PermissionDeniedError
        assert type(error_of(404, PAGE, inin_correlation_id="correlation-1")) is NotFoundError

    @pytest.mark.parametrize(
        "body", [b"<title>", b"<title>" + b"x" * 70_000, b"<title " * 9_000, b"<title>\xff</title>"]
    )
    def test_may_have_any_title(self, body: bytes) -> None:
        error = error_of(403, body, content_type="a" * 70_000)
        assert len(error.message) < 250
        assert error.message.isprintable()


class TestRepair:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b'{"a": "b"}', b'{"a": "b"}'),
            (b'\xef\xbb\xbf{"a": "b"}', b'{"a": "b"}'),
            (b'{"a": "M\xfcller"}', '{"a": "M\ufffdller"}'.encode()),
            (rb'{"a": "\ud83d\ude00 \\ud83d \n"}', rb'{"a": "\ud83d\ude00 \\ud83d \n"}'),
            (rb'{"a": "\ud83d", "b": "\uDE00x"}', '{"a": "\ufffd", "b": "\ufffdx"}'.encode()),
            (rb'{"a": "\ud83d\ud83d\ude00"}', '{"a": "\ufffd\\ud83d\\ude00"}'.encode()),
            (b'{"a": "\xed\xa0\x80"}', '{"a": "\ufffd\ufffd\ufffd"}'.encode()),
        ],
    )
    def test_changes_only_what_the_encoding_forbids(self, body: bytes, expected: bytes) -> None:
        assert repaired_json(body) == expected

    @given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
    def test_leaves_good_json_as_it_is(self, value: object) -> None:
        for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
            assert repaired_json(text.encode()) == text.encode()

    @given(st.text(st.characters(categories=["Cs", "Ll"])))
    def test_makes_every_text_with_half_surrogates_readable(self, text: str) -> None:
        repaired = json.loads(repaired_json(json.dumps(text).encode()))
        repaired.encode()

    def test_lets_an_error_be_read_all_the_same(self) -> None:
        error = error_of(404, b'\xef\xbb\xbf{"code": "not.found", "message": "\\ud83d M\xfcller", "contextId": 7}')
        assert (type(error), error.code) == (NotFoundError, "not_found")
        assert "\ufffd M\ufffdller" in error.message


class TestCode:
    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("not.found", "not_found"),
            ("batch.download.job.not.found", "batch_download_job_not_found"),
            ("notFound", "not_found"),
            ("Not Found", "not_found"),
            ("NOT_FOUND", "not_found"),
            ("not-found", "not_found"),
            ("..not..found..", "not_found"),
            ("error 404", "error_404"),
            ("", ""),
            ("!", ""),
        ],
    )
    def test_is_genesyss_in_snake_case(self, code: str, expected: str) -> None:
        assert snake_case(code) == expected
        assert error_of(409, {"code": code}).code == (expected or "http_error")

    @given(st.text())
    def test_is_in_snake_case_whatever_the_reply_has(self, code: str) -> None:
        assert re.fullmatch(r"([a-z0-9]+(_[a-z0-9]+)*)?", snake_case(code))

    @pytest.mark.parametrize("body", [b"", b" ", b"[]", b'{"code": 7}', {"message": "only"}])
    def test_is_the_default_of_its_class_without_one(self, body: object) -> None:
        assert error_of(404, body).code == "not_found"

    def test_stays_as_genesys_wrote_it_in_the_message(self) -> None:
        assert (
            "(not.found: It is not there)" in error_of(404, {"code": "not.found", "message": "It is not there"}).message
        )

    def test_and_message_mask_secrets(self) -> None:
        error = error_of(403, {"code": "Bearer canary", "message": "no https://a.example/?sig=canary"})
        assert "canary" not in f"{error!r} {error.code}"


class TestWait:
    @pytest.mark.parametrize(
        ("header", "message", "seconds"),
        [
            ("7", "", 7.0),
            (None, "Rate limit exceeded the maximum. Retry the request in [12] seconds", 12.0),
            ("7", "Retry the request in [12] seconds", 7.0),
            ("soon", "retry the request in [12] seconds", 12.0),
            ("0", "retry the request in [12] seconds", 12.0),
            (None, "Retry the request in [-1] seconds", None),
            (None, "Retry the request in [0] seconds", None),
            (None, "Retry the request in [999999999] seconds", None),
            (None, "", None),
        ],
    )
    def test_is_in_the_header_or_in_the_message(self, header: str | None, message: str, seconds: float | None) -> None:
        headers = {} if header is None else {"retry-after": header}
        reply = HttpReply(429, headers, json.dumps({"message": message}).encode())
        assert retry_after_of(reply, wall=WALL) == seconds
        assert error_from(reply, wall=WALL).retry_after == seconds
