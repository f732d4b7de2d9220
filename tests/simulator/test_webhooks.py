"""The webhook receiver: what it accepts, what it rejects, its signatures and its faults."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest

from genesys_media_async.simulator import Fault
from tests.support.simulator_users import WEBHOOK, new_user, post_webhook

pytestmark = pytest.mark.anyio

WEBHOOK_KEY = b"0123456789abcdef"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(WEBHOOK_KEY).decode()


async def test_a_correct_webhook_is_kept() -> None:
    async with new_user() as user:
        reply = await post_webhook(user, {**WEBHOOK, "url": "https://example.com/?Signature=canary"})
        assert (reply.status_code, reply.content) == (204, b"")
        (delivery,) = user.simulator.deliveries
        assert delivery.id == "msg-1"
        assert delivery.body["fileId"] == "file-1"
        assert delivery.headers["content-type"] == "application/json"
        assert abs(delivery.time - time.time()) < 10
        assert "canary" not in repr(delivery)
        counts = user.simulator.counts
        assert (counts.webhook_requests, counts.webhook_rejected) == (1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "other"},
        {"event": None},
        {"fileId": 7},
        {"fileId": ""},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-01-02T03:04:05"},
        {"timestamp": 1700000000},
    ],
)
async def test_an_incorrect_webhook_is_rejected(wrong: dict[str, Any]) -> None:
    async with new_user() as user:
        reply = await post_webhook(user, {**WEBHOOK, **wrong})
        assert reply.status_code == 400
        assert reply.json()["error"]
        assert user.simulator.deliveries == []
        assert user.simulator.counts.webhook_rejected == 1


async def test_a_webhook_needs_an_id_a_json_object_and_its_content_type() -> None:
    async with new_user() as user:
        url = user.simulator.webhook_url
        assert (await user.http.post(url, json=WEBHOOK)).status_code == 400
        assert (await post_webhook(user, [WEBHOOK])).status_code == 400
        plain = {"webhook-id": "a", "Content-Type": "text/plain"}
        assert (await user.http.post(url, content=json.dumps(WEBHOOK), headers=plain)).status_code == 400
        assert (await user.http.get(url)).status_code == 405
        assert user.simulator.counts.webhook_rejected == 3


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


async def test_every_part_of_a_signed_webhook_is_verified() -> None:
    async with new_user(webhook_secret=WEBHOOK_SECRET) as user:
        body = json.dumps(WEBHOOK).encode()
        now = str(int(time.time()))
        old = str(int(time.time()) - 400)
        good = signature(WEBHOOK_KEY, "msg-1", now, body)

        async def send(message_id: str, timestamp: str, signatures: str, content: bytes = body) -> int:
            headers = {
                "Content-Type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": signatures,
            }
            return (await user.http.post(user.simulator.webhook_url, content=content, headers=headers)).status_code

        assert await send("msg-1", now, good) == 204
        assert await send("msg-1", now, f"v1,AAAA v2,x {good}") == 204
        assert await send("msg-2", now, good) == 400
        assert await send("msg-1", now, good, body + b" ") == 400
        assert await send("msg-1", now, good.replace("v1,", "v2,")) == 400
        assert await send("msg-1", now, signature(b"other", "msg-1", now, body)) == 400
        assert await send("msg-1", old, signature(WEBHOOK_KEY, "msg-1", old, body)) == 400
        assert await send("msg-1", "soon", good) == 400
        assert await send("msg-1", "9" * 5000, good) == 400
        assert await send("msg-1", now, "") == 400
        assert len(user.simulator.deliveries) == 2


async def test_the_webhook_receiver_has_faults_of_its_own() -> None:
    async with new_user() as user:
        user.simulator.script_webhook(Fault.SERVER_ERROR_500, Fault.CLOSE_BEFORE_REPLY, Fault.LATE)
        assert (await post_webhook(user, WEBHOOK)).status_code == 500
        with pytest.raises(httpx.RemoteProtocolError):
            await post_webhook(user, WEBHOOK)
        assert user.simulator.deliveries == []
        assert (await post_webhook(user, WEBHOOK)).status_code == 204
        assert len(user.simulator.deliveries) == 1
        with pytest.raises(ValueError, match="malformed-json"):
            user.simulator.script_webhook(Fault.MALFORMED_JSON)
