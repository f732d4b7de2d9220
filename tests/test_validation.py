"""May this URL be handed out? Every rule, every reason, and that a check never raises."""

from __future__ import annotations

import functools
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import validation
from genesys_media_async.endpoints.validation import check, matches
from genesys_media_async.errors import UrlRejectedError
from genesys_media_async.models import DownloadUrl, MediaRequest
from genesys_media_async.settings.settings import ValidationRule

SIGNED = "https://media.example.com/recordings/a.wav?X-Signature=canary-signature"
REQUEST = MediaRequest("f-1", expires_in=3_600)


def answer(url: str = SIGNED, **changes: Any) -> DownloadUrl:
    known: dict[str, Any] = {"expires_in": 3_600, "content_type": "audio/wav", "file_name": "a.wav", **changes}
    return DownloadUrl(url=url, ends_at=1_900_000_000.0, **known)


def reason(url: DownloadUrl, request: MediaRequest = REQUEST, **rule: Any) -> str | None:
    refused = check(url, request, ValidationRule(**rule))
    return None if refused is None else refused.code


def test_a_url_that_breaks_no_rule_passes() -> None:
    assert check(answer(), REQUEST, ValidationRule()) is None


class TestTheContentType:
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
    def test_is_a_medium_by_default(self, content_type: str) -> None:
        assert reason(answer(content_type=content_type)) is None

    @pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/octet-stream", "audio"])
    def test_that_is_no_medium_is_refused_by_default(self, content_type: str) -> None:
        assert reason(answer(content_type=content_type)) == "content_type_refused"

    @pytest.mark.parametrize("content_type", [None, "", "  "])
    def test_that_is_missing_is_refused_unless_everything_is_taken(self, content_type: str | None) -> None:
        assert reason(answer(content_type=content_type)) == "content_type_missing"
        assert reason(answer(content_type=content_type), content_types=("audio/*", "*/*")) is None

    @pytest.mark.parametrize("content_type", [None, "audio/ogg; codecs=opus", "application/json", "text/html"])
    @pytest.mark.parametrize("known_from", ["url", "settings", "default"])
    def test_is_none_of_the_rules_business_where_a_source_serves_what_it_has(
        self, content_type: str | None, known_from: str
    ) -> None:
        url = answer(content_type=content_type, expiry_source=known_from)
        assert reason(url) is None
        assert reason(url, content_types=("audio/*",)) == {
            None: "content_type_missing",
            "audio/ogg; codecs=opus": None,
        }.get(content_type, "content_type_refused")

    def test_passes_if_any_of_the_rules_patterns_takes_it(self) -> None:
        assert reason(answer(content_type="application/pdf"), content_types=("audio/*", "application/pdf")) is None

    def test_is_refused_by_a_rule_that_names_none(self) -> None:
        assert reason(answer(), content_types=()) == "content_type_refused"


class TestTheLife:
    @pytest.mark.parametrize(
        ("granted", "asked", "longest", "expected"),
        [
            (3_600, 3_600, None, None),
            (60, 3_600, None, None),
            (3_601, 3_600, None, "life_too_long"),
            (86_400, 3_600, 86_400, None),
            (601, 600, 600, "life_too_long"),
            (600, 3_600, 599, "life_too_long"),
            (599, 3_600, 599, None),
        ],
    )
    def test_is_at_most_what_the_rule_says_or_else_what_was_asked_for(
        self, granted: int, asked: int, longest: int | None, expected: str | None
    ) -> None:
        request = MediaRequest("f-1", expires_in=asked)
        assert reason(answer(expires_in=granted), request, max_lifetime=longest) == expected

    @pytest.mark.parametrize("known_from", ["url", "settings", "default"])
    def test_that_could_not_be_asked_for_is_bounded_by_the_rule_alone(self, known_from: str) -> None:
        url, request = answer(expires_in=3_600, expiry_source=known_from), MediaRequest("f-1", expires_in=60)
        assert reason(url, request) is None
        assert reason(url, request, max_lifetime=3_599) == "life_too_long"

    def test_that_was_over_when_the_url_came_is_refused_and_can_be_asked_for_again(self) -> None:
        refused = check(answer(expires_in=0, expiry_source="url"), REQUEST, ValidationRule())
        assert refused is not None
        assert (refused.code, refused.retryable) == ("url_expired", True)
        assert "clock" in str(refused)


