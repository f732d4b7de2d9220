"""What every transport does with a request, over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from genesys_media_async.errors import APIConnectionError, ConnectError
from tests.support.exchanges import HTTPX, ask, failure
from tests.support.scripted_server import OK, replying, serving

if TYPE_CHECKING:
    from tests.support.exchanges import Carrying
    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


QUOTABLE = ["https://user:canary/x@a.test/", "https://a.test:canary/", "https://[canary]/"]


class TestTheRequest:
    async def test_arrives_as_it_was_meant(self, carrying: Carrying) -> None:
        async with serving(replying(OK)) as (server, url), carrying() as transport:
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
        async with serving(replying(OK)) as (server, url), carrying() as transport:
            for end in ("", "?a=b/c"):
                await ask(transport, url.removesuffix("/x") + end, body=b"")
        assert [request.split(b" ")[1] for request in server.requests] == [b"/", b"/?a=b/c"]
        assert all(b"content-length: 0" in request.lower() for request in server.requests)

    async def test_goes_to_an_ipv6_address(self, carrying: Carrying) -> None:
        if not socket.has_dualstack_ipv6():
            pytest.skip("this machine has no IPv6")
        async with serving(replying(OK), host="::1") as (server, url), carrying() as transport:
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
        async with serving(replying(OK)) as (server, url), carrying() as transport:
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
        async with serving(replying(OK)) as (server, url), carrying() as transport:
            error = await failure(transport, url + end, **changes)
            assert type(error) is ConnectError
            assert not error.retryable
        assert server.requests == []

    @pytest.mark.parametrize("value", ["close", "te, Close"])
    async def test_that_asks_for_it_is_the_last_of_its_connection(self, carrying: Carrying, value: str) -> None:
        async with serving(replying(OK)) as (server, url), carrying() as transport:
            for _ in range(2):
                await ask(transport, url, headers={"Connection": value})
            await ask(transport, url)
            await ask(transport, url)
            assert server.connections == 3

    async def test_of_any_size_is_sent_whole(self, carrying: Carrying) -> None:
        body = bytes(range(256)) * 8_000
        async with serving(replying(OK)) as (server, url), carrying() as transport:
            assert (await ask(transport, url, body=body)).status == 200
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
