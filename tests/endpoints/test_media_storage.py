"""Media storage: the body of the request, and the shape of the reply."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.endpoints import MediaStorage
from genesys_media_async.endpoints.media_storage import read_reply
from genesys_media_async.errors import InvalidResponseError
from genesys_media_async.models import DownloadUrl, MediaRequest
from genesys_media_async.settings.policies import ValidationRule
from genesys_media_async.transports.base import HttpReply
from tests.support.scripted_context import ScriptedContext, in_turn

SIGNED = "https://media.example.com/a.wav?X-Signature=canary-signature"
REQUEST = MediaRequest("f-1", 3_600)


def reply(**changes: Any) -> bytes:
    whole = {"url": SIGNED, "expiresIn": 3_600, "fileName": "a.wav", "contentType": "audio/wav"}
    return json.dumps({name: value for name, value in {**whole, **changes}.items() if value != "left out"}).encode()


def read(body: bytes, *, sent_at: float = 0.0, rule: ValidationRule | None = None) -> DownloadUrl:
    anything = ValidationRule(content_types=("*/*",), max_lifetime=10**12)
    return read_reply(REQUEST, rule or anything, HttpReply(200, {"content-type": "application/json"}, body), sent_at)


class TestPayload:
    def test_the_body_is_the_agreed_json(self) -> None:
        context = ScriptedContext(in_turn(HttpReply(200, {}, reply())))
        for request in (MediaRequest("f-1", 60), MediaRequest("f-1", 60, "private")):
            context.clock.run(MediaStorage().retrieve((request,), context))
        assert [call.body for call in context.calls] == [
            b'{"fileId":"f-1","expiresIn":60}',
            b'{"fileId":"f-1","expiresIn":60,"accessLevel":"private"}',
        ]


class TestReply:
    def test_a_reply_becomes_a_url_with_its_end(self) -> None:
        url = read(reply(accessLevel="private", unknown={"a": 1}), sent_at=1_700_000_000.5)
        assert url == DownloadUrl(
            url=SIGNED,
            ends_at=1_700_003_600.5,
            expires_in=3_600,
            file_name="a.wav",
            content_type="audio/wav",
            access_level="private",
        )

    @pytest.mark.parametrize("name", ["fileName", "contentType", "accessLevel"])
    @pytest.mark.parametrize("value", [None, "left out"])
    def test_a_reply_may_lack_what_is_not_needed(self, name: str, value: str | None) -> None:
        read(reply(**{name: value}))

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
    def test_a_reply_of_another_shape_is_refused_and_its_url_not_shown(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError) as caught:
            read(body)
        assert "canary" not in f"{caught.value} {caught.value!r}"
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("zeros", [12, 30, 400])
    def test_a_lifetime_beyond_any_date_is_refused(self, zeros: int) -> None:
        with pytest.raises(InvalidResponseError, match="expiresIn"):
            read(b'{"url": "https://a.test/", "expiresIn": 1%s}' % (b"0" * zeros))

    @given(expires_in=st.integers(1, 10**12), sent_at=st.floats(0, 10**10))
    @settings(deadline=None, max_examples=100)
    def test_every_accepted_url_ends_on_a_date(self, expires_in: int, sent_at: float) -> None:
        try:
            url = read(reply(expiresIn=expires_in), sent_at=sent_at)
        except InvalidResponseError:
            assert expires_in > 10**11
        else:
            assert url.expires_at.timestamp() == pytest.approx(sent_at + expires_in)

    @given(st.binary(max_size=60))
    @settings(deadline=None, max_examples=100)
    def test_random_bytes_are_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidResponseError):
            read(body)