class TestTheAccessLevel:
    @pytest.mark.parametrize(
        ("granted", "asked", "required", "expected"),
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
    def test_is_the_one_the_reply_names_or_else_the_one_asked_for(
        self, granted: str | None, asked: str | None, required: str | None, expected: str | None
    ) -> None:
        request = MediaRequest("f-1", access_level=asked)
        assert reason(answer(access_level=granted), request, required_access=required) == expected

    def test_that_could_not_be_asked_for_is_not_taken_for_granted(self) -> None:
        request = MediaRequest("f-1", access_level="private")
        url = answer(expiry_source="settings")
        assert reason(url, request, required_access="private") == "access_level_mismatch"


class TestTheForm:
    @pytest.mark.parametrize(
        "url",
        [
            "https://media.example.com/a",
            "HTTPS://media.example.com/a",
            "https://media.example.com",
            "https://media.example.com:8443/a?b=c&d=%20#e",
            "https://[2001:db8::1]/a",
            "https://192.0.2.7/a",
            "https://h/a;p=1?q='(1)!*~@:$,+=[]",
        ],
    )
    def test_that_is_an_https_url_passes(self, url: str) -> None:
        assert reason(answer(url)) is None

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "a",
            "/a/b",
            "//media.example.com/a",
            "https:",
            "https://",
            "https:///a",
            "https://?a",
            "https://:443/a",
            "https:media.example.com/a",
            "https://media.example.com:x/a",
            "https://media.example.com:99999/a",
            "https://[::1/a",
            "https://media.example.com/a b",
            "https://media.example.com/a\nb",
            "https://media.example.com/a\r\nHost: x",
            "https://media.example.com/a\tb",
            "\thttps://media.example.com/a",
            " https://media.example.com/a",
            "https://media.example.com/a ",
            "https://media.example.com/\x00",
            "https://media.example.com\\@evil.test/a",
            "https://mediä.example.com/a",
            "https://media.example.com/ä",
            "https://media.example.com/<a>",
            'https://media.example.com/"a"',
            "https://media.example.com/{a}",
            "https://media.example.com/a|b",
            "https://media.example.com\uff0fa",
        ],
    )
    def test_that_is_no_url_is_malformed(self, url: str) -> None:
        assert reason(answer(url)) == "url_malformed"

    @pytest.mark.parametrize(
        "url",
        [
            "http://media.example.com/a",
            "ftp://media.example.com/a",
            "s3://bucket/a",
            "httpsx://media.example.com/a",
            "javascript://media.example.com/a",
            "file://localhost/etc/passwd",
            "http://127.0.0.1/a",
        ],
    )
    def test_that_is_of_another_scheme_is_refused(self, url: str) -> None:
        assert reason(answer(url)) == "url_not_https"

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://127.0.0.1:8080/a", None),
            ("http://127.9.9.9/a", None),
            ("http://localhost/a", None),
            ("http://LOCALHOST/a", None),
            ("http://[::1]:8080/a", None),
            ("https://media.example.com/a", None),
            ("http://media.example.com/a", "url_not_https"),
            ("http://localhost.evil.test/a", "url_not_https"),
            ("http://127.0.0.1.evil.test/a", "url_not_https"),
            ("http://10.0.0.1/a", "url_not_https"),
            ("http://0.0.0.0/a", "url_not_https"),
            ("ftp://127.0.0.1/a", "url_not_https"),
            ("http://user@127.0.0.1/a", "url_user_info"),
            ("http://evil.test@127.0.0.1/a", "url_user_info"),
        ],
    )
    def test_may_be_http_for_this_machine_only_and_only_if_the_rule_says_so(
        self, url: str, expected: str | None
    ) -> None:
        assert reason(answer(url), loopback_http=True) == expected

    @pytest.mark.parametrize(
        "url",
        [
            "https://user@media.example.com/a",
            "https://user:password@media.example.com/a",
            "https://:password@media.example.com/a",
            "https://@media.example.com/a",
            "https://media.example.com@evil.test/a",
            "https://media.example.com:443@evil.test/a",
        ],
    )
    def test_with_something_before_the_host_is_refused(self, url: str) -> None:
        assert reason(answer(url)) == "url_user_info"

    def test_is_bounded_in_length(self) -> None:
        url = "https://media.example.com/"
        assert reason(answer(url), max_url_length=len(url)) is None
        assert reason(answer(url), max_url_length=len(url) - 1) == "url_too_long"
        assert reason(answer(url + "x" * 8_192)) == "url_too_long"

    def test_has_no_other_characters_than_rfc_3986_knows(self) -> None:
        for character in map(chr, [*range(0x180), 0xD800, 0xFF21, 0x1F600]):
            known = re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]", character)
            for url in (f"https://media.example.com/{character}", f"https://media.example.com/a{character}b"):
                assert reason(answer(url)) == (None if known else "url_malformed")

    @given(st.from_regex(r"(https?://)?[a-zA-Z0-9.:@\[\]-]{0,12}/?[a-z0-9?#@:/\[\]%-]{0,12}", fullmatch=True))
    @settings(deadline=None, max_examples=500)
    def test_is_judged_by_how_it_begins_as_by_taking_it_apart(self, url: str) -> None:
        host = validation._host_or_refusal(url, ValidationRule())
        if isinstance(host, UrlRejectedError):
            assert reason(answer(url)) == host.code
            return
        assert reason(answer(url)) is None
        assert reason(answer(url), hosts=("another.test",)) == "host_refused"
        if re.fullmatch(r"[\w.:-]+", host, re.ASCII):
            assert reason(answer(url), hosts=(host,)) is None


