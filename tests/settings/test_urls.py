"""URLs in settings: https, or plain http to this machine."""

from __future__ import annotations

import re

import pytest

from genesys_media_async.errors import SettingsError
from genesys_media_async.settings.checked import secret_text
from genesys_media_async.settings.policies import WebhookTarget
from genesys_media_async.settings.urls import check_url, is_loopback
from genesys_media_async.transports import HttpxTransport
from genesys_media_async.transports.proxies import read_proxies
from tests.support.settings import configured


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "https://gateway.example.com",
            "https://gateway.example.com/",
            "https://gateway.example.com:8443/some/path",
            "HTTPS://gateway.example.com",
            "http://127.0.0.1:8080",
            "http://localhost:8080",
            "http://[::1]:8080",
        ],
    )
    def test_a_right_url_is_accepted(self, url: str) -> None:
        assert configured(base_url=url).api_url == url.rstrip("/")
        assert secret_text(WebhookTarget(url=url + "?key=value").url).endswith("?key=value")

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("127.8.8.8", True),
            ("::1", True),
            ("0.0.0.0", False),
            ("10.0.0.1", False),
            ("localhost.evil.test", False),
            ("127.0.0.1.evil.test", False),
            ("", False),
            (None, False),
        ],
    )
    def test_a_loopback_host_can_only_mean_this_machine(self, host: str | None, expected: bool) -> None:
        assert is_loopback(host) is expected

    @pytest.mark.parametrize(
        "proxy", ["http://proxy.example.com:3128", "https://u:p@proxy.example.com", "http://[::1]"]
    )
    def test_an_accepted_proxy_makes_a_client(self, proxy: str) -> None:
        found = read_proxies(configured(proxy=proxy)).proxy_for("https://api.example.com")
        assert found is not None
        assert "HttpxTransport" in repr(HttpxTransport.through(found))

    @pytest.mark.parametrize(
        ("proxy", "advice"),
        [
            ("http://user:p@ss#1@proxy.example.com:3128", "has a # in it; in a user name or password write it as %23"),
            ("http://user:p?1@proxy.example.com:3128", "write it as %3F"),
            ("http://user:p/1@proxy.example.com:3128", "write it as %2F"),
            ("http://user:p\\1@proxy.example.com:3128", "write it as %5C"),
            ("http://proxy.example.com:3128/path", "end the URL with the host and port"),
            ("http://user:canary@proxy.example.com:port", "is not a URL: check the host and the port"),
        ],
    )
    def test_a_proxy_with_an_open_end_is_refused_without_showing_it(self, proxy: str, advice: str) -> None:
        with pytest.raises(SettingsError, match=re.escape(advice)) as caught:
            configured(proxy=proxy)
        assert "example" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("https://host:port", "is not a URL: check the host and the port"),
            ("ftp://host", "must be a URL of printable ASCII, as in https://x.test"),
            ("https://h\u00f6st", "must be a URL of printable ASCII, as in https://x.test"),
            ("http://host", "must begin with https://; plain http is for this machine only"),
            ("https://user@host", "must not carry a user name or password"),
            ("https://host/?a=b", "must end with the host or a path: no query, no fragment"),
        ],
    )
    def test_a_wrong_url_is_refused_with_its_rule(self, url: str, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            check_url(url, example="https://x.test")

    def test_a_query_is_accepted_where_it_is_allowed(self) -> None:
        check_url("https://host/?a=b", example="https://x.test", query_allowed=True)
