"""The socket server: HTTP/1.1 in unusual forms, TLS, and closing."""

from __future__ import annotations

import asyncio
import gc
import re
import ssl
import time
import warnings

import httpx
import pytest
import trustme

from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.simulator_users import QUICK, eventually, new_user, path_of, raw_exchange, user_of

pytestmark = pytest.mark.anyio


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


async def test_a_large_head_in_small_pieces_and_many_heads_in_large_ones_are_accepted() -> None:
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


async def test_the_server_waits_for_a_client_that_does_not_read() -> None:
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
async def test_a_change_of_protocol_is_refused(asking: bytes) -> None:
    async with new_user() as user:
        request = raw_request(user.token, headers=asking)
        if not asking:
            request = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"
        assert (await raw_exchange(user.simulator, request)).startswith(b"HTTP/1.1 501 ")


async def test_a_chunked_body_in_small_pieces_is_joined() -> None:
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


async def test_a_client_that_expects_100_continue_gets_it() -> None:
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


async def test_an_endless_body_is_cut_off() -> None:
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
async def test_bytes_that_are_no_request_and_a_head_that_is_too_large_are_refused(data: bytes, status: bytes) -> None:
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


async def test_closing_leaves_no_connection_in_whatever_state_it_was() -> None:
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


async def test_over_tls_everything_works_in_the_same_way_even_a_reset(authority: trustme.CA) -> None:
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


async def test_closing_ends_an_endless_handshake_and_a_failed_one(authority: trustme.CA) -> None:
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
