"""The simulator over real sockets: each fact it is built from, each fault as a client sees it, and what it counts."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import hmac
import json
import re
import ssl
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import httpx
import pytest
import trustme

from genesys_media_async.clock import SystemClock
from genesys_media_async.simulator import Fault, OAuthClient, Quota, Simulator, SimulatorSettings
from genesys_media_async.simulator.faults import CUT_OR_SLOW, ERROR_STATUSES, SILENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

BASIC = ("demo-client", "demo-secret")
GRANT = {"grant_type": "client_credentials"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
QUICK: dict[str, Any] = {"fault_seconds": 0.1, "drip_gap": 0.0001, "late_seconds": 0.1}
WEBHOOK_KEY = b"0123456789abcdef"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(WEBHOOK_KEY).decode()


class SteppedClock(SystemClock):
    """The machine's time plus whatever a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def wall(self) -> float:
        return super().wall() + self.ahead


class User:
    """A client of one simulator, as simple as can be."""

    def __init__(self, simulator: Simulator, http: httpx.AsyncClient) -> None:
        self.simulator = simulator
        self.http = http
        self.token = ""

    async def log_in(self) -> str:
        reply = await self.http.post("/oauth/token", data=GRANT, auth=BASIC)
        self.token = reply.json()["access_token"]
        return self.token

    async def ask(self, file_id: str = "file-1", *, token: str | None = None, **body: object) -> httpx.Response:
        return await self.http.post(
            path_of(quote(file_id, safe="")),
            json={"fileId": file_id, **body},
            headers={"Authorization": f"Bearer {self.token if token is None else token}"},
        )


def path_of(segment: str) -> str:
    return f"/api/v2/media/storage/files/{segment}/download-url"


@asynccontextmanager
async def user_of(simulator: Simulator, **options: Any) -> AsyncIterator[User]:
    async with simulator, httpx.AsyncClient(base_url=simulator.base_url, trust_env=False, **options) as http:
        user = User(simulator, http)
        await user.log_in()
        yield user


@asynccontextmanager
async def new_user(**settings: Any) -> AsyncIterator[User]:
    clock = settings.pop("clock", SystemClock())
    async with user_of(Simulator(SimulatorSettings(**{**QUICK, **settings}), clock=clock)) as user:
        yield user


async def raw_exchange(simulator: Simulator, data: bytes) -> bytes:
    """Send bytes on a connection of their own and return all that comes until the server ends it."""
    port = int(simulator.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what the other end of a connection has yet to notice."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came to be")


def assert_error(reply: httpx.Response, status: int, code: str) -> None:
    body = reply.json()
    assert (reply.status_code, body["code"], body["status"]) == (status, code, status)
    assert body["contextId"] == reply.headers["ININ-Correlation-Id"]
    assert body["message"]
    assert body["details"] == []
    assert body["errors"] == []


async def test_a_token_lets_a_client_have_a_url_and_the_url_its_bytes() -> None:
    async with new_user() as user:
        reply = await user.ask("file-1", expiresIn=60)
        granted = reply.json()
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        assert UUID.fullmatch(reply.headers["ININ-Correlation-Id"])
        assert granted.keys() == {"url", "expiresIn", "fileName", "contentType"}
        assert granted["expiresIn"] == 60
        media = await user.http.get(granted["url"])
        assert media.status_code == 200
        assert media.headers["content-type"] == granted["contentType"]
        assert len(media.content) == 2048
        assert (await user.http.get(granted["url"])).content == media.content
        assert (await user.http.head(granted["url"])).headers["content-length"] == "2048"


async def test_the_token_reply_has_the_three_fields_of_the_grant() -> None:
    async with new_user(token_life=86399.5) as user:
        reply = await user.http.post("/oauth/token", data={**GRANT, "scope": "whatever"}, auth=BASIC)
        body = reply.json()
        assert reply.status_code == 200
        assert body.keys() == {"access_token", "token_type", "expires_in"}
        assert (body["token_type"], body["expires_in"]) == ("bearer", 86399)


