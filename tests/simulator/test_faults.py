"""Faults over sockets, as a client sees each of them."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from genesys_media_async.simulator import Fault, Simulator
from genesys_media_async.simulator.fault_kinds import CUT_OR_SLOW, ERROR_STATUSES, SILENT
from tests.support.simulator_users import BASIC, GRANT, assert_error, new_user, path_of
from tests.support.virtual_simulators import in_virtual_time

if TYPE_CHECKING:
    from genesys_media_async.clock import VirtualClock

pytestmark = pytest.mark.anyio


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
async def test_a_fault_with_a_status_is_sent_once_and_has_no_effect(fault: Fault) -> None:
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
async def test_a_wire_fault_breaks_the_exchange_and_the_next_one_is_good(
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


async def test_a_keep_alive_race_ends_only_a_connection_that_was_used() -> None:
    async with new_user() as user:
        user.simulator.script(Fault.KEEP_ALIVE_RACE, Fault.KEEP_ALIVE_RACE, Fault.KEEP_ALIVE_RACE)
        # The login came over this connection before.
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            await user.ask()
        assert (await user.ask()).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            await user.ask()
        counts = user.simulator.counts
        assert (counts.api_requests, counts.api_ok, counts.in_flight) == (3, 1, 0)
        assert counts.faults == {Fault.KEEP_ALIVE_RACE: 2}


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


async def test_a_slow_drip_arrives_byte_by_byte_late_and_whole() -> None:
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


async def test_a_reply_can_be_late() -> None:
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


async def test_a_fault_that_spoils_good_replies_does_not_change_an_error() -> None:
    async with new_user() as user:
        user.simulator.script(Fault.EMPTY_URL)
        assert_error(await user.ask("missing-1"), 404, "not.found")
        assert user.simulator.counts.faults == {}


async def test_faults_can_happen_by_probability() -> None:
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


def test_every_fault_is_tested_here() -> None:
    spoiled_replies = {
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
    assert set(Fault) == spoiled_replies | ERROR_STATUSES | SILENT | CUT_OR_SLOW


def test_a_fault_without_anything_to_spoil_does_not_change_the_reply() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        simulator.script(Fault.EMPTY_URL, Fault.MISSING_FIELDS)
        good = await http.get("/api/v2/organizations/me")
        await http.get("/api/v2/organizations/me")
        return good.status_code, simulator.counts.faults, simulator.counts.api_ok

    assert in_virtual_time(scenario)[0] == (200, {Fault.MISSING_FIELDS: 1}, 1)
