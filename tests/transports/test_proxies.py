"""Which proxy applies to a URL, by the rules of curl and CPython; what is not understood never ends a run."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genesys_media_async.errors import SettingsError
from genesys_media_async.transports.proxies import Proxies, Proxy, is_excepted, proxies_in, read_proxies
from tests.support.settings import configured

API = "https://api.mypurecloud.com/api/v2"
HOSTS = {"name": API, "IPv4": "https://10.1.2.3:8443/", "IPv6": "https://[fd07:b51a::1]/"}


def address(environ: dict[str, str], url: str = API) -> str | None:
    proxy = proxies_in(environ).proxy_for(url)
    return None if proxy is None else proxy.address


class TestTheVariables:
    @pytest.mark.parametrize(
        ("environ", "expected"),
        [
            ({}, None),
            ({"NO_PROXY": "localhost"}, None),
            ({"FTP_PROXY": "http://a:1", "npm_config_https_proxy": "http://a:1", "HTTP_PROXY": "http://a:1"}, None),
            ({"HTTPS_PROXY": "http://a:1"}, "http://a:1"),
            ({"https_proxy": "http://b:2", "HTTPS_PROXY": "http://a:1"}, "http://b:2"),
            ({"https_proxy": "", "HTTPS_PROXY": "http://a:1"}, None),
            ({"Https_Proxy": "http://a:1"}, "http://a:1"),
            ({"ALL_PROXY": "http://a:1"}, "http://a:1"),
            ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://b:2"}, "http://b:2"),
            ({"HTTPS_PROXY": "a.example.com:3128"}, "http://a.example.com:3128"),
            ({"HTTPS_PROXY": " https://user:pass@a.example.com:3128/ "}, "https://a.example.com:3128"),
            ({"HTTPS_PROXY": "http://[::1]:3128"}, "http://[::1]:3128"),
            ({"HTTPS_PROXY": "HTTP://a"}, "http://a"),
            ({"HTTPS_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http://a:1"),
        ],
        ids=str,
    )
    def test_name_the_proxy_of_an_https_url(self, environ: dict[str, str], expected: str | None) -> None:
        assert address(environ) == expected

    @pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
    def test_a_cgi_scripts_http_proxy_may_come_from_its_client(self, name: str) -> None:
        environ = {name: "http://a:1", "REQUEST_METHOD": "GET"}
        assert address(environ, "http://example.com") == ("http://a:1" if name.islower() else None)

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8080/x", "https://localhost", "http://[::1]:1", "http://LOCALHOST."]
    )
    def test_no_proxy_can_reach_this_machine(self, url: str) -> None:
        named = proxies_in({"ALL_PROXY": "socks://a", "HTTPS_PROXY": "#"}, "http://b:2")
        assert named.proxy_for(url) is None

    def test_the_setting_wins_for_every_other_host(self) -> None:
        proxies = proxies_in({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, "http://b:2")
        assert proxies.proxy_for(API) == Proxy("the setting proxy (or GENESYS_MEDIA_PROXY)", "http://b:2")

    def test_credentials_are_decoded_and_shown_by_no_repr(self) -> None:
        environ = {"HTTPS_PROXY": "http://us%3Aer:can%23ary@a:1"}
        proxies = proxies_in(environ)
        proxy = proxies.proxy_for(API)
        assert proxy is not None
        assert proxy.credentials == ("us:er", "can#ary")
        assert "ary" not in f"{proxies} {proxy} {proxy.for_httpx()!r}"

    def test_the_operating_system_is_asked_only_without_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = "genesys_media_async.transports.proxies"
        monkeypatch.setattr(f"{module}.getproxies", lambda: {"https": "http://a:1", "ftp": "ftp://b"})
        monkeypatch.setattr(f"{module}.proxy_bypass", lambda host: host.endswith(".local"))
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        proxies = read_proxies(configured())
        assert proxies.proxy_for(API) == Proxy("the system's https proxy", "http://a:1")
        assert proxies.proxy_for("https://api.local") is None
        monkeypatch.setenv("NO_PROXY", "other.example.com")
        assert read_proxies(configured()).proxy_for(API) is None


UNUSABLE = {
    "socks://canary@127.0.0.1:7891/": "must be an http:// or https:// URL",
    "socks5://canary@127.0.0.1:7891": "is a SOCKS proxy, for which a package is missing",
    "ftp://canary": "must be an http:// or https:// URL",
    "http://canary:port": "is not a URL: check the host and the port",
    "http://canary:99999": "is not a URL: check the host and the port",
    "http://u:canary#1@a:1": "has a # in it; in a user name or password write it as %23",
    "http://u:canary?1@a:1": "write it as %3F",
    "http://u:canary/1@a:1": "write it as %2F",
    "http://a:1/canary": "end the URL with the host and port",
    "http://": "must be an http:// or https:// URL",
    "http://999.1.1.1:1": "has a host that is none",
    "http://ca nary": "must be an http:// or https:// URL",
}


class TestAProxyThatCannotBeUsed:
    @pytest.mark.parametrize(("url", "rule"), UNUSABLE.items(), ids=UNUSABLE)
    def test_is_one_sentence_with_its_variable_and_nothing_of_it(self, url: str, rule: str) -> None:
        with pytest.raises(SettingsError) as caught:
            address({"ALL_PROXY": url})
        assert str(caught.value).startswith("ALL_PROXY ")
        assert rule in str(caught.value)
        assert "nary" not in str(caught.value)

    @pytest.mark.parametrize("url", UNUSABLE)
    def test_is_nothing_if_no_host_would_go_through_it(self, url: str) -> None:
        assert address({"HTTP_PROXY": url, "FTP_PROXY": url}) is None
        assert address({"ALL_PROXY": url, "NO_PROXY": "mypurecloud.com"}) is None
        assert address({"ALL_PROXY": url, "HTTPS_PROXY": "http://a:1"}) == "http://a:1"


class TestNoProxy:
    @pytest.mark.parametrize(
        ("kind", "entry", "expected"),
        [
            ("name", "*", True),
            ("name", "mypurecloud.com", True),
            ("name", ".mypurecloud.com", True),
            ("name", "*.mypurecloud.com", True),
            ("name", "MyPureCloud.COM.", True),
            ("name", "api.mypurecloud.com", True),
            ("name", "purecloud.com", False),
            ("name", "com.", True),
            ("name", "www.api.mypurecloud.com", False),
            ("name", "mypurecloud.com:443", True),
            ("name", "mypurecloud.com:8443", False),
            ("name", "*:443", True),
            ("name", "https://mypurecloud.com", True),
            ("name", "http://mypurecloud.com", False),
            ("name", "10.0.0.0/8", False),
            ("name", ".", False),
            ("name", "\u00fc" * 70, False),
            ("IPv4", "10.1.2.3", True),
            ("IPv4", "10.1.2.3:8443", True),
            ("IPv4", "10.1.2.3:443", False),
            ("IPv4", "10.0.0.0/8", True),
            ("IPv4", "10.1.2.99/24", True),
            ("IPv4", "10.2.0.0/16", False),
            ("IPv4", "10.0.0.0/99", False),
            ("IPv4", "10.", False),
            ("IPv4", "1.2.3", False),
            ("IPv4", "fd07:b51a::/32", False),
            ("IPv6", "fd07:b51a::1", True),
            ("IPv6", "FD07:B51A:0::1", True),
            ("IPv6", "[fd07:b51a::1]", True),
            ("IPv6", "[fd07:b51a::1]:443", True),
            ("IPv6", "[fd07:b51a::1]:80", False),
            ("IPv6", "fd07:b51a::/32", True),
            ("IPv6", "[fd07:b51a::]/32", True),
            ("IPv6", "::1/128", False),
            ("IPv6", "[fd07:b51a::1", True),
            ("IPv6", "0.0.0.0/0", False),
        ],
    )
    def test_an_entry_excepts_what_curl_excepts_by_it(self, kind: str, entry: str, expected: bool) -> None:
        assert is_excepted(entry, urlsplit(HOSTS[kind])) is expected

    def test_a_name_beyond_ascii_is_compared_in_its_ascii_form(self) -> None:
        assert is_excepted(".m\u00fcller.example", urlsplit("https://api.xn--mller-kva.example"))

    @pytest.mark.parametrize(
        "text", ["a.b, mypurecloud.com", "a.b mypurecloud.com", " ,,mypurecloud.com,,", "::1/128,*"]
    )
    def test_entries_stand_between_commas_or_blanks(self, text: str) -> None:
        assert address({"HTTPS_PROXY": "http://a:1", "NO_PROXY": text}) is None

    @given(st.text(), st.sampled_from(list(HOSTS.values())))
    @example("[", API)
    @example("://", API)
    @example("[]:", API)
    @example("\ud800.example", API)
    def test_no_entry_raises(self, entry: str, url: str) -> None:
        assert is_excepted(entry, urlsplit(url)) in {True, False}


PROXIES = st.text() | st.from_regex(r"(http|https|socks5|)://[ -~]*", fullmatch=True)


@given(PROXIES, st.text(), st.sampled_from([*HOSTS.values()]))
def test_every_environment_has_a_proxy_or_none_or_one_kind_of_error(proxy: str, exceptions: str, url: str) -> None:
    proxies = proxies_in({"ALL_PROXY": proxy, "NO_PROXY": exceptions})
    with suppress(SettingsError):
        found = proxies.proxy_for(url)
        assert found is None or found.for_httpx().url.host


def test_without_anything_named_there_is_no_proxy() -> None:
    assert Proxies().proxy_for(API) is None