@pytest.mark.parametrize(
    ("auth", "form", "status", "error", "description"),
    [
        (("nobody", "demo-secret"), GRANT, 400, "invalid_client", "client not found"),
        (("demo-client", "wrong"), GRANT, 401, "invalid_client", "authentication failed"),
        (BASIC, {"grant_type": "password"}, 400, "unsupported_grant_type", "the grant type is not supported"),
        (BASIC, {}, 400, "unsupported_grant_type", "the grant type is not supported"),
        (None, GRANT, 400, "invalid_request", "client credentials are missing"),
        (
            BASIC,
            {**GRANT, "client_id": "demo-client", "client_secret": "demo-secret"},
            400,
            "invalid_request",
            "client credentials were given twice",
        ),
    ],
)
async def test_a_token_is_refused_with_the_three_fields_of_the_login_service(
    auth: tuple[str, str] | None, form: dict[str, str], status: int, error: str, description: str
) -> None:
    async with new_user() as user:
        body = form or {"other": "field"}
        reply = await user.http.post("/oauth/token", data=body, auth=auth or httpx.Auth())
        assert reply.status_code == status
        assert reply.json() == {"error": error, "description": description, "error_description": description}
        assert user.simulator.counts.tokens_issued == 1


@pytest.mark.parametrize("header", ["Basic !!!", "Basic " + base64.b64encode(b"no-colon").decode(), "Bearer abc"])
async def test_a_malformed_authorization_is_refused(header: str) -> None:
    async with new_user() as user:
        reply = await user.http.post("/oauth/token", data=GRANT, headers={"Authorization": header})
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


async def test_a_token_request_must_be_a_posted_form() -> None:
    async with new_user() as user:
        assert (await user.http.get("/oauth/token")).status_code == 405
        reply = await user.http.post("/oauth/token", json=GRANT, auth=BASIC)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(("accepted", "status"), [(True, 200), (False, 400)])
async def test_credentials_in_the_body_are_a_switch(accepted: bool, status: int) -> None:
    async with new_user(accept_body_credentials=accepted) as user:
        form = {**GRANT, "client_id": "demo-client", "client_secret": "demo-secret"}
        assert (await user.http.post("/oauth/token", data=form)).status_code == status


async def test_the_token_endpoint_can_throttle_with_a_400() -> None:
    clock = SteppedClock()
    async with new_user(token_requests_per_minute=2, clock=clock) as user:
        assert (await user.http.post("/oauth/token", data=GRANT, auth=BASIC)).status_code == 200
        reply = await user.http.post("/oauth/token", data=GRANT, auth=BASIC)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
        assert reply.json()["error_description"].startswith("rate limit exceeded;")
        clock.ahead += 60.0
        assert (await user.http.post("/oauth/token", data=GRANT, auth=BASIC)).status_code == 200


async def test_several_clients_each_have_their_secret() -> None:
    clients = (OAuthClient("one", "1"), OAuthClient("demo-client", "demo-secret"))
    async with new_user(clients=clients) as user:
        assert (await user.http.post("/oauth/token", data=GRANT, auth=("one", "1"))).status_code == 200
        assert (await user.http.post("/oauth/token", data=GRANT, auth=("one", "demo-secret"))).status_code == 401


async def test_the_eleventh_token_revokes_the_first() -> None:
    async with new_user() as user:
        first = user.token
        for _ in range(9):
            await user.log_in()
        assert (await user.ask(token=first)).status_code == 200
        await user.log_in()
        assert_error(await user.ask(token=first), 401, "bad.credentials")
        assert (await user.ask()).status_code == 200


async def test_a_request_without_a_good_token_is_told_why() -> None:
    async with new_user() as user:
        without = await user.http.post(path_of("a"), json={"fileId": "a"})
        assert_error(without, 401, "authentication.required")
        basic = await user.http.post(path_of("a"), json={"fileId": "a"}, auth=BASIC)
        assert_error(basic, 401, "authentication.required")
        assert_error(await user.ask(token="unknown"), 401, "bad.credentials")
        user.simulator.revoke_tokens()
        assert_error(await user.ask(), 401, "bad.credentials")


@pytest.mark.parametrize("code", ["credentials.expired", "bad.credentials"])
async def test_a_token_expires(code: Literal["credentials.expired", "bad.credentials"]) -> None:
    clock = SteppedClock()
    async with new_user(token_life=300.0, expired_token_code=code, clock=clock) as user:
        clock.ahead = 299.0
        assert (await user.ask()).status_code == 200
        clock.ahead = 300.0
        assert_error(await user.ask(), 401, code)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post_is_allowed(method: str) -> None:
    async with new_user() as user:
        reply = await user.http.request(method, path_of("a"))
        assert_error(reply, 405, "method.not.allowed")
        assert reply.headers["allow"] == "POST"


async def test_a_head_request_gets_no_body_and_leaves_the_connection_usable() -> None:
    async with new_user() as user:
        reply = await user.http.head(path_of("a"))
        assert (reply.status_code, reply.content) == (405, b"")
        assert (await user.ask()).status_code == 200
        assert user.simulator.counts.connections_total == 1


