"""What one id turns into: the request, its payload, the reply's shapes, and reprs that show no URL."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from genesys_media_async.api.replies import ErrorBody
from genesys_media_async.errors import InvalidRequestError, NotFoundError, sanitized
from genesys_media_async.ids import correlation_id
from genesys_media_async.models import DownloadUrl, MediaRequest, MediaResult, check_access_level, check_lifetime

SIGNED = "https://media.example.com/a.wav?X-Signature=canary-signature"


def reply(**changes: Any) -> bytes:
    whole = {"url": SIGNED, "expiresIn": 3_600, "fileName": "a.wav", "contentType": "audio/wav"}
    return json.dumps({name: value for name, value in {**whole, **changes}.items() if value != "left out"}).encode()


class TestAnId:
    @pytest.mark.parametrize(
        "file_id",
        ["a", "7", "_", "-", "5a1d7e4c-2f9b-4d7e-8a57-3f0c8b6f1e2d", "A.b_c-9", "a..b", "a.", "x" * 128],
    )
    def test_of_plain_characters_is_taken(self, file_id: str) -> None:
        assert MediaRequest(file_id).file_id == file_id

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
    def test_that_could_reach_another_endpoint_or_none_is_refused(self, file_id: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            MediaRequest(file_id)
        assert caught.value.code == "invalid_file_id"
        assert caught.value.advice
        assert not caught.value.retryable
        said = str(caught.value)
        assert said.isprintable()
        assert "canary" not in said
        assert len(said) < 300

    @given(st.text())
    @settings(deadline=None, max_examples=200)
    def test_that_is_taken_is_the_same_once_it_is_quoted(self, file_id: str) -> None:
        try:
            request = MediaRequest(file_id)
        except InvalidRequestError:
            return
        assert set(request.file_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
        assert not request.file_id.startswith(".")
        assert 1 <= len(request.file_id) <= 128

    @given(
        file_id=st.one_of(st.text(), st.text("aZ0._-/\n\ud800", max_size=140)),
        form=st.sampled_from(["fileId", "a/b", "a/b/c"]),
    )
    @settings(deadline=None, max_examples=300)
    def test_is_taken_if_each_of_its_parts_is_of_plain_characters(self, file_id: str, form: str) -> None:
        part = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
        plain = re.fullmatch("/".join([part] * len(form.split("/"))), file_id) and len(file_id) <= 128
        try:
            taken = MediaRequest(file_id, form=form).file_id == file_id
        except InvalidRequestError:
            taken = False
        assert taken == bool(plain)


class TestALife:
    @pytest.mark.parametrize("seconds", [1, 2, 3_600, 86_400])
    def test_from_a_second_to_a_day_is_taken(self, seconds: int) -> None:
        assert MediaRequest("a", expires_in=seconds).expires_in == seconds
        assert check_lifetime(seconds) == seconds

    @pytest.mark.parametrize("seconds", [0, -1, 86_401, 10**30, True, False, 3_600.0, "3600", None, float("nan"), [1]])
    def test_that_is_anything_else_is_refused(self, seconds: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            MediaRequest("a", expires_in=seconds)
        assert caught.value.code == "invalid_expires_in"
        assert "86400" in str(caught.value)


class TestAnAccessLevel:
    @pytest.mark.parametrize("level", [None, "private", "Public", "a:b", "a.b_c-1", "7", "x" * 64])
    def test_that_is_a_plain_word_is_taken(self, level: str | None) -> None:
        assert MediaRequest("a", access_level=level).access_level == level

    @pytest.mark.parametrize("level", ["", " ", "a b", "-a", ".a", "a\n", "ä", "x" * 65, 7, b"a", "a/b", 'a"b', False])
    def test_that_is_anything_else_is_refused(self, level: Any) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            MediaRequest("a", access_level=level)
        assert caught.value.code == "invalid_access_level"
        with pytest.raises(InvalidRequestError):
            check_access_level(level)


class TestThePayload:
    def test_is_the_agreed_json(self) -> None:
        assert MediaRequest("f-1", 60).payload() == b'{"fileId":"f-1","expiresIn":60}'
        assert json.loads(MediaRequest("f-1", 60, "private").payload()) == {
            "fileId": "f-1",
            "expiresIn": 60,
            "accessLevel": "private",
        }


class TestAReply:
    def test_becomes_a_url_that_knows_when_it_ends(self) -> None:
        url = DownloadUrl.from_reply(reply(accessLevel="private", unknown={"a": 1}), sent_at=1_700_000_000.5)
        assert url == DownloadUrl(
            url=SIGNED,
            ends_at=1_700_003_600.5,
            expires_in=3_600,
            file_name="a.wav",
            content_type="audio/wav",
            access_level="private",
        )
        assert url.expires_at == datetime(2023, 11, 14, 23, 13, 20, 500_000, tzinfo=UTC)
        assert url.remaining(1_700_000_000.5) == pytest.approx(3_600)
        assert url.remaining(1_700_003_601.5) == pytest.approx(-1)

    @pytest.mark.parametrize("left_out", ["fileName", "contentType", "accessLevel"])
    @pytest.mark.parametrize("value", [None, "left out"])
    def test_may_lack_what_is_not_needed(self, left_out: str, value: str | None) -> None:
        DownloadUrl.from_reply(reply(**{left_out: value}), sent_at=0)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"text"',
            b"<html>",
            b"\xff",
            b"[" * 10_000,
            reply(url="left out"),
            reply(url=None),
            reply(url=""),
            reply(url=7),
            reply(url=["a"]),
            reply(expiresIn="left out"),
            reply(expiresIn=None),
            reply(expiresIn=0),
            reply(expiresIn=-1),
            reply(expiresIn="3600"),
            reply(expiresIn=True),
            reply(expiresIn=1.5),
            reply(fileName=7),
            reply(contentType=["audio/wav"]),
            reply(accessLevel=False),
            reply()[:-1],
        ],
    )
    def test_of_another_shape_is_refused_and_its_url_not_shown(self, body: bytes) -> None:
        with pytest.raises(ValidationError) as caught:
            DownloadUrl.from_reply(body, sent_at=0)
        assert "canary" not in str(caught.value)

    @pytest.mark.parametrize("zeros", [12, 30, 400])
    def test_that_lives_beyond_any_date_is_refused(self, zeros: int) -> None:
        with pytest.raises(ValidationError, match="expiresIn"):
            DownloadUrl.from_reply(b'{"url": "https://a.test/", "expiresIn": 1%s}' % (b"0" * zeros), sent_at=0)

    @given(expires_in=st.integers(1, 10**12), sent_at=st.floats(0, 10**10))
    @settings(deadline=None, max_examples=100)
    def test_that_is_taken_ends_on_a_date(self, expires_in: int, sent_at: float) -> None:
        try:
            url = DownloadUrl.from_reply(reply(expiresIn=expires_in), sent_at=sent_at)
        except ValidationError:
            assert expires_in > 10**11
        else:
            assert url.expires_at.timestamp() == pytest.approx(sent_at + expires_in)

    @given(st.binary(max_size=60))
    @settings(deadline=None, max_examples=100)
    def test_of_any_bytes_is_a_url_or_a_validation_error(self, body: bytes) -> None:
        with pytest.raises(ValidationError):
            DownloadUrl.from_reply(body, sent_at=0)


class TestAUrl:
    @pytest.mark.parametrize(
        ("url", "host"),
        [
            (SIGNED, "media.example.com"),
            ("https://MEDIA.example.com:8443/", "media.example.com"),
            ("https://user:canary@media.example.com/", "media.example.com"),
            ("/path", None),
            ("", None),
            ("https://[broken/", None),
        ],
    )
    def test_knows_its_host(self, url: str, host: str | None) -> None:
        assert DownloadUrl(url, 1_900_000_000.0, 60).host == host

    def test_shows_itself_in_no_repr(self) -> None:
        url = DownloadUrl.from_reply(reply(), sent_at=0)
        for shown in (repr(url), str(url), f"{url}", repr(MediaResult("f-1", url)), repr([url])):
            assert "canary" not in shown
            assert "media.example.com" not in shown


class TestAResult:
    def test_is_ok_with_a_url_and_unwraps_to_it(self) -> None:
        url = DownloadUrl.from_reply(reply(), sent_at=0)
        result = MediaResult("f-1", url)
        assert result.ok
        assert result.unwrap() is url

    def test_is_not_ok_with_an_error_and_raises_it(self) -> None:
        error = NotFoundError("Genesys answered 404.", status_code=404)
        result = Failed("f-1", error)
        assert not result.ok
        with pytest.raises(NotFoundError) as caught:
            result.unwrap()
        assert caught.value is error

    def test_with_neither_is_a_fault_of_whoever_made_it(self) -> None:
        with pytest.raises(RuntimeError, match="neither"):
            MediaResult("f-1").unwrap()


@pytest.mark.parametrize(
    "body", [b"{}", b'{"code": null}', b'{"code": "a", "message": "b", "contextId": "c", "status": 400, "errors": []}']
)
def test_an_error_body_may_lack_anything_and_have_more(body: bytes) -> None:
    ErrorBody.model_validate_json(body)


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
def test_a_correlation_id_is_found_under_either_name_and_made_printable(
    headers: dict[str, str], expected: str | None
) -> None:
    assert correlation_id(headers) == expected


def test_a_correlation_id_is_bounded() -> None:
    assert len(correlation_id({"inin-correlation-id": "x" * 10_000}) or "") <= 64


@given(st.one_of(st.text(min_size=1), st.text("a0-_.: ?\x1b\u0661", min_size=1, max_size=80)))
@settings(deadline=None, max_examples=300)
def test_a_correlation_id_is_quoted_as_any_foreign_text_is(text: str) -> None:
    assert correlation_id({"inin-correlation-id": text}) == sanitized(text, 64)
