"""Errors: the tree in the docstring, codes, messages, and quoted text."""

from __future__ import annotations

import inspect
import json
import pickle
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async import errors
from genesys_media_async.endpoints.validation import check
from genesys_media_async.errors import (
    APIStatusError,
    AuthenticationError,
    GenesysMediaError,
    NotFoundError,
    RateLimitError,
    TokenRejectedError,
    escaped,
    sanitized,
)
from genesys_media_async.models import DownloadUrl, MediaRequest
from genesys_media_async.settings.policies import ValidationRule

ALL = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, GenesysMediaError)]
URL_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/?#[]@!$&'()*+,;=%-"


def drawn_tree() -> dict[str, str | None]:
    """Return each class in the docstring's drawing with its base."""
    parents: dict[str, str | None] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)(?:  |$)", line)
        if match:
            depth = len(match[1]) // 4
            parents[match[2]] = above[depth - 1] if depth else None
            above[depth] = match[2]
    return parents


def real_tree() -> dict[str, str | None]:
    return {each.__name__: None if each is GenesysMediaError else each.__mro__[1].__name__ for each in ALL}


class TestTree:
    def test_the_docstring_draws_the_tree(self) -> None:
        assert drawn_tree() == real_tree()

    def test_every_class_is_below_one_root(self) -> None:
        assert len(ALL) > 15
        assert {each.__name__ for each in ALL if len(each.__bases__) > 1} == {"TokenRejectedError"}
        assert [name for name, parent in real_tree().items() if parent is None] == ["GenesysMediaError"]

    @pytest.mark.parametrize("kind", ALL)
    def test_every_class_has_a_code_and_a_docstring(self, kind: type[GenesysMediaError]) -> None:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.default_code)
        assert kind.__doc__
        assert kind("x").code == kind.default_code

    def test_every_class_has_a_code_of_its_own(self) -> None:
        codes = [kind.default_code for kind in ALL]
        assert len(codes) == len(set(codes))

    @pytest.mark.parametrize("kind", [each for each in ALL if each.__subclasses__() == [] and each.default_retryable])
    def test_every_transient_error_has_advice(self, kind: type[GenesysMediaError]) -> None:
        if kind.__name__ != "TokenUnavailableError":  # whoever raises it knows better
            assert kind.default_advice

    @pytest.mark.parametrize(
        ("name", "retryable"),
        [
            ("GenesysMediaError", False),
            ("SettingsError", False),
            ("InvalidRequestError", False),
            ("CredentialsRejectedError", False),
            ("TokenUnavailableError", True),
            ("TokenRejectedError", False),
            ("PermissionDeniedError", False),
            ("NotFoundError", False),
            ("RateLimitError", True),
            ("InternalServerError", True),
            ("APIConnectionError", True),
            ("ConnectError", True),
            ("APITimeoutError", True),
            ("InvalidResponseError", True),
            ("UrlRejectedError", False),
            ("DeadlineExceededError", True),
            ("AuditWriteError", True),
        ],
    )
    def test_retryable_is_right_for_each_class(self, name: str, retryable: bool) -> None:
        assert getattr(errors, name)("x").retryable is retryable


class TestError:
    def test_the_message_ends_with_the_repair_and_the_correlation_id(self) -> None:
        error = NotFoundError("Genesys answered 404.", correlation_id="corr-1")
        assert str(error) == f"Genesys answered 404. {NotFoundError.default_advice} (correlation id corr-1)"
        assert repr(error) == f"NotFoundError({str(error)!r}, code='not_found', retryable=False)"

    def test_arguments_win_over_the_defaults_of_the_class(self) -> None:
        error = RateLimitError(
            "x",
            code="c",
            retryable=False,
            advice="",
            status_code=429,
            correlation_id="i",
            context_id="j",
            retry_after=0.0,
        )
        assert (error.code, error.retryable, error.advice, error.status_code) == ("c", False, "", 429)
        assert (error.correlation_id, error.context_id, error.retry_after) == ("i", "j", 0.0)
        assert str(error) == "x (correlation id i)"

    def test_members_that_are_not_given_are_none(self) -> None:
        error = GenesysMediaError("x")
        assert (error.status_code, error.correlation_id, error.context_id, error.retry_after) == (
            None,
            None,
            None,
            None,
        )
        assert str(error) == "x"

    def test_a_rejected_token_is_both_an_authentication_error_and_a_status_error(self) -> None:
        error = TokenRejectedError("Genesys answered 401.", status_code=401)
        assert isinstance(error, AuthenticationError)
        assert isinstance(error, APIStatusError)

    @pytest.mark.parametrize("kind", ALL)
    def test_pickle_keeps_the_class_and_all_members(self, kind: type[GenesysMediaError]) -> None:
        error = kind("x", code="c", retryable=True, advice="y", status_code=1, correlation_id="i", retry_after=2.0)
        error.context_id = "j"
        error.add_note("a note")
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == str(error)

    def test_without_frames_an_error_keeps_no_locals_alive(self) -> None:
        def fail() -> None:
            try:
                int("canary")
            except ValueError as inner:
                raise NotFoundError("x") from inner

        with pytest.raises(NotFoundError) as caught:
            fail()
        error = caught.value.without_frames()
        assert error is caught.value
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