@pytest.mark.parametrize(
    "target",
    [
        "/api/v2/media/storage/files/../download-url",
        "/api/v2/media/storage/files/%2e%2e/download-url",
        "/api/v2/media/storage/files/./download-url",
        "/api/v2/media/storage/files//download-url",
        "/api/v2/media/storage/files/a//download-url",
        "/api/v2/media/storage/files/a%2Fb/download-url",
        "/api/v2/media/storage/files/a/download-url/",
        "/api/v2/media/storage/files/download-url",
        "/api/v2/media/storage/files/%zz/download-url",
        "/api/v2/media/storage/x/../files/a/download-url",
        "//api/v2/media/storage/files/a/download-url",
        "/api/v2/users/me",
        "/",
    ],
)
async def test_a_path_that_is_not_exactly_the_endpoints_is_not_found(target: str) -> None:
    async with new_user() as user:
        request = user.http.build_request(
            "POST",
            path_of("a"),
            json={"fileId": "a"},
            headers={"Authorization": f"Bearer {user.token}"},
            extensions={"target": target.encode()},
        )
        assert_error(await user.http.send(request), 404, "not.found")
        assert user.simulator.counts.api_requests == 0


@pytest.mark.parametrize("file_id", ["a b", "ä", "a+b", "a%2Fb", "...", "{fileId}", "a:b@c", "x" * 300])
async def test_an_id_of_unusual_characters_is_served_like_any_other(file_id: str) -> None:
    async with new_user() as user:
        reply = await user.ask(file_id)
        assert reply.status_code == 200
        assert (await user.http.get(reply.json()["url"])).status_code == 200
        assert user.simulator.counts.ok_by_file_id == {file_id: 1}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "bad.request"),
        (b"{", "bad.request"),
        (b"[]", "bad.request"),
        (b'"a"', "bad.request"),
        (b"\xff", "bad.request"),
        (b"[" * 100_000, "bad.request"),
        (b"{}", "bad.request"),
        (b'{"fileId":"b"}', "bad.request"),
        (b'{"fileId":1}', "bad.request"),
        (b'{"fileId":"a","fileId":"a"}', "bad.request"),
        (b'{"fileId":"a","extra":1}', "bad.request"),
        (b'{"fileId":"a","expiresIn":NaN}', "bad.request"),
        (b'{"fileId":"a","expiresIn":0}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":86401}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":"60"}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":60.0}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":true}', "invalid.value"),
        (b'{"fileId":"a","expiresIn":null}', "invalid.value"),
        (b'{"fileId":"a","accessLevel":""}', "invalid.value"),
        (b'{"fileId":"a","accessLevel":7}', "invalid.value"),
    ],
)
async def test_a_body_that_is_not_right_in_every_part_is_refused(content: bytes, code: str) -> None:
    async with new_user() as user:
        headers = {"Authorization": f"Bearer {user.token}", "Content-Type": "application/json; charset=utf-8"}
        assert_error(await user.http.post(path_of("a"), content=content, headers=headers), 400, code)


async def test_a_body_must_be_json_and_not_too_large() -> None:
    async with new_user() as user:
        headers = {"Authorization": f"Bearer {user.token}"}
        form = await user.http.post(path_of("a"), data={"fileId": "a"}, headers=headers)
        assert_error(form, 415, "unsupported.media.type")
        headers["Content-Type"] = "application/json"
        large = await user.http.post(path_of("a"), content=b" " * 512_001, headers=headers)
        assert_error(large, 413, "request.entity.too.large")
        assert "512000" in large.json()["message"]
        padded = b'{"fileId":"a"}'.ljust(512_000)
        assert (await user.http.post(path_of("a"), content=padded, headers=headers)).status_code == 200


async def test_what_is_asked_for_is_granted_within_the_most_that_is() -> None:
    async with new_user(url_life_default=900, url_life_max=1800) as user:
        assert (await user.ask()).json()["expiresIn"] == 900
        assert (await user.ask(expiresIn=1)).json()["expiresIn"] == 1
        assert (await user.ask(expiresIn=86400)).json()["expiresIn"] == 1800
        assert (await user.http.get((await user.ask(expiresIn=1)).json()["url"])).status_code == 200
        assert (await user.ask(accessLevel="read")).json()["accessLevel"] == "read"


async def test_some_ids_are_unknown_forbidden_or_documents() -> None:
    async with new_user(unknown_file_ids=frozenset({"lost"})) as user:
        assert_error(await user.ask("lost"), 404, "not.found")
        assert_error(await user.ask("missing-1"), 404, "not.found")
        forbidden = await user.ask("forbidden-1")
        assert_error(forbidden, 403, "missing.permissions")
        assert "missing the following permission(s): " in forbidden.json()["message"]
        assert (await user.ask("document-1")).json()["contentType"] == "application/pdf"


