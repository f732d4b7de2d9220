"""The object store: the bytes behind signed URLs, ranges of them, and its refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.simulator.services.storage import media_bytes
from genesys_media_async.simulator.signing import content_type_of
from tests.support.batch_jobs import BATCH
from tests.support.simulator_users import SteppedClock, new_user
from tests.support.virtual_simulators import ask, in_virtual_time

if TYPE_CHECKING:
    import httpx

    from genesys_media_async.clock import VirtualClock
    from genesys_media_async.simulator import Simulator

pytestmark = pytest.mark.anyio


def test_a_file_always_has_the_same_type_and_bytes() -> None:
    types = ("audio/wav", "audio/ogg")
    assert {content_type_of(f"id-{number}", types) for number in range(50)} == set(types)
    assert content_type_of("id-7", types) == content_type_of("id-7", types)
    assert content_type_of("document-7", types) == "application/pdf"
    assert media_bytes("a", 100) == media_bytes("a", 100) != media_bytes("b", 100)


async def test_a_media_url_serves_byte_ranges() -> None:
    async with new_user() as user:
        url = (await user.ask()).json()["url"]
        whole = (await user.http.get(url)).content
        for wanted, part, place in [
            ("bytes=0-9", whole[:10], "bytes 0-9/2048"),
            ("bytes=2000-", whole[2000:], "bytes 2000-2047/2048"),
            ("bytes=-5", whole[-5:], "bytes 2043-2047/2048"),
            ("bytes=2040-9999", whole[2040:], "bytes 2040-2047/2048"),
        ]:
            reply = await user.http.get(url, headers={"Range": wanted})
            assert (reply.status_code, reply.content) == (206, part)
            assert reply.headers["Content-Range"] == place
        beyond = await user.http.get(url, headers={"Range": "bytes=2048-"})
        assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */2048")
        for meaningless in ("bytes=9-1", "bytes=-", "pages=1-2", "bytes=0-1,4-5"):
            assert (await user.http.get(url, headers={"Range": meaningless})).content == whole
        assert (await user.http.post(url)).status_code == 405


async def test_a_media_url_is_refused_when_expired_changed_or_sent_with_a_token() -> None:
    clock = SteppedClock()
    async with new_user(clock=clock) as user:
        url = (await user.ask("file-1", expiresIn=60)).json()["url"]
        changed = {
            url.replace("/file-1/", "/file-2/"): "SignatureDoesNotMatch",
            url.replace("Expires=", "Expires=9"): "SignatureDoesNotMatch",
            url[:-1] + ("0" if url[-1] != "0" else "1"): "SignatureDoesNotMatch",
            url.partition("?")[0]: "AccessDenied",
        }
        for other, code in changed.items():
            reply = await user.http.get(other)
            assert (reply.status_code, reply.headers["content-type"]) == (403, "application/xml")
            assert f"<Code>{code}</Code>" in reply.text
        two = await user.http.get(url, headers={"Authorization": f"Bearer {user.token}"})
        assert two.status_code == 403
        assert "<Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message>" in two.text
        clock.ahead = 62.0
        old = await user.http.get(url)
        assert old.status_code == 403
        assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in old.text


async def test_two_simulators_with_one_signing_key_accept_each_others_urls() -> None:
    async with new_user(signing_key=b"k") as one, new_user(signing_key=b"k") as two, new_user() as stranger:
        url = (await one.ask()).json()["url"].removeprefix(one.simulator.base_url)
        assert (await two.http.get(url)).status_code == 200
        assert (await stranger.http.get(url)).status_code == 403


def test_by_default_batch_urls_have_the_style_of_the_object_store_and_all_others_the_distributions() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        item = {"conversationId": simulator.organization.conversation_at(0).id}
        job_id = (await http.post(BATCH, json={"batchDownloadRequestList": [item]})).json()["id"]
        await clock.sleep(10.0)
        result = (await http.get(f"{BATCH}/{job_id}")).json()["results"][0]
        return result["resultUrl"], (await ask(http)).json()["url"]

    (batch, media_storage), _ = in_virtual_time(scenario)
    assert "X-Amz-Expires=3600" in batch
    assert "?Expires=" in media_storage
    styled = in_virtual_time(scenario, url_styles={"media-storage": "s3"})[0]
    assert ("?Expires=" in styled[0], "X-Amz-Expires=3600" in styled[1]) == (True, True)
