"""Platform downloads: their redirects and their URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator import PlatformDownloadSettings, Simulator
from tests.support.virtual_simulators import DOWNLOAD, SETTINGS, bare_get, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock


def test_a_download_redirects_to_its_signed_url_or_returns_it() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = DOWNLOAD.format(simulator.organization.platform_download_ids()[0])
        redirect = await http.get(path)
        named = await http.get(path, params={"issueRedirect": "false"})
        assert redirect.content == b""
        assert (await http.get(DOWNLOAD.format("nobody"))).status_code == 404
        assert (await http.get(path, params={"redirectToAuth": "perhaps"})).status_code == 400
        assert simulator.counts.api_ok == 2
        forwarded = await http.get(redirect.headers["location"])
        assert (forwarded.status_code, "Only one auth mechanism" in forwarded.text) == (403, True)
        return (
            redirect.status_code,
            redirect.headers["location"] == named.json()["url"],
            await bare_get(http, named.json()["url"]),
        )

    (status, same, media), _ = in_virtual_time(scenario)
    assert (status, same, media.status_code) == (307, True, 200)


def test_a_redirect_can_lead_in_circles_or_nowhere_with_any_status() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        path = DOWNLOAD.format(simulator.organization.platform_download_ids()[0])
        reply = await http.get(path)
        return (
            reply.status_code,
            reply.headers.get("location") == simulator.base_url + path,
            "location" in reply.headers,
        )

    itself = PlatformDownloadSettings(redirect_to="itself", redirect_status=302)
    nowhere = PlatformDownloadSettings(redirect_to="nowhere", redirect_status=303)
    assert in_virtual_time(scenario, platform_download=itself)[0] == (302, True, True)
    assert in_virtual_time(scenario, platform_download=nowhere)[0] == (303, False, False)
    with pytest.raises(ValueError, match="redirect_status"):
        PlatformDownloadSettings(redirect_status=200)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("redirects", "query", "status"), [(False, "true", 401), (True, "true", 307), (True, "false", 401)]
)
def test_a_download_can_redirect_a_client_without_a_token_to_the_login(
    redirects: bool, query: str, status: int
) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.revoke_tokens()
        path = DOWNLOAD.format(simulator.organization.platform_download_ids()[0])
        reply = await http.get(path, params={"redirectToAuth": query})
        assert simulator.counts.api_ok == 0
        assert (await http.get(SETTINGS)).status_code == 401
        return reply

    reply, _ = in_virtual_time(scenario, platform_download=PlatformDownloadSettings(login_redirect=redirects))
    assert reply.status_code == status
    assert (reply.headers.get("location") == "http://127.0.0.1:1/oauth/authorize") == (status == 307)