async def test_the_path_of_the_endpoint_is_a_setting() -> None:
    async with new_user(path_template="/gateway/{file_id}/url") as user:
        headers = {"Authorization": f"Bearer {user.token}"}
        reply = await user.http.post("/gateway/a/url", json={"fileId": "a"}, headers=headers)
        assert reply.status_code == 200


async def test_beyond_the_quota_stands_a_429_with_the_seconds_to_wait() -> None:
    clock = SteppedClock()
    async with new_user(quota=Quota(2, 60.0), clock=clock) as user:
        assert [(await user.ask()).status_code for _ in range(2)] == [200, 200]
        clock.ahead += 10.0
        refused = await user.ask()
        assert_error(refused, 429, "too.many.requests.retry.after")
        assert refused.headers["Retry-After"] == "49"
        assert refused.json()["message"] == ("Rate limit exceeded the maximum. Retry the request in [49] seconds")
        clock.ahead += 50.0
        assert (await user.ask()).status_code == 200
        assert user.simulator.counts.refused_429 == 1


async def test_each_token_has_a_quota_of_its_own() -> None:
    async with new_user(quota=Quota(1, 60.0)) as user:
        assert [(await user.ask()).status_code for _ in range(2)] == [200, 429]
        await user.log_in()
        assert (await user.ask()).status_code == 200


async def test_a_401_is_not_charged_and_everything_after_it_is() -> None:
    async with new_user(quota=Quota(3, 60.0)) as user:
        assert (await user.ask(token="unknown")).status_code == 401
        user.simulator.script(Fault.SERVER_ERROR_503)
        answers = [await user.ask(), await user.ask("missing-1"), await user.ask(expiresIn=0), await user.ask()]
        assert [answer.status_code for answer in answers] == [503, 404, 400, 429]


async def test_a_429_of_the_quota_uses_up_no_scripted_fault() -> None:
    async with new_user(quota=Quota(1, 60.0)) as user:
        await user.ask()
        user.simulator.script(Fault.SERVER_ERROR_500)
        assert (await user.ask()).status_code == 429
        await user.log_in()
        assert (await user.ask()).status_code == 500


async def test_the_quota_headers_are_a_switch() -> None:
    async with new_user(quota_headers=True, quota=Quota(2, 60.0)) as user:
        replies = [await user.ask(), await user.ask(expiresIn=0), await user.ask()]
        seen = [[reply.headers[f"inin-ratelimit-{name}"] for name in ("count", "allowed")] for reply in replies]
        assert seen == [["1", "2"], ["2", "2"], ["2", "2"]]
        assert replies[0].headers["inin-ratelimit-reset"] in ("60", "61")
    async with new_user() as user:
        assert "inin-ratelimit-count" not in (await user.ask()).headers


async def test_there_need_be_no_quota() -> None:
    async with new_user(quota=None, quota_headers=True) as user:
        assert {(await user.ask()).status_code for _ in range(310)} == {200}


async def test_latency_is_added_to_the_api_and_shows_in_flight() -> None:
    async with new_user(latency=0.2) as user:
        began = time.perf_counter()
        replies = await asyncio.gather(*(user.ask(f"file-{number}") for number in range(5)))
        assert 0.2 <= time.perf_counter() - began < 0.9
        assert {reply.status_code for reply in replies} == {200}
        assert (user.simulator.counts.greatest_in_flight, user.simulator.counts.in_flight) == (5, 0)


async def test_latency_can_be_log_normal() -> None:
    async with new_user(latency=(0.01, 0.5)) as user:
        began = time.perf_counter()
        assert (await user.ask()).status_code == 200
        assert time.perf_counter() - began > 0.001


async def test_a_media_url_can_be_read_in_ranges() -> None:
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


async def test_a_media_url_is_refused_when_old_changed_or_sent_with_a_token() -> None:
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


async def test_two_simulators_with_one_signing_key_trust_each_others_urls() -> None:
    async with new_user(signing_key=b"k") as one, new_user(signing_key=b"k") as two, new_user() as stranger:
        url = (await one.ask()).json()["url"].removeprefix(one.simulator.base_url)
        assert (await two.http.get(url)).status_code == 200
        assert (await stranger.http.get(url)).status_code == 403