class TestSanitized:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("plain", "plain"),
            ("  plain  ", "plain"),
            ("", ""),
            ("a\r\nb\tc\x00d\x1b[31me\u2028f\x85g", "a b c d [31me f g"),
            ("see https://a.test/x?sig=1&b=2 please", "see https://a.test/x?… please"),
            ("HTTPS://A.test?sig=1", "HTTPS://A.test?…"),
            ("http://a.test/?x http://b.test/?y", "http://a.test/?… http://b.test/?…"),
            ("https://a.test/x without a query", "https://a.test/x without a query"),
            ("what? no", "what? no"),
            ("Bearer abc.def-_~+/=", "Bearer …"),
            ("authorization: bearer   abc", "authorization: bearer …"),
            ("Basic Zm9vOmJhcg==", "Basic …"),
            ("Bearer\nabc", "Bearer …"),
            ("bearers of news", "bearers of news"),
            ("a\u202eb\u2066c\u200bd\ufeffe\u061cf\u200eg\ud800h", "a b c d e f g h"),
            ("at /x?Signature=canary&Expires=1 it", "at /x?… it"),
            ("?canary=1", "?…"),
            ("X-Amz-Signature=canary&X-Amz-Credential=canary", "X-Amz-Signature=…&X-Amz-Credential=…"),
            ("x-goog-signature = canary, no", "x-goog-signature = … no"),
            ("Policy=canary~&Key-Pair-Id=canary", "Policy=…&Key-Pair-Id=…"),
            ("sig%3Dcanary", "sig%3D…"),
            ('{"Signature":"canary", "access_token": "canary"}', '{"Signature":"…", "access_token": "…"}'),
            ("blocked by policy: see the intranet", "blocked by policy: see the intranet"),
            ("the design=good", "the design=good"),
        ],
    )
    def test_text_is_printable_and_masked(self, text: str, expected: str) -> None:
        assert sanitized(text) == expected

    def test_text_is_cut(self) -> None:
        assert sanitized("x" * 300) == "x" * 300
        assert sanitized("x" * 301) == "x" * 299 + "…"
        assert sanitized("x" * 11, 10) == "x" * 9 + "…"
        assert len(sanitized("x" * 10**7)) == 300

    @given(
        before=st.text(max_size=300),
        path=st.text(URL_CHARACTERS.replace("?", ""), min_size=1, max_size=30),
        query=st.text(URL_CHARACTERS, max_size=30),
        max_length=st.integers(1, 400),
    )
    @example(before="", path="it's/a.wav", query="", max_length=300)
    @example(before="", path="a.wav", query="name='x'&", max_length=300)
    @settings(deadline=None, max_examples=200)
    def test_the_query_of_a_url_is_masked(self, before: str, path: str, query: str, max_length: int) -> None:
        assert "CANARY" not in sanitized(f"{before} https://media.example.com/{path}?{query}CANARY", max_length)

    @pytest.mark.parametrize("path", ["it's/a.wav", "a(1).wav", "a,b;c", "a"])
    @pytest.mark.parametrize("query", ["name='x'&sig=", "x=(1)&sig=", "sig=", "a=b?c&sig="])
    def test_the_signature_of_a_valid_url_is_masked(self, path: str, query: str) -> None:
        text = f"https://media.example.com/{path}?{query}canary"
        url = DownloadUrl(text, 1_900_000_000.0, 60, content_type="audio/wav")
        assert check(url, MediaRequest("f-1"), ValidationRule()) is None
        assert "canary" not in sanitized(f"could not fetch {text}")
        assert "canary" not in sanitized(f"could not fetch '{text}', it said")

    @given(
        before=st.text(max_size=300),
        scheme=st.sampled_from(["Bearer", "bearer", "BEARER", "Basic", "basic"]),
        gap=st.sampled_from([" ", "  ", "\t", "\r\n "]),
        token=st.from_regex(r"[\w.~+/=-]{0,20}CANARY[\w.~+/=-]{0,20}", fullmatch=True),
        max_length=st.integers(1, 400),
    )
    @settings(deadline=None, max_examples=200)
    def test_a_bearer_token_is_masked(self, before: str, scheme: str, gap: str, token: str, max_length: int) -> None:
        assert "CANARY" not in sanitized(f"{before} {scheme}{gap}{token}", max_length)

    @given(st.text(), st.integers(1, 400))
    @settings(deadline=None, max_examples=200)
    def test_any_text_becomes_one_short_line_without_control_characters(self, text: str, max_length: int) -> None:
        shown = sanitized(text, max_length)
        assert len(shown) <= max_length
        assert len(shown.splitlines()) <= 1
        assert shown.isprintable()


class TestEscaped:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                "plain M\u00fcller \u682a\u5f0f\u3000\u4f1a\u793e \U0001f600",
                "plain M\u00fcller \u682a\u5f0f\u3000\u4f1a\u793e \U0001f600",
            ),
            ("a\x1b[31m", r"a\u001b[31m"),
            ("\x9b31m\x7f\n\t", r"\u009b31m\u007f\u000a\u0009"),
            ("\u202egnp.exe", r"\u202egnp.exe"),
            ("\ud800", r"\ud800"),
            ("\U000e0041", r"\udb40\udc41"),
        ],
    )
    def test_text_holds_nothing_that_a_terminal_obeys_or_hides(self, text: str, expected: str) -> None:
        assert escaped(text) == expected

    @given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
    @settings(deadline=None, max_examples=100)
    def test_json_keeps_its_meaning(self, value: object) -> None:
        assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value
