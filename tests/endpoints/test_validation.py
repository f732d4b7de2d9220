"""The rules for what Genesys granted, the checks of the user's own, and what holds for every code."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.endpoints import validation
from genesys_media_async.endpoints.validation import check, matches
from genesys_media_async.models import DownloadUrl, MediaRequest
from genesys_media_async.settings.policies import ValidationRule
from tests.support.urls import REQUEST, SIGNED, answer, reason


def test_a_url_within_all_rules_is_allowed() -> None:
    assert check(answer(), REQUEST, ValidationRule()) is None


class TestContentType:
    @pytest.mark.parametrize(
        ("content_type", "pattern", "expected"),
        [
            ("audio/wav", "audio/wav", True),
            ("audio/wav; codecs=1", "audio/wav", True),
            ("audio/wav;codecs=1;x=2", "audio/wav", True),
            ("  AUDIO/Wav ; codecs=1", "audio/wav", True),
            ("audio/wav", "AUDIO/*", True),
            ("audio/wav", "audio/*", True),
            ("audio/wav", "*/*", True),
            ("audio/wav", "*/wav", True),
            ("audio/wav", "video/*", False),
            ("audio/wav", "audio/mpeg", False),
            ("audio/wave", "audio/wav", False),
            ("audio/wav", "audio/wave", False),
            ("xaudio/wav", "audio/*", False),
            ("text/html;audio/wav", "audio/*", False),
            ("text/html; a=audio/wav", "audio/wav", False),
            ("audio", "audio/*", False),
            ("audio/", "audio/*", False),
            ("/wav", "*/*", False),
            ("", "*/*", False),
            (";", "*/*", False),
        ],
    )
    def test_is_compared_without_case_and_parameters(self, content_type: str, pattern: str, expected: bool) -> None:
        assert matches(content_type, pattern) is expected

    @pytest.mark.parametrize("content_type", ["audio/wav", "audio/ogg; codecs=opus", "VIDEO/MP4", "image/png"])
    def test_of_media_is_allowed_by_default(self, content_type: str) -> None:
        assert reason(answer(content_type=content_type)) is None

    @pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/octet-stream", "audio"])
    def test_of_other_things_is_refused_by_default(self, content_type: str) -> None:
        assert reason(answer(content_type=content_type)) == "content_type_refused"

    @pytest.mark.parametrize("content_type", [None, "", "  "])
    def test_that_is_missing_is_refused_unless_everything_is_allowed(self, content_type: str | None) -> None:
        assert reason(answer(content_type=content_type)) == "content_type_missing"
        assert reason(answer(content_type=content_type), content_types=("audio/*", "*/*")) is None

    @pytest.mark.parametrize("content_type", [None, "audio/ogg; codecs=opus", "application/json", "text/html"])
    @pytest.mark.parametrize("known_from", ["url", "settings", "default"])
    def test_of_other_sources_is_free_unless_the_rule_names_some(
        self, content_type: str | None, known_from: str
    ) -> None:
        url = answer(content_type=content_type, expiry_source=known_from)
        assert reason(url) is None
        assert reason(url, content_types=("audio/*",)) == {
            None: "content_type_missing",
            "audio/ogg; codecs=opus": None,
        }.get(content_type, "content_type_refused")

    def test_may_match_any_pattern_of_the_rule(self) -> None:
        assert reason(answer(content_type="application/pdf"), content_types=("audio/*", "application/pdf")) is None

    def test_is_refused_by_a_rule_without_patterns(self) -> None:
        assert reason(answer(), content_types=()) == "content_type_refused"


class TestLifetime:
    @pytest.mark.parametrize(
        ("granted", "requested", "longest", "expected"),
        [
            (3_600, 3_600, None, None),
            (60, 3_600, None, None),
            (3_601, 3_600, None, "lifetime_too_long"),
            (86_400, 3_600, 86_400, None),
            (601, 600, 600, "lifetime_too_long"),
            (600, 3_600, 599, "lifetime_too_long"),
            (599, 3_600, 599, None),
        ],
    )
    def test_is_bounded_by_the_rule_or_else_by_the_request(
        self, granted: int, requested: int, longest: int | None, expected: str | None
    ) -> None:
        request = MediaRequest("f-1", expires_in=requested)
        assert reason(answer(expires_in=granted), request, max_lifetime=longest) == expected

    @pytest.mark.parametrize("known_from", ["url", "settings", "default"])
    def test_that_cannot_be_requested_is_bounded_by_the_rule_alone(self, known_from: str) -> None:
        url, request = answer(expires_in=3_600, expiry_source=known_from), MediaRequest("f-1", expires_in=60)
        assert reason(url, request) is None
        assert reason(url, request, max_lifetime=3_599) == "lifetime_too_long"

    def test_that_had_ended_before_arrival_is_refused_and_retryable(self) -> None:
        refused = check(answer(expires_in=0, expiry_source="url"), REQUEST, ValidationRule())
        assert refused is not None
        assert (refused.code, refused.retryable) == ("url_expired", True)
        assert "clock" in str(refused)


class TestAccessLevel:
    @pytest.mark.parametrize(
        ("granted", "requested", "required", "expected"),
        [
            (None, None, None, None),
            ("private", None, None, None),
            ("private", "public", None, None),
            ("private", None, "private", None),
            (None, "private", "private", None),
            (None, None, "private", "access_level_mismatch"),
            ("public", "private", "private", "access_level_mismatch"),
            (None, "public", "private", "access_level_mismatch"),
            ("Private", None, "private", "access_level_mismatch"),
            ("", "private", "private", "access_level_mismatch"),
        ],
    )
    def test_is_the_one_in_the_reply_or_else_the_requested_one(
        self, granted: str | None, requested: str | None, required: str | None, expected: str | None
    ) -> None:
        request = MediaRequest("f-1", access_level=requested)
        assert reason(answer(access_level=granted), request, required_access=required) == expected

    def test_that_cannot_be_requested_is_not_assumed(self) -> None:
        request = MediaRequest("f-1", access_level="private")
        url = answer(expiry_source="settings")
        assert reason(url, request, required_access="private") == "access_level_mismatch"


class TestOwnChecks:
    def test_get_the_url_and_the_request(self) -> None:
        seen: list[object] = []

        def look(url: DownloadUrl, request: MediaRequest) -> None:
            seen.extend((url, request))

        url = answer()
        assert reason(url, checks=(look,)) is None
        assert seen == [url, REQUEST]

    def test_reject_with_a_reason_that_the_message_quotes(self) -> None:
        def not_on_sundays(url: DownloadUrl, request: MediaRequest) -> str | None:
            return f"no media on Sundays, {url.url}\n"

        refused = check(answer(), REQUEST, ValidationRule(checks=(not_on_sundays,)))
        assert refused is not None
        assert refused.code == "check_refused"
        assert "not_on_sundays" in str(refused)
        assert "no media on Sundays" in str(refused)
        assert "canary" not in str(refused)
        assert "\n" not in str(refused)

    def test_are_called_in_order_until_one_rejects(self) -> None:
        called: list[str] = []

        def rule_named(name: str, returned: str | None, url: DownloadUrl, request: MediaRequest) -> str | None:
            called.append(name)
            return returned

        checks = tuple(functools.partial(rule_named, *each) for each in (("a", None), ("b", "no"), ("c", None)))
        assert reason(answer(), checks=checks) == "check_refused"
        assert called == ["a", "b"]

    def test_are_not_called_for_a_url_that_is_refused_already(self) -> None:
        def never(url: DownloadUrl, request: MediaRequest) -> str | None:
            raise AssertionError

        assert reason(answer("http://media.example.com/"), checks=(never,)) == "url_not_https"

    def test_that_raise_reject_the_url_without_showing_their_message(self) -> None:
        def faulty(url: DownloadUrl, request: MediaRequest) -> str | None:
            raise KeyError(url.url)

        refused = check(answer(), REQUEST, ValidationRule(checks=(faulty,)))
        assert refused is not None
        assert refused.code == "check_failed"
        assert "KeyError" in str(refused)
        assert "canary" not in str(refused)

    @pytest.mark.parametrize("returned", [False, True, 0, 7, b"no", ["no"], object()])
    def test_that_return_something_else_than_text_reject_and_do_not_raise(self, returned: Any) -> None:
        def odd(url: DownloadUrl, request: MediaRequest) -> Any:
            return returned

        assert reason(answer(), checks=(odd,)) in {"check_refused", "check_failed"}

    def test_that_return_an_object_without_text_reject_and_do_not_raise(self) -> None:
        class Unspeakable:
            def __str__(self) -> str:
                raise RuntimeError

        checks: Any = (lambda url, request: Unspeakable(),)
        assert reason(answer(), checks=checks) == "check_failed"

    def test_that_are_not_functions_are_named_by_their_type(self) -> None:
        class OnlyWav:
            def __call__(self, url: DownloadUrl, request: MediaRequest) -> str | None:
                return None if (url.file_name or "").endswith(".wav") else "no .wav"

        assert reason(answer(), checks=(OnlyWav(),)) is None
        refused = check(answer(file_name="a.mp3"), REQUEST, ValidationRule(checks=(OnlyWav(),)))
        assert "OnlyWav" in str(refused)


def test_every_code_is_in_the_modules_table_and_every_row_of_it_is_tested_here() -> None:
    table = [line.split()[0] for line in (validation.__doc__ or "").splitlines() if line.startswith("    ")]

    def no(url: DownloadUrl, request: MediaRequest) -> str:
        return "no"

    def fails(url: DownloadUrl, request: MediaRequest) -> str:
        raise ValueError

    given_here = {
        reason(answer(content_type=None)),
        reason(answer(content_type="text/html")),
        reason(answer(expires_in=9_999)),
        reason(answer(expires_in=0)),
        reason(answer(), required_access="private"),
        reason(answer(), max_url_length=1),
        reason(answer("a")),
        reason(answer("http://a.test/")),
        reason(answer("https://u@a.test/")),
        reason(answer(), allowed_hosts=("a.test",)),
        reason(answer(), checks=(no,)),
        reason(answer(), checks=(fails,)),
    }
    assert given_here == set(table)
    assert len(table) == len(set(table))


def test_no_error_shows_the_url_and_each_has_advice() -> None:
    for changes, rule in (
        ({"content_type": "text/html?canary"}, {"content_types": ("audio/*",)}),
        ({"url": "http://media.example.com/?canary"}, {}),
        ({"url": "https://user:canary@media.example.com/"}, {}),
        ({"url": "https://media.example.com/canary"}, {"allowed_hosts": ("a.test",)}),
        ({"url": "https://media.example.com:canary/"}, {}),
        ({}, {"max_url_length": 10}),
    ):
        refused = check(answer(**changes), REQUEST, ValidationRule(**rule))
        assert refused is not None
        shown = f"{refused} {refused!r}"
        assert "canary" not in shown.replace("text/html?canary", "")
        assert refused.advice
        assert not refused.retryable


@given(
    url=st.one_of(
        st.text(),
        st.from_regex(r"https?://[a-zäA-Z0-9@:\[\]./?#%\\-]{0,30}", fullmatch=True),
        st.just(SIGNED),
    ),
    content_type=st.one_of(st.none(), st.text(), st.just("audio/wav")),
    access_level=st.one_of(st.none(), st.text()),
    expires_in=st.integers(1, 10**9),
    hosts=st.one_of(st.none(), st.just(("*.example.com",))),
)
@settings(deadline=None, max_examples=300)
def test_a_check_never_raises_and_allows_only_https(
    url: str, content_type: str | None, access_level: str | None, expires_in: int, hosts: tuple[str, ...] | None
) -> None:
    rule = ValidationRule(allowed_hosts=hosts)
    candidate = answer(url, content_type=content_type, access_level=access_level, expires_in=expires_in)
    if check(candidate, REQUEST, rule) is None:
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert parts.hostname
        assert "@" not in parts.netloc
        assert hosts is None or parts.hostname.endswith(".example.com")
        assert url.isascii()
        assert url.isprintable()
        assert expires_in <= REQUEST.expires_in