STATUSES = {
    Fault.SERVER_ERROR_500: 500,
    Fault.SERVER_ERROR_502_HTML: 502,
    Fault.SERVER_ERROR_503: 503,
    Fault.SERVER_ERROR_503_RETRY_AFTER: 503,
    Fault.SERVER_ERROR_504: 504,
    Fault.TOO_MANY_REQUESTS: 429,
    Fault.TOO_MANY_REQUESTS_NO_HEADER: 429,
    Fault.CLIENT_TIMEOUT_408: 408,
    Fault.UNAUTHORIZED: 401,
    Fault.TOKEN_EXPIRED: 401,
}


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault in ERROR_STATUSES])
async def test_a_fault_with_a_status_answers_it_once_and_does_no_work(fault: Fault) -> None:
    async with new_user() as user:
        user.simulator.script(fault)
        reply = await user.ask()
        assert reply.status_code == STATUSES[fault]
        assert reply.headers["ININ-Correlation-Id"]
        waits = fault in (Fault.SERVER_ERROR_503_RETRY_AFTER, Fault.TOO_MANY_REQUESTS)
        assert reply.headers.get("Retry-After") == ("1" if waits else None)
        assert ("html" in reply.headers["content-type"]) == (fault is Fault.SERVER_ERROR_502_HTML)
        counts = user.simulator.counts
        assert (counts.api_ok, counts.refused_429, counts.faults) == (0, 0, {fault: 1})
        assert (await user.ask()).status_code == (401 if fault is Fault.TOKEN_EXPIRED else 200)


async def test_a_token_that_expired_by_fault_stays_expired_and_a_new_one_works() -> None:
    async with new_user() as user:
        user.simulator.script(Fault.TOKEN_EXPIRED)
        for _ in range(2):
            assert_error(await user.ask(), 401, "credentials.expired")
        await user.log_in()
        assert (await user.ask()).status_code == 200


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault.RESET_BEFORE_REPLY, httpx.ReadError, None),
        (Fault.RESET_DURING_REPLY, httpx.ReadError, None),
        (Fault.CLOSE_BEFORE_REPLY, httpx.RemoteProtocolError, "without sending a response"),
        (Fault.HANG, httpx.RemoteProtocolError, "without sending a response"),
        (Fault.GARBAGE, httpx.RemoteProtocolError, "illegal status line"),
        (Fault.TRUNCATED_BODY, httpx.RemoteProtocolError, "without sending complete message body"),
    ],
)
async def test_a_fault_of_the_wire_breaks_the_exchange_and_the_next_is_good(
    fault: Fault, error: type[httpx.TransportError], words: str | None
) -> None:
    async with new_user() as user:
        user.simulator.script(fault)
        began = time.perf_counter()
        with pytest.raises(error, match=words):
            await user.ask()
        assert fault is not Fault.HANG or time.perf_counter() - began >= 0.1
        assert (await user.ask()).status_code == 200
        counts = user.simulator.counts
        assert (counts.api_requests, counts.api_ok, counts.in_flight) == (2, 1, 0)
        assert counts.by_status == {200: 1 if fault in SILENT else 2}


async def test_half_a_reply_arrives_before_a_reset() -> None:
    async with new_user() as user:
        user.simulator.script(Fault.RESET_DURING_REPLY)
        request = user.http.build_request(
            "POST", path_of("a"), json={"fileId": "a"}, headers={"Authorization": f"Bearer {user.token}"}
        )
        reply = await user.http.send(request, stream=True)
        assert reply.status_code == 200
        pieces = reply.aiter_raw()
        half = await anext(pieces)
        with pytest.raises(httpx.ReadError):
            await anext(pieces)
        await reply.aclose()
        assert len(half) == int(reply.headers["content-length"]) // 2


async def test_a_slow_drip_comes_byte_by_byte_and_whole_and_late() -> None:
    async with new_user(drip_gap=0.0005) as user:
        user.simulator.script(Fault.SLOW_DRIP)
        began = time.perf_counter()
        headers = {"Authorization": f"Bearer {user.token}"}
        async with user.http.stream("POST", path_of("a"), json={"fileId": "a"}, headers=headers) as reply:
            pieces = [piece async for piece in reply.aiter_raw()]
        assert len(pieces) > 20
        assert json.loads(b"".join(pieces))["fileName"].startswith("a.")
        assert time.perf_counter() - began >= 0.1
        assert user.simulator.counts.api_ok == 1
        assert (await user.ask()).status_code == 200


async def test_a_reply_can_come_late() -> None:
    async with new_user() as user:
        user.simulator.script(Fault.LATE)
        began = time.perf_counter()
        assert (await user.ask()).status_code == 200
        assert time.perf_counter() - began >= 0.1
        assert user.simulator.counts.api_ok == 1


