"""The rules for where a URL points."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.endpoints import validation
from genesys_media_async.endpoints.validation import check
from genesys_media_async.errors import UrlRejectedError
from genesys_media_async.models import MediaRequest
from genesys_media_async.settings.policies import ValidationRule
from tests.support.urls import answer, reason


class TestForm:
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
    def test_of_an_https_url_is_allowed(self, url: str) -> None:
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
    def test_of_anything_else_is_malformed(self, url: str) -> None:
        assert reason(answer(url)) == "url_malformed"

    @pytest.mark.parametrize(
        "host",
        [
            *("h", "h.", "a-b.example.com", "xn--nxasmq6b.example", "my_bucket.s3.amazonaws.com", "1.2.3.4", "a" * 63),
            *("9gag.com", "_dmarc.example.com", "[::1]", "[::ffff:192.0.2.7]", "MEDIA.Example.COM"),
        ],
    )
    @pytest.mark.parametrize("tail", ["", "/", ":8443/a"])
    def test_with_a_host_of_dns_or_an_address_is_allowed(self, host: str, tail: str) -> None:
        assert reason(answer(f"https://{host}{tail}")) is None

    @pytest.mark.parametrize(
        "host",
        [
            *(
                "..",
                ".",
                "-",
                "a..b",
                ".a",
                "a..",
                "a-",
                "-a",
                "a-.b",
                "a.-b",
                "a.b-",
                "%65vil.com",
                "evil%2ecom",
                "a!b",
            ),
            *("a,b", "a;b", "a=b", "a*b.com", "$", "a&b", "a'b", "(a)", "a+b", "~", "a" * 64),
            *("127.1", "2130706433", "0x7f.1", "0x7f000001", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "a.1", "a.0x1"),
            *("[fe80::1%25eth0]", "[v1.x]", "[1.2.3.4]"),
        ],
    )
    @pytest.mark.parametrize("tail", ["", "/x", ":443/x"])
    def test_with_a_host_that_programs_disagree_about_is_malformed(self, host: str, tail: str) -> None:
        assert reason(answer(f"https://{host}{tail}")) == "url_malformed"

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("https://media.example.com/my call.wav?Signature=canary", "U+0020 (SPACE), at position 29 of 54."),
            ("https://media.example.com/\x1b?Signature=canary", "U+001B (a control character), at position 27 of 44."),
            ("https://media.example.com/\u202e\uff0f", "U+202E (RIGHT-TO-LEFT OVERRIDE), at position 27 of 28."),
            ("https://media.example.com/\ud800", "U+D800 (a control character), at position 27 of 27."),
            ("https://media.example.com/\U0001f600", "U+1F600 (GRINNING FACE), at position 27 of 27."),
        ],
    )
    def test_with_an_impossible_character_is_refused_by_its_name_alone(self, url: str, words: str) -> None:
        error = check(answer(url), MediaRequest("f-1"), ValidationRule())
        assert error is not None
        assert error.message == f"The URL has a character that no URL can have: {words}"
        assert str(error).isascii()
        assert "media.example.com" not in str(error)
        assert "canary" not in str(error)

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
    def test_with_another_scheme_is_refused(self, url: str) -> None:
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
    def test_may_be_http_only_for_this_machine_and_only_if_the_rule_allows_it(
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
    def test_with_a_user_name_is_refused(self, url: str) -> None:
        assert reason(answer(url)) == "url_user_info"

    def test_is_bounded_in_length(self) -> None:
        url = "https://media.example.com/"
        assert reason(answer(url), max_url_length=len(url)) is None
        assert reason(answer(url), max_url_length=len(url) - 1) == "url_too_long"
        assert reason(answer(url + "x" * 8_192)) == "url_too_long"

    def test_has_only_the_characters_of_rfc_3986(self) -> None:
        for character in map(chr, [*range(0x180), 0xD800, 0xFF21, 0x1F600]):
            known = re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]", character)
            for url in (f"https://media.example.com/{character}", f"https://media.example.com/a{character}b"):
                assert reason(answer(url)) == (None if known else "url_malformed")

    @given(st.from_regex(r"(https?://)?[a-zA-Z0-9.:@\[\]-]{0,12}/?[a-z0-9?#@:/\[\]%-]{0,12}", fullmatch=True))
    @settings(deadline=None, max_examples=500)
    def test_is_checked_by_its_beginning_with_the_same_result_as_by_its_parts(self, url: str) -> None:
        host = validation._host_or_refusal(url, ValidationRule())
        if isinstance(host, UrlRejectedError):
            assert reason(answer(url)) == host.code
            return
        assert reason(answer(url)) is None
        assert reason(answer(url), allowed_hosts=("another.test",)) == "host_refused"
        if re.fullmatch(r"[\w.:-]+", host, re.ASCII):
            assert reason(answer(url), allowed_hosts=(host,)) is None


class TestHosts:
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
        assert reason(answer(f"https://{host}/a"), allowed_hosts=allowed) == (None if passes else "host_refused")

    def test_are_all_allowed_if_the_rule_names_none(self) -> None:
        assert reason(answer("https://anything.test/a"), allowed_hosts=None) is None
