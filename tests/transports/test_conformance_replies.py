"""What every transport makes of a reply, over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import gzip
import random
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.errors import APIConnectionError, InvalidResponseError
from tests.support.exchanges import HTTPX, WHOLE, ask, echo, failure
from tests.support.scripted_server import replying, replying_and_closing, serving

if TYPE_CHECKING:
    from tests.support.exchanges import Carrying
    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


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
        async with serving(replying(raw)) as (_, url), carrying() as transport:
            for _ in range(2):
                reply = await ask(transport, url)
                assert dict(reply.headers) == {"x-y": "2", "empty": "", "latin": "é", "content-length": "2"}

    @pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"])
    async def test_to_head_has_no_body_whatever_its_length_says(self, carrying: Carrying, interim: bytes) -> None:
        raw = interim + b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        async with serving(replying(raw)) as (server, url), carrying() as transport:
            for _ in range(3):
                reply = await ask(transport, url, method="HEAD", body=b"")
                assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "5000")
            assert server.connections == 1

    @pytest.mark.parametrize(
        "raw", [b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\nhello", b"HTTP/1.0 200 OK\r\n\r\n"]
    )
    async def test_may_last_until_the_connection_is_closed(self, carrying: Carrying, raw: bytes) -> None:
        async with serving(replying_and_closing(raw)) as (server, url), carrying() as transport:
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
        async with serving(replying(raw)) as (server, url), carrying() as transport:
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

    async def test_to_head_with_a_body_does_not_spill_into_the_next(self, carrying: Carrying) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            if server.connections > 1:
                await echo(server, writer)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

        async with serving(talk) as (_, url), carrying() as transport:
            assert (await ask(transport, url, method="HEAD", body=b"")).body == b""
            await asyncio.sleep(0.01)
            assert (await ask(transport, url)).body == b"/x"

    @pytest.mark.parametrize("shape", WHOLE)
    async def test_that_ends_at_any_byte_before_its_last_is_an_error(self, carrying: Carrying, shape: str) -> None:
        raw, _ = WHOLE[shape]
        lengths = iter(range(len(raw)))

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            await replying_and_closing(raw[: next(lengths)])(server, writer)

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
        async with serving(replying_and_closing(raw)) as (_, url), carrying() as transport:
            assert type(await failure(transport, url)) is APIConnectionError

    async def test_that_changes_the_protocol_is_refused(self, carrying: Carrying) -> None:
        raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"
        async with serving(replying(raw)) as (_, url), carrying() as transport:
            assert type(await failure(transport, url)) is APIConnectionError

    async def test_is_taken_up_to_the_limit_and_not_beyond(self, carrying: Carrying) -> None:
        for framing in (
            b"content-length: 10\r\n\r\n0123456789",
            b"transfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        ):
            async with serving(replying(b"HTTP/1.1 200 OK\r\n" + framing)) as (_, url), carrying() as transport:
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

    async def test_that_was_compressed_all_the_same_is_inflated(self, carrying: Carrying) -> None:
        async with (
            serving(replying(reply_of(gzip.compress(b"x" * 50_000), "gzip"))) as (_, url),
            carrying() as transport,
        ):
            for _ in range(2):
                assert (await ask(transport, url)).body == b"x" * 50_000

    async def test_that_cannot_be_inflated_within_the_limit_is_refused(self, carrying: Carrying) -> None:
        for body, encoding, code in (
            (gzip.compress(random.Random(1).randbytes(2_000_000)), "gzip", "reply_too_large"),
            (gzip.compress(b"0" * 20_000_000), "gzip", "reply_too_large"),
            (b"not compressed at all", "gzip", "reply_damaged"),
            (b"x", "br", "reply_compressed"),
        ):
            async with serving(replying(reply_of(body, encoding))) as (_, url), carrying() as transport:
                error = await failure(transport, url)
                assert isinstance(error, InvalidResponseError)
                assert (error.code, error.status_code) == (code, 200)

    @pytest.mark.parametrize("status", [b"403 Forbidden", b"429 Too Many Requests", b"503 Service Unavailable"])
    async def test_of_an_error_keeps_its_status_whatever_its_body_is(self, carrying: Carrying, status: bytes) -> None:
        for body, encoding, kept in (
            (b"y" * 100_000, "identity", b"y" * 65_536),
            (gzip.compress(b"y" * 100_000), "gzip", b"y" * 65_536),
            (b"not compressed at all", "gzip", b""),
            (b"x", "br", b""),
        ):
            async with serving(replying(reply_of(body, encoding, status))) as (_, url), carrying() as transport:
                for _ in range(2):
                    reply = await ask(transport, url)
                    assert (reply.status, reply.body) == (int(status[:3]), kept)


def reply_of(body: bytes, encoding: str, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (status, encoding.encode(), len(body)) + body