class TestTheHosts:
    @pytest.mark.parametrize(
        ("host", "allowed", "passes"),
        [
            ("media.example.com", ("media.example.com",), True),
            ("MEDIA.Example.COM", ("media.example.com",), True),
            ("media.example.com", ("MEDIA.EXAMPLE.COM",), True),
            ("media.example.com:8443", ("media.example.com",), True),
            ("media.example.com", ("*.example.com",), True),
            ("a.b.example.com", ("*.example.com",), True),
            ("example.com", ("*.example.com",), False),
            (".example.com", ("*.example.com",), False),
            ("evilexample.com", ("*.example.com",), False),
            ("media.example.com.evil.test", ("*.example.com", "media.example.com"), False),
            ("evil.test", ("media.example.com",), False),
            ("xmedia.example.com", ("media.example.com",), False),
            ("b.test", ("a.test", "b.test"), True),
            ("[2001:db8::1]", ("2001:db8::1",), True),
            ("media.example.com", (), False),
        ],
    )
    def test_are_compared_whole_and_without_case(self, host: str, allowed: tuple[str, ...], passes: bool) -> None:
        assert reason(answer(f"https://{host}/a"), hosts=allowed) == (None if passes else "host_refused")

    def test_may_be_any_if_the_rule_names_none(self) -> None:
        assert reason(answer("https://anything.test/a"), hosts=None) is None


class TestChecksOfTheUsersOwn:
    def test_see_the_url_and_the_request_and_may_pass_it(self) -> None:
        seen: list[object] = []

        def look(url: DownloadUrl, request: MediaRequest) -> None:
            seen.extend((url, request))

        url = answer()
        assert reason(url, checks=(look,)) is None
        assert seen == [url, REQUEST]

    def test_refuse_with_a_reason_that_the_message_quotes(self) -> None:
        def not_on_sundays(url: DownloadUrl, request: MediaRequest) -> str | None:
            return f"no media on Sundays, {url.url}\n"

        refused = check(answer(), REQUEST, ValidationRule(checks=(not_on_sundays,)))
        assert refused is not None
        assert refused.code == "check_refused"
        assert "not_on_sundays" in str(refused)
        assert "no media on Sundays" in str(refused)
        assert "canary" not in str(refused)
        assert "\n" not in str(refused)

    def test_are_called_in_order_until_one_refuses(self) -> None:
        called: list[str] = []

        def rule_named(name: str, says: str | None, url: DownloadUrl, request: MediaRequest) -> str | None:
            called.append(name)
            return says

        checks = tuple(functools.partial(rule_named, *each) for each in (("a", None), ("b", "no"), ("c", None)))
        assert reason(answer(), checks=checks) == "check_refused"
        assert called == ["a", "b"]

    def test_are_not_asked_about_what_another_rule_has_refused(self) -> None:
        def never(url: DownloadUrl, request: MediaRequest) -> str | None:
            raise AssertionError

        assert reason(answer("http://media.example.com/"), checks=(never,)) == "url_not_https"

    def test_that_raise_refuse_the_url_and_do_not_show_what_they_said(self) -> None:
        def faulty(url: DownloadUrl, request: MediaRequest) -> str | None:
            raise KeyError(url.url)

        refused = check(answer(), REQUEST, ValidationRule(checks=(faulty,)))
        assert refused is not None
        assert refused.code == "check_failed"
        assert "KeyError" in str(refused)
        assert "canary" not in str(refused)

    @pytest.mark.parametrize("says", [False, True, 0, 7, b"no", ["no"], object()])
    def test_that_answer_with_something_else_than_a_reason_refuse_and_raise_nothing(self, says: Any) -> None:
        def odd(url: DownloadUrl, request: MediaRequest) -> Any:
            return says

        assert reason(answer(), checks=(odd,)) in {"check_refused", "check_failed"}

    def test_that_answer_with_what_has_no_text_refuse_and_raise_nothing(self) -> None:
        class Unspeakable:
            def __str__(self) -> str:
                raise RuntimeError

        checks: Any = (lambda url, request: Unspeakable(),)
        assert reason(answer(), checks=checks) == "check_failed"

    def test_that_are_no_functions_are_called_by_their_type(self) -> None:
        class OnlyWav:
            def __call__(self, url: DownloadUrl, request: MediaRequest) -> str | None:
                return None if (url.file_name or "").endswith(".wav") else "no .wav"

        assert reason(answer(), checks=(OnlyWav(),)) is None
        refused = check(answer(file_name="a.mp3"), REQUEST, ValidationRule(checks=(OnlyWav(),)))
        assert "OnlyWav" in str(refused)


def test_every_reason_is_in_the_modules_table_and_every_row_of_it_is_tested_here() -> None:
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
        reason(answer(), hosts=("a.test",)),
        reason(answer(), checks=(no,)),
        reason(answer(), checks=(fails,)),
    }
    assert given_here == set(table)
    assert len(table) == len(set(table))


def test_no_refusal_shows_the_url_and_all_say_what_to_do() -> None:
    for changes, rule in (
        ({"content_type": "text/html?canary"}, {"content_types": ("audio/*",)}),
        ({"url": "http://media.example.com/?canary"}, {}),
        ({"url": "https://user:canary@media.example.com/"}, {}),
        ({"url": "https://media.example.com/canary"}, {"hosts": ("a.test",)}),
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
def test_whatever_comes_a_check_never_raises_and_lets_only_https_through(
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
