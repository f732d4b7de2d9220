"""Media storage: msgspec reads a reply as pydantic does, which reads again what msgspec refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.endpoints import media_storage
from genesys_media_async.endpoints.media_storage import read_reply
from genesys_media_async.errors import GenesysMediaError
from genesys_media_async.models import MediaRequest
from genesys_media_async.settings.policies import ValidationRule
from genesys_media_async.transports.base import HttpReply

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST = MediaRequest("f-1")
RULE = ValidationRule(content_types=("*/*",), max_lifetime=10**12)
START = b'{"url":"https://a.test/","expiresIn":60'


def outcome(body: bytes) -> object:
    """Return the URL in a reply, or what its error says."""
    try:
        return read_reply(REQUEST, RULE, HttpReply(200, {}, body), 0.0)
    except GenesysMediaError as error:
        return type(error), error.code, error.retryable, str(error)


def outcome_by_pydantic(body: bytes) -> object:
    with patch.object(media_storage, "_decode", side_effect=msgspec.DecodeError):
        return outcome(body)


NAMES = [b"url", b"expiresIn", b"fileName", b"contentType", b"accessLevel", b"\\u0075rl", b"Url", b"", b"x", b"\xff"]
TOKENS = [
    *(b"0", b"-0", b"1", b"60", b"060", b"+1", b"60.0", b"1e3", b"1E3", b"6e-1", b"1.", b".5", b"-", b"1e999", b"1_0"),
    *(b"199999999999", b"200000000000", b"9223372036854775808", b"18446744073709551616", b"9" * 40, b"-" + b"9" * 40),
    *(b"true", b"false", b"null", b"nul", b"NaN", b"Infinity", b"-Infinity", b"{}", b"[]", b'{"a":[1]}', b"[1,]", b""),
    *(b'"60"', b'""', b'"audio/wav"', b'"a', b"'a'", b'"\x00"', b'"\n"', b'"\x7f"', b'"\\x"', b'"\\/\\b\\u00E9"'),
    *(b'"\\ud83d\\ude00"', b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\ud800"', b'"\\ud800a"', b'"\\ud8zz"', b'"\\u12"'),
    *(b'"\xff"', b'"\xc3"', b'"\xc3\xa9"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xef\xbb\xbf"'),
    *(b'"https://a.test/"', b'"https://a.test/\\u0061?b=%20"', b'"http://a.test/"', b'"https://a.test/ "'),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(categories=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
VALUE = st.sampled_from(TOKENS) | JSON.map(lambda value: json.dumps(value).encode())
MEMBER = st.tuples(st.sampled_from(NAMES), VALUE).map(lambda member: b'"%b":%b' % member)


@given(
    members=st.lists(MEMBER, max_size=4),
    first=st.booleans(),
    before=st.sampled_from([b"", b" ", b"\n\t\r ", b"\xef\xbb\xbf", b"\x0c", b"\x00", b"["]),
    after=st.sampled_from([b"", b" ", b"\n", b"\x00", b"x", b"{}", b"]", b"\xff"]),
)
@settings(deadline=None, max_examples=600)
def test_any_members_are_read_as_by_pydantic(
    members: Sequence[bytes], first: bool, before: bytes, after: bytes
) -> None:
    whole = [START[1:], *members] if first else [*members, START[1:]]
    for chosen in (whole, members):
        body = before + b"{" + b",".join(chosen) + b"}" + after
        assert outcome(body) == outcome_by_pydantic(body)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("token", TOKENS)
def test_any_value_of_a_member_is_read_as_by_pydantic(name: bytes, token: bytes) -> None:
    for body in (b'%b,"%b":%b}' % (START, name, token), b'{"%b":%b,%b}' % (name, token, START[1:])):
        assert outcome(body) == outcome_by_pydantic(body)


@given(at=st.integers(0, 60), removed=st.integers(0, 3), added=st.binary(max_size=3))
@example(0, 0, b"\xef\xbb\xbf")
@settings(deadline=None, max_examples=500)
def test_any_damage_is_read_as_by_pydantic(at: int, removed: int, added: bytes) -> None:
    body = START + b',"fileName":"a\\u00e9.wav","x":[1.5]}'
    body = body[:at] + added + body[at + removed :]
    assert outcome(body) == outcome_by_pydantic(body)


@given(JSON | st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_json_and_any_bytes_are_read_as_by_pydantic(value: object) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    assert outcome(body) == outcome_by_pydantic(body)


@pytest.mark.parametrize("opening", [b"[", b'{"url":', b'{"x":', b'[{"x":'])
@pytest.mark.parametrize("depth", [2, 150, 500, 1_000, 20_000])
@pytest.mark.parametrize("start", [b"", START + b',"fileName":'])
def test_a_reply_however_deeply_nested_is_refused_as_by_pydantic(start: bytes, opening: bytes, depth: int) -> None:
    closing = {b"[": b"]", b'[{"x":': b"}]"}.get(opening, b"}")
    for inside, end in ((b"1", closing * depth), (b"", b"")):
        body = start + opening * depth + inside + end + (b"}" if start else b"")
        assert outcome(body) == outcome_by_pydantic(body)
        assert isinstance(outcome(body), tuple)


@pytest.mark.parametrize("value", [b"[" * 300 + b"]" * 300, b"9" * 5_000])
def test_a_member_that_nobody_needs_is_read_over_even_if_pydantic_cannot(value: bytes) -> None:
    body = START + b',"x":' + value + b"}"
    assert outcome(body) == outcome(START + b"}")
    assert isinstance(outcome_by_pydantic(body), tuple)


def test_a_member_that_nobody_needs_and_msgspec_cannot_read_over_is_no_other_error() -> None:
    body = START + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    assert outcome(body) == outcome_by_pydantic(body)