async def spoiled(fault: Fault) -> tuple[httpx.Response, dict[str, object] | None]:
    async with new_user() as user:
        user.simulator.script(fault)
        reply = await user.ask()
        assert reply.status_code == 200
        assert user.simulator.counts.api_ok == (1 if fault is Fault.COMPRESSED_BODY else 0)
        assert user.simulator.counts.faults == {fault: 1}
        try:
            return reply, json.loads(reply.content)
        except ValueError:
            return reply, None


@pytest.mark.parametrize("fault", [Fault.TRUNCATED_JSON, Fault.MALFORMED_JSON])
async def test_json_can_be_cut_or_malformed(fault: Fault) -> None:
    reply, body = await spoiled(fault)
    assert body is None
    assert len(reply.content) == int(reply.headers["content-length"])


async def test_a_body_can_be_oversized_and_chunked() -> None:
    reply, body = await spoiled(Fault.OVERSIZED_BODY)
    assert len(reply.content) > 64 * 1024
    assert reply.headers["transfer-encoding"] == "chunked"
    assert body is not None
    assert body["fileName"]


async def test_a_body_can_be_compressed() -> None:
    reply, body = await spoiled(Fault.COMPRESSED_BODY)
    assert reply.headers["content-encoding"] == "gzip"
    assert body is not None


async def test_a_body_can_have_the_wrong_content_type() -> None:
    reply, body = await spoiled(Fault.WRONG_CONTENT_TYPE)
    assert reply.headers["content-type"].startswith("text/html")
    assert body is not None


async def test_fields_can_be_empty_missing_of_the_wrong_type_or_without_tls() -> None:
    _, empty = await spoiled(Fault.EMPTY_URL)
    assert empty is not None
    assert empty["url"] == ""
    _, missing = await spoiled(Fault.MISSING_FIELDS)
    assert missing is not None
    assert missing.keys() == {"url", "fileName"}
    _, wrong = await spoiled(Fault.WRONG_TYPES)
    assert wrong is not None
    assert wrong["expiresIn"] == "3600"
    _, http = await spoiled(Fault.HTTP_URL)
    assert http is not None
    assert str(http["url"]).startswith("http://media.example.com/media/file-1/")


async def test_a_fault_that_spoils_a_good_reply_leaves_an_error_as_it_is() -> None:
    async with new_user() as user:
        user.simulator.script(Fault.EMPTY_URL)
        assert_error(await user.ask("missing-1"), 404, "not.found")
        assert user.simulator.counts.faults == {}


async def test_faults_come_by_chance_too() -> None:
    async with new_user(faults={Fault.SERVER_ERROR_503: 0.5}, quota=None) as user:
        seen = Counter([(await user.ask()).status_code for _ in range(100)])
        assert seen.keys() == {200, 503}
        assert user.simulator.counts.faults[Fault.SERVER_ERROR_503] == seen[503]
        assert user.simulator.counts.api_ok == seen[200]


async def test_the_token_endpoint_has_faults_of_its_own() -> None:
    async with new_user() as user:
        script = (Fault.SERVER_ERROR_503, Fault.UNAUTHORIZED, Fault.MISSING_FIELDS, Fault.WRONG_TYPES)
        user.simulator.script_token(*script, Fault.RESET_BEFORE_REPLY)
        replies = [await user.http.post("/oauth/token", data=GRANT, auth=BASIC) for _ in script]
        assert [reply.status_code for reply in replies] == [503, 401, 200, 200]
        assert replies[1].json()["error"] == "invalid_client"
        assert "access_token" not in replies[2].json()
        assert replies[3].json()["expires_in"] == "86400"
        with pytest.raises(httpx.ReadError):
            await user.log_in()
        assert user.simulator.counts.faults.total() == 5
        assert user.simulator.counts.api_requests == 0
        with pytest.raises(ValueError, match="empty-url"):
            user.simulator.script_token(Fault.EMPTY_URL)


WEBHOOK = {"event": "media.url.generated", "fileId": "file-1", "timestamp": "2026-01-02T03:04:05.678Z"}


async def post_webhook(user: User, body: object, **headers: str) -> httpx.Response:
    return await user.http.post(user.simulator.webhook_url, json=body, headers={"webhook-id": "msg-1", **headers})


async def test_a_webhook_that_is_right_is_kept() -> None:
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
async def test_a_webhook_that_is_wrong_is_rejected(wrong: dict[str, Any]) -> None:
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


async def test_a_signed_webhook_is_verified_in_every_part() -> None:
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


def raw_request(token: str, file_id: str = "a", *, headers: bytes = b"", body: bytes | None = None) -> bytes:
    content = b'{"fileId":"%s"}' % file_id.encode() if body is None else body
    length = b"" if b"chunked" in headers else b"Content-Length: %d\r\n" % len(content)
    head = f"POST {path_of(file_id)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
    return head + b"Content-Type: application/json\r\n" + length + headers + b"\r\n" + content


