"""Masks: what of a server's words is a secret of ours."""

from __future__ import annotations

import base64
import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.api.masks import MIN_SECRET, Mask
from genesys_media_async.errors import APIStatusError, sanitized
from genesys_media_async.settings.settings import Settings
from genesys_media_async.transports.base import HttpReply

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "canary/+=&<secret>'\"~"
TOKEN = "canary-token_0123456789"

ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded as a path": quote,
    "percent-encoded in lower case": lambda text: quote(text, safe="").lower(),
    "as a form": quote_plus,
    "in JSON": json.dumps,
    "in PHP's JSON": lambda text: json.dumps(text).replace("/", r"\/"),
    "in Go's JSON": lambda text: json.dumps(text).translate({ord(each): f"\\u{ord(each):04x}" for each in "<>&"}),
    "in .NET's JSON": lambda text: json.dumps(text).translate({ord(each): f"\\u{ord(each):04X}" for each in "<>&'=+"}),
    "in HTML": html.escape,
    "in Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in Base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "in Base64 after a user": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "in Base64 in the middle": lambda text: base64.b64encode(f"Bearer {text} is bad".encode()).decode(),
}


def configured(**changes: object) -> Settings:
    return Settings.checked({"client_id": "client", "client_secret": SECRET} | changes)


@pytest.mark.parametrize("how", ECHOES)
@pytest.mark.parametrize("secret", [SECRET, TOKEN])
def test_an_echo_is_masked_in_every_spelling(how: str, secret: str) -> None:
    mask = Mask.of(configured()).including(TOKEN)
    # Lower case leaves the letters of these secrets as they are.
    echo = ECHOES[how](secret)
    shown = mask.text(f"your secret {echo} is bad")
    assert "canary" not in shown
    assert base64.b64encode(b"canary").decode()[:7] not in shown
    assert shown.startswith("your secret ")
    assert shown.endswith(" is bad")
    reply = mask.reply(HttpReply(403, {"x-debug": f"a {echo} b"}, f'{{"message": {json.dumps(echo)}}}'.encode()))
    assert "canary" not in reply.headers["x-debug"]
    assert "JSON" in how or b"canary" not in reply.body


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=MIN_SECRET, max_size=40), st.data())
@settings(deadline=None, max_examples=200)
def test_any_secret_is_masked_anywhere(secret: str, data: st.DataObject) -> None:
    if secret[0] == secret[-1] and secret[0] in "\"'`":
        secret = f"x{secret}"
    mask = Mask.of(configured(client_secret=secret))
    before, after = data.draw(st.text(max_size=9)), data.draw(st.text(max_size=9))
    echo = ECHOES[data.draw(st.sampled_from(["as it is", "percent-encoded", "in HTML", "as a form"]))](secret)
    assert echo not in mask.text(f"{before}{echo}{after}")


def test_the_credentials_of_the_client_and_of_proxies_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://user:canary-environment@proxy.example.com:3128")
    monkeypatch.setenv("ftp_proxy", "http://[broken")
    mask = Mask.of(configured(proxy="http://user:canary%2Dpassword@proxy.example.com:3128"))
    for canary in ("canary-environment", "canary-password", "user:canary-password", f"client:{SECRET}"):
        basic = base64.b64encode(canary.encode()).decode()
        assert "canary" not in mask.text(canary)
        assert basic.rstrip("=")[:-1] not in mask.text(basic)


def test_what_is_too_short_to_be_told_from_other_words_is_left() -> None:
    mask = Mask.of(configured(client_secret="secret", access_token="t" * (MIN_SECRET - 1)))
    assert mask.text("the secret is not t-shirt") == "the secret is not t-shirt"


def test_the_token_before_is_masked_too_and_older_ones_are_not_kept() -> None:
    mask = Mask.of(configured())
    for number in range(5):
        mask = mask.including(f"canary-{number}")
    assert mask.text("canary-4 canary-3 canary-2") == "… … canary-2"
    assert len(mask.secrets) == 4


@pytest.mark.parametrize("length", range(15, 60))
def test_the_beginning_of_a_secret_that_was_cut_is_masked(length: int) -> None:
    mask = Mask.of(configured()).including(TOKEN)
    shown = mask.text(f"Genesys answered 403 ({sanitized(f'not with {TOKEN}, but with {SECRET}', length)}).")
    assert "canary-t" not in shown
    assert "canary/+" not in shown


def test_an_error_is_masked_in_all_its_members() -> None:
    words = f"bad {TOKEN}"
    error = APIStatusError(words, code=words, advice=words, correlation_id=words, context_id=words, status_code=403)
    masked = Mask.of(configured()).including(TOKEN).error(error)
    assert masked is error
    assert "canary" not in f"{error!r} {error} {vars(error)} {error.args}"
    assert (error.message, error.status_code) == ("bad …", 403)


def test_a_reply_without_an_echo_stays_as_it_is() -> None:
    reply = HttpReply(404, {"a": "b"}, b'{"code": "not.found"}')
    assert Mask.of(configured()).reply(reply) is reply


def test_no_repr_shows_a_secret() -> None:
    assert repr(Mask.of(configured()).including(TOKEN)) == "<Mask of 3 secrets>"
