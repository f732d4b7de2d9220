"""Which transport reaches which host: the fast one, unless a proxy applies to that host."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_media_async import Settings, SettingsError
from genesys_media_async.transports import DirectTransport, HttpxTransport
from genesys_media_async.transports.choice import Transports

CLIENT: dict[str, Any] = {"client_id": "a", "client_secret": "b", "webhook": "https://hooks.example.com/media"}
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("environ", "kinds"),
    [
        ({}, "direct direct direct"),
        ({"NO_PROXY": "localhost,::1/128"}, "direct direct direct"),
        ({"FTP_PROXY": "http://a:1", "HTTP_PROXY": "http://a:1"}, "direct direct direct"),
        ({"HTTPS_PROXY": "http://a:1"}, "httpx httpx httpx"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "api.mypurecloud.com"}, "direct httpx httpx"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": ".mypurecloud.com"}, "direct direct httpx"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "hooks.example.com"}, "httpx httpx direct"),
    ],
    ids=str,
)
@pytest.mark.anyio
async def test_each_host_is_reached_by_what_applies_to_it(
    environ: dict[str, str], kinds: str, variables: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        variables.setenv(name, value)
    transports = Transports("auto", Settings(**CLIENT))
    expected = {"direct": DirectTransport, "httpx": HttpxTransport}
    found = (transports.api, transports.login, transports.webhook)
    for transport, kind in zip(found, kinds.split(), strict=True):
        assert type(transport) is expected[kind]
        # Hosts behind the same proxy, or behind none, share their connections.
        assert len({id(each) for each in found if type(each) is type(transport)}) == 1
    assert transports.name == kinds.split(maxsplit=1)[0]
    await transports.aclose()


def test_a_host_that_nothing_is_asked_of_needs_no_proxy(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("HTTPS_PROXY", "socks://a:1")
    variables.setenv("NO_PROXY", "api.mypurecloud.com")
    assert Transports("auto", Settings(access_token="t")).name == "direct"
    with pytest.raises(SettingsError, match="HTTPS_PROXY"):
        Transports("auto", Settings(client_id="a", client_secret="b"))