async def test_pipelined_requests_are_answered_in_order_even_when_one_is_late() -> None:
    async with new_user() as user:
        user.simulator.script(None, Fault.LATE)
        names = [f"file-{number}" for number in range(100)]
        requests = [raw_request(user.token, name) for name in names]
        requests[-1] = raw_request(user.token, names[-1], headers=b"Connection: close\r\n")
        answer = await raw_exchange(user.simulator, b"".join(requests))
        found = re.findall(rb'"fileName":"(file-\d+)\.', answer)
        assert [name.decode() for name in found] == names
        assert answer.count(b"Connection: close") == 1


async def test_a_large_head_in_small_pieces_and_many_heads_in_large_ones_are_taken() -> None:
    async with new_user(quota=None) as user:
        padding = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(50))
        one = raw_request(user.token, headers=padding)
        last = raw_request(user.token, headers=padding + b"Connection: close\r\n")
        port = int(user.simulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(one * 20 + last[:30_000])
        await asyncio.sleep(0.05)
        for start in range(30_000, len(last), 5000):
            writer.write(last[start : start + 5000])
            await asyncio.sleep(0.001)
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 21
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_does_not_read_is_waited_for() -> None:
    async with new_user(media_bytes=200_000) as user:
        target = (await user.ask()).json()["url"].removeprefix(user.simulator.base_url)
        request = f"GET {target} HTTP/1.1\r\nHost: x\r\n".encode()
        port = int(user.simulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write((request + b"\r\n") * 99 + request + b"Connection: close\r\n\r\n")
        await asyncio.sleep(0.05)
        assert user.simulator.counts.media_requests < 100
        assert len(await reader.read()) > 100 * 200_000
        assert user.simulator.counts.media_requests == 100
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("asking", [b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b""])
async def test_a_change_of_protocol_is_not_offered(asking: bytes) -> None:
    async with new_user() as user:
        request = raw_request(user.token, headers=asking)
        if not asking:
            request = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"
        assert (await raw_exchange(user.simulator, request)).startswith(b"HTTP/1.1 501 ")


async def test_a_chunked_body_in_small_pieces_is_put_together() -> None:
    async with new_user() as user:
        body = b'5\r\n{"fil\r\n9\r\neId":"a"}\r\n0\r\n\r\n'
        request = raw_request(user.token, headers=b"Transfer-Encoding: chunked\r\nConnection: close\r\n", body=body)
        port = int(user.simulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(request), 40):
            writer.write(request[start : start + 40])
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_expects_100_continue_is_told_to_go_on() -> None:
    async with new_user() as user:
        port = int(user.simulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = raw_request(user.token, headers=b"Expect: 100-continue\r\nConnection: close\r\n")
        head, _, body = request.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()


async def test_a_body_announced_too_large_is_refused_before_it_is_sent() -> None:
    async with new_user() as user:
        head = raw_request(user.token, body=b"").replace(b"Content-Length: 0", b"Content-Length: 600000")
        announced = head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
        assert (await raw_exchange(user.simulator, announced)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_without_end_is_cut_off() -> None:
    async with new_user() as user:
        endless = raw_request(user.token, headers=b"Transfer-Encoding: chunked\r\n", body=b"")
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        port = int(user.simulator.base_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(endless + chunk * 70)
        assert (await reader.read(13)) == b"HTTP/1.1 413 "
        writer.transport.abort()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: aaaaaaaaaa\r\n" * 7_000 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 70_000, b"431"),
    ],
)
async def test_what_is_no_request_or_has_too_large_a_head_is_refused(data: bytes, status: bytes) -> None:
    async with new_user() as user:
        answer = await raw_exchange(user.simulator, data)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"Connection: close" in answer
        assert b"ININ-Correlation-Id: " in answer
        assert (await user.ask()).status_code == 200


async def test_a_connection_is_kept_alive_and_counted() -> None:
    async with new_user() as user:
        for _ in range(5):
            await user.ask()
        counts = user.simulator.counts
        assert (counts.connections_total, counts.connections_open) == (1, 1)
        await user.http.post(path_of("a"), headers={"Connection": "close"})
        await eventually(lambda: counts.connections_open == 0)


async def test_everything_is_counted() -> None:
    async with new_user(quota=Quota(3, 60.0)) as user:
        url = (await user.ask("one")).json()["url"]
        user.simulator.script(Fault.SERVER_ERROR_500)
        await user.ask("one")
        await user.ask("missing-1")
        await user.ask("two")
        await user.http.get(url)
        counts = user.simulator.counts
        assert (counts.token_requests, counts.tokens_issued, counts.media_requests) == (1, 1, 1)
        assert (counts.api_requests, counts.api_ok, counts.refused_429) == (4, 1, 1)
        assert counts.by_status == {200: 1, 500: 1, 404: 1, 429: 1}
        assert counts.by_file_id == {"one": 2, "missing-1": 1, "two": 1}
        assert counts.ok_by_file_id == {"one": 1}
        assert json.loads(json.dumps(counts.as_dict()))["faults"] == {"server-error-500": 1}


async def test_file_ids_need_not_be_counted_nor_deliveries_kept() -> None:
    async with new_user(count_file_ids=False, keep_deliveries=False) as user:
        await user.ask()
        assert (await post_webhook(user, WEBHOOK)).status_code == 204
        assert not user.simulator.counts.by_file_id
        assert not user.simulator.counts.ok_by_file_id
        assert user.simulator.deliveries == []


async def test_a_client_that_leaves_early_is_not_counted_as_served() -> None:
    async with new_user(latency=20.0) as user:
        with pytest.raises(httpx.ReadTimeout):
            await user.http.post(
                path_of("a"),
                json={"fileId": "a"},
                headers={"Authorization": f"Bearer {user.token}"},
                timeout=0.05,
            )
        counts = user.simulator.counts
        await eventually(lambda: counts.in_flight == 0)
        assert (counts.api_ok, counts.by_status) == (0, {})


async def test_closing_leaves_no_connection_whatever_it_was_doing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings = SimulatorSettings(latency=30.0, fault_seconds=30.0)
        async with user_of(Simulator(settings)) as user:
            user.simulator.script(None, Fault.HANG, Fault.SLOW_DRIP)
            before = asyncio.all_tasks()
            asking = [asyncio.create_task(user.ask()) for _ in range(3)]
            port = int(user.simulator.base_url.rpartition(":")[2])
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            await eventually(lambda: user.simulator.counts.connections_open == 6)
            began = time.perf_counter()
            await user.simulator.aclose()
            assert time.perf_counter() - began < 5
            counts = user.simulator.counts
            assert (counts.connections_open, counts.in_flight, counts.api_ok) == (0, 0, 0)
            outcomes = await asyncio.gather(*asking, return_exceptions=True)
            assert all(isinstance(outcome, httpx.TransportError) for outcome in outcomes)
            for reader, writer in idle:
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
            with pytest.raises(httpx.ConnectError):
                await user.ask()
            await user.simulator.aclose()
        gc.collect()
    await eventually(lambda: asyncio.all_tasks() <= before)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return serving, trusting


async def test_tls_works_alike_down_to_the_reset(authority: trustme.CA) -> None:
    serving, trusting = contexts(authority)
    simulator = Simulator(SimulatorSettings(**QUICK), ssl_context=serving)
    async with user_of(simulator, verify=trusting) as user:
        assert simulator.base_url.startswith("https://")
        assert {(await user.ask()).status_code for _ in range(20)} == {200}
        reply = await user.ask()
        assert (await user.http.get(reply.json()["url"])).status_code == 200
        simulator.script(Fault.RESET_BEFORE_REPLY, Fault.CLOSE_BEFORE_REPLY, Fault.SLOW_DRIP)
        with pytest.raises(httpx.ReadError):
            await user.ask()
        with pytest.raises(httpx.RemoteProtocolError):
            await user.ask()
        assert (await user.ask()).status_code == 200


async def test_closing_ends_a_handshake_that_never_does_and_one_that_failed(authority: trustme.CA) -> None:
    serving, _ = contexts(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with Simulator(ssl_context=serving) as simulator:
            port = int(simulator.base_url.rpartition(":")[2])
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            async with httpx.AsyncClient(base_url=simulator.base_url, trust_env=False) as distrustful:
                with pytest.raises(httpx.ConnectError):
                    await distrustful.get("/")
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert simulator.counts.connections_total == 0
        gc.collect()


def test_every_fault_is_tried_here() -> None:
    spoiling = {
        Fault.TRUNCATED_JSON,
        Fault.MALFORMED_JSON,
        Fault.OVERSIZED_BODY,
        Fault.COMPRESSED_BODY,
        Fault.WRONG_CONTENT_TYPE,
        Fault.EMPTY_URL,
        Fault.MISSING_FIELDS,
        Fault.WRONG_TYPES,
        Fault.HTTP_URL,
        Fault.LATE,
    }
    assert set(Fault) == spoiling | ERROR_STATUSES | SILENT | CUT_OR_SLOW
