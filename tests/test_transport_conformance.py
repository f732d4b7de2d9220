"""What every transport has to do, over real sockets, on both event loops, plain and over TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import gzip
import random
import socket
import ssl
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import trustme

from genesys_media_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
)
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.transports import DirectTransport, HttpReply, HttpRequest, HttpxTransport, Transport
from genesys_media_async.transports.tls import tls_context
from tests.scripted_server import (
    OK,
    dripping,
    only,
    resetting,
    saying,
    saying_and_closing,
    server_tls,
    serving,
    silent,
)
from tests.support.retrievers import other_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.scripted_server import Server, Talk

    Carrying = Callable[..., AbstractAsyncContextManager[Transport]]

HEADERS = {"authorization": "Bearer canary-token", "accept-encoding": "identity", "user-agent": "a/1"}
QUOTABLE = ["https://user:canary/x@a.test/", "https://a.test:canary/", "https://[canary]/"]
HTTPX, DIRECT, UNDER_HTTPX = "httpx", "direct", "direct under httpx"

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[context]


@pytest.fixture(
    params=["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(uvloop is None, reason="uvloop is an extra"))]
)
def anyio_backend(request: pytest.FixtureRequest):
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture(params=[HTTPX, DIRECT, UNDER_HTTPX])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = tls_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def carrying(kind: str, trusting: ssl.SSLContext) -> Carrying:
    """Make a transport of the kind, and close it."""

    @contextlib.asynccontextmanager
    async def carry(context: ssl.SSLContext | None = None, most: int | None = None) -> AsyncIterator[Transport]:
        context = context or trusting
        limits = httpx.Limits(max_connections=most, keepalive_expiry=60)
        transport: Transport
        if kind == HTTPX:
            client = httpx.AsyncClient(verify=context, limits=limits, timeout=None, trust_env=False)
            transport = HttpxTransport(client, owned=True)
        elif kind == DIRECT:
            transport = DirectTransport(ssl_context=context, limits=limits)
        else:
            direct = DirectTransport(ssl_context=context, limits=limits)
            transport = HttpxTransport(httpx.AsyncClient(transport=direct, timeout=None), owned=True)
        try:
            yield transport
        finally:
            await transport.aclose()

    return carry


async def ask(transport: Transport, url: str, *, method: str = "POST", timeout: float = 5, **changes) -> HttpReply:
    longest = changes.pop("max_reply_size", 64 * 1024)
    request = HttpRequest(method, url, changes.pop("headers", HEADERS), changes.pop("body", b"body"))
    return await transport.exchange(request, timeout=timeout, max_reply_size=longest)


async def failure(transport: Transport, url: str, **changes) -> GenesysMediaError:
    with pytest.raises(GenesysMediaError) as caught:
        await ask(transport, url, **changes)
    assert "canary" not in f"{caught.value} {caught.value!r}"
    return caught.value


async def turns(number: int) -> None:
    """Let the loop turn; what was sent on this machine has arrived after one or two."""
    for _ in range(number):
        await asyncio.sleep(0)


async def echo(server: Server, writer: asyncio.StreamWriter) -> None:
    """Answer with the target of the request."""
    target = server.requests[-1].split(b" ", 2)[1]
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target))


@pytest.mark.anyio
class TestTheRequest:
    async def test_arrives_as_it_was_meant(self, carrying: Carrying) -> None:
        async with serving(saying(OK)) as (server, url), carrying() as transport:
            await ask(transport, url + "/%2e%2e/b%2Fc?y=1&z=%20#part")
            await ask(transport, url, method="GET", body=b"")
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        headers = [(name, value) for name, _, value in (field.lower().partition(b": ") for field in fields)]
        assert line == b"POST /x/%2e%2e/b%2Fc?y=1&z=%20 HTTP/1.1"
        assert body == b"body"
        assert (
            dict(headers).items()
            >= {
                b"host": url.removeprefix("http://").removesuffix("/x").encode(),
                b"authorization": b"bearer canary-token",
                b"accept-encoding": b"identity",
                b"user-agent": b"a/1",
                b"content-length": b"4",
            }.items()
        )
        assert len(dict(headers)) == len(headers)
        assert server.requests[1].startswith(b"GET /x HTTP/1.1\r\n")
        assert b"content-length" not in server.requests[1].lower()

    async def test_without_a_path_asks_for_the_root(self, carrying: Carrying) -> None:
        async with serving(saying(OK)) as (server, url), carrying() as transport:
            for end in ("", "?a=b/c"):
                await ask(transport, url.removesuffix("/x") + end, body=b"")
        assert [request.split(b" ")[1] for request in server.requests] == [b"/", b"/?a=b/c"]
        assert all(b"content-length: 0" in request.lower() for request in server.requests)

    async def test_goes_to_an_ipv6_address(self, carrying: Carrying) -> None:
        if not socket.has_dualstack_ipv6():
            pytest.skip("this machine has no IPv6")
        async with serving(saying(OK), host="::1") as (server, url), carrying() as transport:
            await ask(transport, url)
        assert url.removeprefix("http://").removesuffix("/x").encode() in server.requests[0]

    @pytest.mark.parametrize(
        "headers",
        [
            {"authorization": "Bearer canary\r\nx: y"},
            {"authorization": "Bearer canary\nx: y"},
            {"authorization": "canary\0"},
            {"x canary": "1"},
            {"x-canary\r\ny": "1"},
            {"": "canary"},
            {"x-canary:": "1"},
        ],
    )
    async def test_with_an_illegal_header_is_not_sent_and_not_quoted(self, carrying: Carrying, headers) -> None:
        async with serving(saying(OK)) as (server, url), carrying() as transport:
            error = await failure(transport, url, headers=headers)
            assert isinstance(error, APIConnectionError)
        assert server.requests == []

    @pytest.mark.parametrize(
        "url", ["", "nowhere", "https://", "ftp://a.test/", "https://a.test:99999/", "https://[/", *QUOTABLE]
    )
    async def test_to_a_url_that_is_none_is_one_of_our_errors(self, carrying: Carrying, url: str) -> None:
        async with carrying() as transport:
            assert isinstance(await failure(transport, url), ConnectError)

    @pytest.mark.parametrize(
        ("end", "changes"),
        [
            ("", {"headers": {"authorization": "Bearer canary-€"}}),
            ("", {"headers": {"x-canary-€": "1"}}),
            ("", {"method": "P€ST"}),
            ("/canary-\ud800", {}),
        ],
    )
    async def test_with_what_has_no_bytes_is_not_sent_and_not_quoted(
        self, carrying: Carrying, end: str, changes: dict[str, Any]
    ) -> None:
        async with serving(saying(OK)) as (server, url), carrying() as transport:
            error = await failure(transport, url + end, **changes)
            assert type(error) is ConnectError
            assert not error.retryable
        assert server.requests == []

    @pytest.mark.parametrize("value", ["close", "te, Close"])
    async def test_that_asks_for_it_is_the_last_of_its_connection(self, carrying: Carrying, value: str) -> None:
        async with serving(saying(OK)) as (server, url), carrying() as transport:
            for _ in range(2):
                await ask(transport, url, headers={"Connection": value})
            await ask(transport, url)
            await ask(transport, url)
            assert server.connections == 3

    async def test_of_any_size_is_sent_whole(self, carrying: Carrying) -> None:
        body = bytes(range(256)) * 8_000
        async with serving(saying(OK)) as (server, url), carrying() as transport:
            await ask(transport, url, body=body)
        assert server.requests[0].endswith(b"\r\n\r\n" + body)

    async def test_that_is_answered_before_it_was_taken_gets_its_answer(self, carrying: Carrying, kind: str) -> None:
        # httpx does not look for an answer before all of a body is sent.
        size = 300 if kind == HTTPX else 5_000_000

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await asyncio.wait_for(answered.wait(), 5)

        async with serving(talk, early=True) as (server, url), carrying() as transport:
            answered = asyncio.Event()
            reply = await ask(transport, url, body=b"x" * size)
            answered.set()
            assert (reply.status, reply.body) == (413, b"no")
            if kind != HTTPX:
                await asyncio.wait_for(server.ended.wait(), 2)


WHOLE = {
    "with a length": (b"HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "with extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Evil: 1\r\nB: 2\r\n\r\n",
        b"hello",
    ),
    "after interim replies": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"hello",
    ),
    "without a body": (b"HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n", b""),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
    "with an empty body": (b"HTTP/1.1 200\r\nContent-Length: 0\r\nEmpty:\r\n\r\n", b""),
}


@pytest.mark.anyio
class TestTheReply:
    @pytest.mark.parametrize("shape", WHOLE)
    async def test_is_the_same_wherever_its_packets_are_cut(self, carrying: Carrying, shape: str) -> None:
        raw, body = WHOLE[shape]
        cuts = iter([[raw], *([raw[:at], raw[at:]] for at in range(1, len(raw))), [bytes([byte]) for byte in raw]])

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            for part in next(cuts):
                writer.write(part)
                await writer.drain()
                for _ in range(3):
                    await asyncio.sleep(0)

        async with serving(talk) as (server, url), carrying() as transport:
            for _ in range(len(raw) + 1):
                reply = await ask(transport, url)
                assert (reply.status, reply.body) == (int(raw.rpartition(b"HTTP/1.1 ")[2][:3]), body)
                assert "x-evil" not in reply.headers
            assert server.connections == 1

    async def test_has_its_header_names_in_lower_case_and_the_last_of_repeated_ones(self, carrying: Carrying) -> None:
        raw = b"HTTP/1.1 200 OK\r\nX-Y: 1\r\nx-Y: 2\r\nEmpty:\r\nLatin: \xe9\r\nContent-Length: 2\r\n\r\n{}"
        async with serving(saying(raw)) as (_, url), carrying() as transport:
            for _ in range(2):
                reply = await ask(transport, url)
                assert dict(reply.headers) == {"x-y": "2", "empty": "", "latin": "é", "content-length": "2"}

    async def test_to_head_has_no_body_whatever_its_length_says(self, carrying: Carrying) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        async with serving(saying(raw)) as (server, url), carrying() as transport:
            for _ in range(3):
                reply = await ask(transport, url, method="HEAD", body=b"")
                assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "5000")
            assert server.connections == 1

    @pytest.mark.parametrize(
        "raw", [b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\n"]
    )
    async def test_may_last_until_the_connection_is_closed(self, carrying: Carrying, raw: bytes) -> None:
        async with serving(saying_and_closing(raw)) as (server, url), carrying() as transport:
            for _ in range(2):
                assert (await ask(transport, url)).body == raw.partition(b"\r\n\r\n")[2]
            assert server.connections == 2

    @pytest.mark.parametrize(
        "raw",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        ],
    )
    async def test_that_says_so_is_the_last_of_its_connection(self, carrying: Carrying, raw: bytes) -> None:
        async with serving(saying(raw)) as (server, url), carrying() as transport:
            for _ in range(3):
                assert (await ask(transport, url)).body == b"{}"
            assert server.connections == 3

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize(
        "first",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    )
    @pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"HTTP/1.1 2", b"evil"])
    async def test_is_all_that_a_caller_gets_of_what_came_for_one_request(
        self, carrying: Carrying, kind: str, first: bytes, more: bytes, together: bool
    ) -> None:
        all_sent = asyncio.Event()

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            if server.connections > 1:
                await echo(server, writer)
                return
            writer.write(first + more if together else first)
            if not together:
                await asyncio.sleep(0.005)
                writer.write(more)
            all_sent.set()

        async with serving(talk) as (server, url), carrying() as transport:
            assert b"evil" not in (await ask(transport, url)).body
            await all_sent.wait()
            if kind != HTTPX:
                await asyncio.wait_for(server.ended.wait(), 2)
            elif together:
                # httpx looks at what is left only with the next request: it fails that, or gives it a whole reply.
                return
            assert (await ask(transport, url)).body == b"/x"
            assert server.connections == 2

    async def test_to_head_with_a_body_does_not_spill_into_the_next(self, carrying: Carrying, kind: str) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            if server.connections > 1:
                await echo(server, writer)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

        async with serving(talk) as (_, url), carrying() as transport:
            assert (await ask(transport, url, method="HEAD", body=b"")).body == b""
            await asyncio.sleep(0.01)
            if kind == HTTPX:
                assert type(await failure(transport, url)) is APIConnectionError
            assert (await ask(transport, url)).body == b"/x"

    @pytest.mark.parametrize("shape", WHOLE)
    async def test_that_ends_at_any_byte_before_its_last_is_an_error(self, carrying: Carrying, shape: str) -> None:
        raw, _ = WHOLE[shape]
        lengths = iter(range(len(raw)))

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            await saying_and_closing(raw[: next(lengths)])(server, writer)

        async with serving(talk) as (_, url), carrying() as transport:
            for _ in raw:
                assert type(await failure(transport, url)) is APIConnectionError

    @pytest.mark.parametrize(
        "raw",
        [
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"\x00\xff" * 50,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999999\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\na b: c\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\na: \0\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 000 OK\r\ncontent-length: 4\r\n\r\nevilHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 099 OK\r\n\r\n{}",
            b"HTTP/1.1 2x0 OK\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\na: " + b"x" * 300_000 + b"\r\ncontent-length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 60_000 + b"content-length: 2\r\n\r\n{}",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
        ],
    )
    async def test_that_is_not_http_is_an_error(self, carrying: Carrying, kind: str, raw: bytes) -> None:
        async with serving(saying_and_closing(raw)) as (_, url), carrying() as transport:
            assert type(await failure(transport, url)) is APIConnectionError

    async def test_that_changes_the_protocol_is_refused(self, carrying: Carrying) -> None:
        raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"
        async with serving(saying(raw)) as (_, url), carrying() as transport:
            assert type(await failure(transport, url)) is APIConnectionError

    async def test_is_taken_up_to_the_limit_and_not_beyond(self, carrying: Carrying) -> None:
        for framing in (
            b"content-length: 10\r\n\r\n0123456789",
            b"transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        ):
            async with serving(saying(b"HTTP/1.1 200 OK\r\n" + framing)) as (_, url), carrying() as transport:
                assert (await ask(transport, url, max_reply_size=10)).body == b"0123456789"
                error = await failure(transport, url, max_reply_size=9)
                assert isinstance(error, InvalidResponseError)
                assert (error.code, error.status_code) == ("reply_too_large", 200)

    async def test_that_never_ends_is_given_up(self, carrying: Carrying) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x" * 100_000)
                await writer.drain()

        async with serving(talk) as (server, url), carrying() as transport:
            error = await failure(transport, url)
            assert error.code == "reply_too_large"
            await asyncio.wait_for(server.ended.wait(), 2)

    @pytest.mark.parametrize("size", [100, 2_000_000])
    async def test_that_is_compressed_is_refused(self, carrying: Carrying, size: int) -> None:
        body = gzip.compress(random.Random(1).randbytes(size))
        raw = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        async with serving(saying(raw)) as (_, url), carrying() as transport:
            error = await failure(transport, url)
            assert isinstance(error, InvalidResponseError)
            assert (error.code, error.status_code) == ("reply_compressed", 200)


@pytest.mark.anyio
class TestAFailure:
    async def test_to_connect_says_that_nothing_was_sent(self, carrying: Carrying) -> None:
        async with serving(saying(OK)) as (_, url):
            pass
        async with carrying() as transport:
            assert type(await failure(transport, url)) is ConnectError
            assert type(await failure(transport, "http://name.invalid/")) is ConnectError

    @pytest.mark.parametrize("talk", [resetting, saying_and_closing(b""), saying_and_closing(OK[:-1])])
    async def test_after_sending_does_not_send_again(self, carrying: Carrying, talk: Talk) -> None:
        async with serving(talk) as (server, url), carrying() as transport:
            error = await failure(transport, url)
            assert type(error) is APIConnectionError
            assert error.retryable
            assert len(server.requests) == 1

    @pytest.mark.parametrize("talk", [silent, dripping])
    async def test_to_answer_in_time_closes_the_connection(self, carrying: Carrying, talk: Talk) -> None:
        async with serving(talk) as (server, url), carrying() as transport:
            began = anyio.current_time()
            assert type(await failure(transport, url, timeout=0.1)) is APITimeoutError
            assert 0.099 <= anyio.current_time() - began < 1
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_on_a_connection_that_died_at_rest_is_not_one(self, carrying: Carrying) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            await echo(server, writer)
            await writer.drain()
            writer.close()

        async with serving(talk) as (server, url), carrying() as transport:
            for _ in range(3):
                assert (await ask(transport, url)).body == b"/x"
                await asyncio.wait_for(server.ended.wait(), 2)
                server.ended.clear()
                await turns(10)
            assert (server.connections, len(server.requests)) == (3, 3)


EXPECTED: dict[Fault, type[GenesysMediaError]] = {
    Fault.RESET_BEFORE_REPLY: APIConnectionError,
    Fault.CLOSE_BEFORE_REPLY: APIConnectionError,
    Fault.GARBAGE: APIConnectionError,
    Fault.RESET_DURING_REPLY: APIConnectionError,
    Fault.TRUNCATED_BODY: APIConnectionError,
    Fault.HANG: APITimeoutError,
    Fault.OVERSIZED_BODY: InvalidResponseError,
    Fault.COMPRESSED_BODY: InvalidResponseError,
}


@pytest.mark.anyio
@pytest.mark.parametrize("tls", [False, True])
async def test_every_fault_of_the_simulator_is_a_reply_or_the_error_for_it(
    carrying: Carrying, authority: trustme.CA, anyio_backend, tls: bool
) -> None:
    if tls and anyio_backend[1]["use_uvloop"]:
        pytest.skip("the simulator's handshake does not get all that arrives on uvloop; plain sockets show the faults")
    settings = SimulatorSettings(fault_seconds=0.15, drip_gap=0.001, late_seconds=0.02)
    basic = base64.b64encode(b"demo-client:demo-secret").decode()
    headers = {"authorization": f"Basic {basic}", "content-type": "application/x-www-form-urlencoded"}
    context = server_tls(authority) if tls else None
    async with Simulator(settings, ssl_context=context) as simulator, carrying() as transport:

        async def get_token(timeout: float = 5) -> HttpReply:
            body = b"grant_type=client_credentials"
            request = HttpRequest("POST", simulator.token_url, {**headers, "accept-encoding": "identity"}, body)
            return await transport.exchange(request, timeout=timeout)

        for fault in sorted(set(Fault) - {Fault.TOKEN_EXPIRED, Fault.EMPTY_URL, Fault.HTTP_URL}, key=str):
            simulator.script_token(fault)
            if fault in EXPECTED:
                with pytest.raises(EXPECTED[fault]) as caught:
                    await get_token(timeout=0.05 if fault is Fault.HANG else 5)
                assert type(caught.value) is EXPECTED[fault], fault
            else:
                assert (await get_token()).status >= 200
            reply = await get_token()
            assert (reply.status, b"access_token" in reply.body) == (200, True), fault


@pytest.mark.anyio
class TestTls:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_carries_what_plain_sockets_carry(
        self, carrying: Carrying, authority: trustme.CA, version: ssl.TLSVersion
    ) -> None:
        context = server_tls(authority)
        context.minimum_version = context.maximum_version = version
        replies = iter([raw for raw, _ in WHOLE.values()])

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            for byte in next(replies):
                writer.write(bytes([byte]))

        body = random.Random(2).randbytes(1_000_000)
        async with serving(talk, context) as (server, url), carrying() as transport:
            for _, expected in WHOLE.values():
                assert (await ask(transport, url, body=body)).body == expected
            assert server.connections == 1
            assert server.requests[0].endswith(body)

    async def test_carries_a_long_reply(self, carrying: Carrying, authority: trustme.CA) -> None:
        body = random.Random(3).randbytes(3_000_000)
        raw = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        async with serving(saying(raw), server_tls(authority)) as (_, url), carrying() as transport:
            assert (await ask(transport, url, max_reply_size=len(body))).body == body

    async def test_names_the_host_and_asks_for_http_1_1(self, carrying: Carrying, authority: trustme.CA) -> None:
        context, names = server_tls(authority, "localhost"), []
        context.sni_callback = lambda _, name, __: names.append(name)
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with serving(saying(OK), context) as (_, url), carrying() as transport:
            assert (await ask(transport, url.replace("127.0.0.1", "localhost"))).status == 200
        assert names == ["localhost"]

    async def test_refuses_an_authority_that_nobody_knows(self, carrying: Carrying) -> None:
        async with serving(saying(OK), server_tls(trustme.CA())) as (server, url), carrying() as transport:
            error = await failure(transport, url)
            assert isinstance(error, ConnectError)
            assert "certificate" in str(error).lower()
        assert server.requests == []

    async def test_refuses_a_certificate_for_another_name(self, carrying: Carrying, authority: trustme.CA) -> None:
        context = server_tls(authority, "other.example.com")
        async with serving(saying(OK), context) as (server, url), carrying() as transport:
            assert isinstance(await failure(transport, url), ConnectError)
        assert server.requests == []

    async def test_refuses_a_certificate_whose_time_is_over(self, carrying: Carrying, authority: trustme.CA) -> None:
        past = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
        context = server_tls(authority, not_before=past, not_after=past + dt.timedelta(days=1))
        async with serving(saying(OK), context) as (server, url), carrying() as transport:
            assert isinstance(await failure(transport, url), ConnectError)
        assert server.requests == []

    async def test_refuses_a_server_of_before_tls_1_2(self, carrying: Carrying, authority: trustme.CA) -> None:
        try:
            old = only(server_tls(authority), ssl.TLSVersion.TLSv1_1)
            permissive = only(ssl.create_default_context(), ssl.TLSVersion.TLSv1_1)
        except (ValueError, ssl.SSLError) as error:
            pytest.skip(f"this OpenSSL has no TLS 1.1: {error}")
        authority.configure_trust(permissive)
        ours = tls_context()
        # Only the version may stand between the two: the same authority, and no policy about ciphers.
        ours.set_ciphers("ALL:@SECLEVEL=0")
        authority.configure_trust(ours)
        async with serving(saying(OK), old) as (server, url):
            async with carrying(permissive) as transport:
                try:
                    assert (await ask(transport, url)).status == 200
                except ConnectError as error:
                    pytest.skip(f"this OpenSSL does not speak TLS 1.1: {error}")
            async with carrying(ours) as transport:
                assert isinstance(await failure(transport, url), ConnectError)
            assert len(server.requests) == 1

    async def test_with_a_server_that_does_not_speak_it_is_a_failed_connection(
        self, carrying: Carrying, kind: str
    ) -> None:
        if kind == HTTPX:
            pytest.skip("httpx leaves the socket open when a handshake takes too long")
        async with serving(saying(OK)) as (_, url), carrying() as transport:
            server_url = url.replace("http://", "https://")
            # It waits for the end of a line that never comes, so the handshake ends with the time allowed.
            error = await failure(transport, server_url, timeout=0.1)
            assert isinstance(error, ConnectError | APITimeoutError)


async def cancel_after(number: int, call: asyncio.Task[HttpReply]) -> bool:
    """Cancel a call after some turns of the loop; tell whether it was still under way."""
    await turns(number)
    cancelled = call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        assert (await call).body == b"/victim"
        return False
    return cancelled


@pytest.mark.anyio
class TestCancellation:
    @pytest.mark.parametrize("warm", [False, True])
    @pytest.mark.parametrize("tls", [False, True])
    async def test_at_every_turn_leaves_nothing_and_takes_nothing(
        self, carrying: Carrying, kind: str, authority: trustme.CA, tls: bool, warm: bool
    ) -> None:
        if kind == HTTPX:
            pytest.skip("httpx's pool keeps for ever the place, and over TLS the socket, of many who are cancelled")
        async with serving(echo, server_tls(authority) if tls else None) as (server, url):
            before = other_tasks()
            under_way, number = True, 0
            while under_way:
                async with carrying(most=1) as transport:
                    if warm:
                        await ask(transport, url)
                    call = asyncio.create_task(ask(transport, url.removesuffix("x") + "victim"))
                    under_way = await cancel_after(number, call)
                    async with asyncio.timeout(2):
                        assert (await ask(transport, url.removesuffix("x") + "next")).body == b"/next"
                    if isinstance(transport, DirectTransport):
                        assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
                number += 1
            assert number > 3
            async with asyncio.timeout(2):
                while server.open or other_tasks() - before:  # noqa: ASYNC110 - a count cannot be waited for
                    await asyncio.sleep(0.005)

    async def test_by_a_scope_of_anyio_is_as_exact(self, carrying: Carrying) -> None:
        async with serving(echo) as (_, url), carrying(most=1) as transport:
            finished = False
            number = 0
            while not finished:
                with anyio.CancelScope() as scope:

                    async def cancel_soon(number: int, scope: anyio.CancelScope) -> None:
                        await turns(number)
                        scope.cancel()

                    async with anyio.create_task_group() as group:
                        group.start_soon(cancel_soon, number, scope)
                        reply = await ask(transport, url.removesuffix("x") + "victim")
                        finished = True
                        assert reply.body == b"/victim"
                assert (await ask(transport, url)).body == b"/x"
                number += 1
            assert number > 1

    async def test_of_those_who_wait_in_line_takes_nobodys_place(self, carrying: Carrying) -> None:
        async def slow_echo(server: Server, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.01)
            await echo(server, writer)

        async with serving(slow_echo) as (server, url), carrying(most=1) as transport:
            calls = [asyncio.create_task(ask(transport, f"{url}{number}")) for number in range(9)]
            await asyncio.sleep(0.005)
            for call in calls[1::2]:
                call.cancel()
            replies = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(reply, asyncio.CancelledError) for reply in replies] == [False, True] * 4 + [False]
        assert [reply.body for reply in replies if isinstance(reply, HttpReply)] == [
            b"/x%d" % n for n in range(0, 9, 2)
        ]
        assert server.connections == 1

    async def test_in_a_storm_mixes_nothing_up(self, carrying: Carrying, kind: str) -> None:
        if kind == HTTPX:
            pytest.skip("httpx's pool keeps for ever the place of many who are cancelled, and comes to a halt")
        rng = random.Random(5)

        async def slow_echo(server: Server, writer: asyncio.StreamWriter) -> None:
            request = server.requests[-1]
            await asyncio.sleep(rng.random() * 0.004)
            target = request.split(b" ", 2)[1]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(target), target))

        async def one(number: int) -> bool:
            try:
                # Some at once, some never, and most in the middle of it.
                async with asyncio.timeout((0, None, *[rng.random() * 0.25] * 3)[number % 5]):
                    reply = await ask(transport, f"{url}{number}")
            except TimeoutError:
                return False
            assert reply.body == b"/x%d" % number
            return True

        async with serving(slow_echo) as (server, url), carrying(most=4) as transport:
            outcomes = await asyncio.gather(*(one(number) for number in range(200)))
            assert {True, False} == set(outcomes)
            async with asyncio.timeout(5):
                after = await asyncio.gather(*(ask(transport, f"{url}-{number}") for number in range(16)))
            assert [reply.body for reply in after] == [b"/x-%d" % number for number in range(16)]
            async with asyncio.timeout(2):
                while server.open > 4:  # noqa: ASYNC110 - a count cannot be waited for
                    await asyncio.sleep(0.005)
