"""What is sent, and what is refused before it is sent."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from genesys_media_async.errors import ConnectError
from genesys_media_async.transports import DirectTransport, HttpRequest, connection
from genesys_media_async.transports.base import RequestHead
from tests.support.exchanges import ask, capped, failure, which
from tests.support.scripted_server import OK, replying, serving

if TYPE_CHECKING:
    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


async def send_if_plain(transport: DirectTransport, request: HttpRequest) -> None:
    """Send a request; one whose path does not begin with a slash is refused for good."""
    if request.path.startswith("/"):
        await transport.exchange(request, timeout=5)
        return
    with pytest.raises(ConnectError) as caught:
        await transport.exchange(request, timeout=5)
    assert not caught.value.retryable


class TestWhatIsSent:
    async def test_has_the_headers_of_its_own_mapping(self) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            for number in range(300):
                await ask(transport, url, headers={"x-number": str(number)})
            assert [f"x-number: {number}\r\n".encode() in raw for number, raw in enumerate(server.requests)] == [
                True
            ] * 300

    async def test_has_no_credentials_of_the_url(self) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            await ask(transport, url.replace("http://", "http://user:canary@"))
            assert b"canary@" not in server.requests[0]
            assert b"Host: " + url.removeprefix("http://").removesuffix("/x").encode() in server.requests[0]

    @pytest.mark.parametrize("target", ["/a b", "/a\r\nx: y", "/a\0", "/é", "/a\x7f", "/\ud800", "?\ud800"])
    async def test_has_no_target_that_could_end_early(self, target: str) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            await ask(transport, url)
            error = await failure(transport, url.removesuffix("/x") + target)
            assert isinstance(error, ConnectError)
            assert not error.retryable
            assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("method", "headers"),
        [
            ("CONNECT", {}),
            ("GET /", {}),
            ("", {}),
            ("GET", {"Upgrade": "websocket"}),
            ("POST", {"transfer-encoding": "chunked"}),
            ("POST", {"Host": "a", "host": "b"}),
            ("POST", {"x": "€"}),
        ],
    )
    async def test_is_nothing_it_cannot_do(self, method: str, headers: dict[str, str]) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            error = await failure(transport, url, method=method, headers=headers)
            assert isinstance(error, ConnectError)
            assert not error.retryable
        assert server.requests == []

    async def test_has_the_callers_own_host_and_the_true_length(self) -> None:
        headers = {"Host": "other.example.com", "Content-Length": "999", "Connection": "keep-alive"}
        async with serving(replying(OK)) as (server, url), capped() as transport:
            await ask(transport, url, headers=headers)
        head = server.requests[0].lower()
        assert head.count(b"host: ") == head.count(b"content-length: ") == 1
        assert b"host: other.example.com\r\n" in head
        assert b"content-length: 4\r\n" in head

    async def test_makes_it_remember_only_so_much(self) -> None:
        names = iter(range(10_000))

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            fields = b"".join(b"x-%d: 1\r\n" % next(names) for _ in range(100))
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"content-length: 0\r\n\r\n")

        async with serving(talk) as (_, url), capped() as transport:
            for number in range(100):
                assert len((await ask(transport, f"{url.replace('//', f'//u{number}@')}")).headers) == 101
            encoder = transport._encoder
            assert len(connection._NAMES) < 500
            assert len(encoder._origins) == 1
            assert max(len(encoder._prefixes), len(encoder)) <= 64

    async def test_to_more_origins_than_are_remembered_are_found_again(self) -> None:
        async with AsyncExitStack() as stack, DirectTransport(max_remembered=2) as transport:
            urls = [(await stack.enter_async_context(serving(which)))[1] for _ in range(5)]
            for _ in range(3):
                await asyncio.gather(*(ask(transport, url) for url in urls))
                assert repr(transport) == "<DirectTransport: 5 connections, 5 idle, 0 in use>"
        gc.collect()
        assert len(transport._encoder._origins) <= 4

    @pytest.mark.parametrize(
        ("base", "path", "target"),
        [
            ("", "/a%20b", "/a%20b"),
            ("", "", "/"),
            ("", "?a", "/?a"),
            ("/gate%2Fway", "/a", "/gate%2Fway/a"),
            ("/gateway", "?a", "/gateway?a"),
            ("/gateway", "", "/gateway"),
            ("?x=", "/a", "/?x=/a"),
            ("/b#part", "/a", "/b"),
            ("#part", "", "/"),
        ],
    )
    async def test_begins_with_the_path_of_its_base(self, base: str, path: str, target: str) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            head = RequestHead("GET", url.removesuffix("/x") + base, {"x": "%b"})
            for body in (b"", b"%d"):
                await transport.exchange(HttpRequest(head, path, body), timeout=5)
        assert [request.split(b" ")[1].decode() for request in server.requests] == [target] * 2
        assert all(b"x: %b\r\n" in request for request in server.requests)
        assert server.requests[1].endswith(b"content-length: 2\r\n\r\n%d")

    async def test_goes_to_no_host_that_its_path_would_change(self) -> None:
        async with serving(replying(OK)) as (server, url), capped() as transport:
            head = RequestHead("GET", url.removesuffix("/x"), {})
            for path in ("/a", "0/a", "@a.test/", ".test/", "a b"):
                await send_if_plain(transport, HttpRequest(head, path))
            assert len(server.requests) == 1

    async def test_go_to_the_port_that_the_url_names(self) -> None:
        async with capped() as transport:
            for url, port in (("http://a:0/", 0), ("http://a/", 80), ("https://a/", 443), ("https://a:80/", 80)):
                assert transport._encoder.origin_of(httpx.URL(url)).port == port
