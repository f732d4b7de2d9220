"""Downloads of the platform: a redirect is the URL, and is never followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genesys_media_async import (
    MediaRetriever,
)
from genesys_media_async.endpoints import Document, MessageMedia, OrphanRecording, PlatformDownload, Transcript
from genesys_media_async.simulator import (
    PlatformDownloadSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.endpoint_runs import (
    ANYTHING,
    URL,
    Redirecting,
    code_of,
)
from tests.support.retrievers import collect, settings_for
from tests.support.scripted_context import code, json_reply

if TYPE_CHECKING:
    from genesys_media_async.endpoints import Endpoint


@pytest.mark.anyio
class TestRedirect:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_is_the_url_and_is_never_followed(self, status: int):
        genesys = Redirecting(URL, status)
        result = await genesys.result(PlatformDownload())
        assert result.unwrap().url == URL
        assert [request.url.host for request in genesys.requests] == ["login.mypurecloud.com", "api.mypurecloud.com"]
        query = dict(genesys.requests[-1].url.params)
        assert query == {"issueRedirect": "false", "redirectToAuth": "false"}

    @pytest.mark.parametrize(
        ("location", "code"),
        [
            (None, "redirect_nowhere"),
            ("", "redirect_nowhere"),
            ("/api/v2/downloads/download-1", "redirect_nowhere"),
            ("/login?next=somewhere", "redirect_nowhere"),
            ("https://api.mypurecloud.com/api/v2/downloads/download-1", "redirect_loop"),
            ("https://api.mypurecloud.com/api/v2/downloads/download-1?again=1", "redirect_loop"),
            ("https://API.mypurecloud.com/api/v2/downloads/download-2", "redirect_to_api"),
            ("https://api.mypurecloud.com/elsewhere", "redirect_to_api"),
            ("https://login.mypurecloud.com/oauth/authorize?client_id=x", "redirect_to_login"),
            ("https://login.mypurecloud.com/", "redirect_to_login"),
            ("//login.mypurecloud.com/", "redirect_to_login"),
            ("http://media.example.com/file", "url_not_https"),
            ("ftp://media.example.com/file", "url_not_https"),
            ("https://user:secret@media.example.com/file", "url_user_info"),
            ("https://[media/file", "url_malformed"),
            ("https://", "redirect_nowhere"),
        ],
    )
    async def test_without_a_usable_url_has_a_reason_and_is_not_retried(self, location: str | None, code: str):
        genesys = Redirecting(location)
        result = await genesys.result(PlatformDownload())
        assert result.error is not None
        assert (result.error.code, result.error.retryable) == (code, False)
        assert result.attempts == 1

    async def test_may_lead_to_media_next_to_the_api_of_a_gateway(self):
        gateway = {
            "base_url": "https://gateway.example.com/genesys",
            "login_url": "https://gateway.example.com/genesys",
        }
        there = await Redirecting("https://gateway.example.com/media/1?Signature=x").result(
            PlatformDownload(), **gateway
        )
        assert there.ok
        back = await Redirecting("https://gateway.example.com/genesys/api/v2/users/me").result(
            PlatformDownload(), **gateway
        )
        login = await Redirecting("https://gateway.example.com/genesys/oauth/authorize").result(
            PlatformDownload(), **gateway
        )
        assert [code(result) for result in (back, login)] == [
            "redirect_to_api",
            "redirect_to_login",
        ]

    @pytest.mark.parametrize("endpoint", [Document(), Transcript(), MessageMedia(), OrphanRecording()])
    async def test_is_an_error_for_every_other_endpoint(self, endpoint: Endpoint):
        result = await Redirecting(URL).result(endpoint)
        assert result.error is not None
        assert (result.error.code, result.error.status_code) == ("unexpected_status", 307)

    async def test_of_the_simulator_is_not_needed(self):
        download = PlatformDownloadSettings(redirect_to="itself")
        async with Simulator(SimulatorSettings(quota=None, platform_download=download)) as simulator:
            configured = settings_for(simulator, rule=ANYTHING)
            async with MediaRetriever(configured, endpoint=PlatformDownload()) as retriever:
                results = await collect(retriever, simulator.organization.platform_download_ids())
        assert all(result.ok for result in results)
        assert simulator.counts.media_requests == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [({"url": URL}, None), ({}, "reply_shape"), ({"url": None}, "reply_shape"), ({"url": "x"}, "url_malformed")],
)
def test_a_url_in_the_body_is_validated_like_any_other(body: object, code: str | None):
    assert code_of(PlatformDownload(), json_reply(body)) == code
