"""What every transport does over TLS."""

from __future__ import annotations

import datetime as dt
import random
import re
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from genesys_media_async.errors import APITimeoutError, ConnectError, ConnectionSetupError
from genesys_media_async.transports.tls import tls_context
from tests.support.exchanges import HTTPX, WHOLE, ask, failure
from tests.support.scripted_server import OK, only, replying, server_tls, serving

if TYPE_CHECKING:
    import asyncio

    from tests.support.exchanges import Carrying
    from tests.support.scripted_server import Server

pytestmark = pytest.mark.anyio


def assert_rejected(error: Exception, words: str) -> None:
    assert isinstance(error, ConnectionSetupError)
    assert (error.code, error.retryable) == ("certificate_rejected", False)
    assert error.message.startswith("The certificate of 127.0.0.1 is not accepted: ")
    assert words in error.message
    assert "SSL_CERT_FILE" in error.advice


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
        async with serving(replying(raw), server_tls(authority)) as (_, url), carrying() as transport:
            assert (await ask(transport, url, max_reply_size=len(body))).body == body

    async def test_names_the_host_and_asks_for_http_1_1(self, carrying: Carrying, authority: trustme.CA) -> None:
        context, names = server_tls(authority, "localhost"), []
        context.sni_callback = lambda _, name, __: names.append(name)
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with serving(replying(OK), context) as (_, url), carrying() as transport:
            assert (await ask(transport, url.replace("127.0.0.1", "localhost"))).status == 200
        assert names == ["localhost"]

    async def test_refuses_an_authority_that_nobody_knows(self, carrying: Carrying) -> None:
        async with serving(replying(OK), server_tls(trustme.CA())) as (server, url), carrying() as transport:
            assert_rejected(await failure(transport, url), "unable to get local issuer certificate")
        assert server.requests == []

    async def test_refuses_a_certificate_for_another_name(self, carrying: Carrying, authority: trustme.CA) -> None:
        context = server_tls(authority, "other.example.com")
        async with serving(replying(OK), context) as (server, url), carrying() as transport:
            assert_rejected(await failure(transport, url), "IP address mismatch, certificate is not valid for")
        assert server.requests == []

    async def test_refuses_a_certificate_whose_time_is_over(self, carrying: Carrying, authority: trustme.CA) -> None:
        past = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
        context = server_tls(authority, not_before=past, not_after=past + dt.timedelta(days=1))
        async with serving(replying(OK), context) as (server, url), carrying() as transport:
            assert_rejected(await failure(transport, url), "certificate has expired")
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
        async with serving(replying(OK), old) as (server, url):
            async with carrying(permissive) as transport:
                try:
                    assert (await ask(transport, url)).status == 200
                except ConnectError as error:
                    pytest.skip(f"this OpenSSL does not speak TLS 1.1: {error}")
            async with carrying(ours) as transport:
                refused = await failure(transport, url)
            assert isinstance(refused, ConnectError)
            assert re.search("TLS|protocol version", refused.message), refused.message
            assert len(server.requests) == 1

    async def test_with_a_server_that_does_not_speak_it_is_a_failed_connection(
        self, carrying: Carrying, kind: str
    ) -> None:
        if kind == HTTPX:
            pytest.skip("httpx leaves the socket open when a handshake takes too long")
        async with serving(replying(OK)) as (_, url), carrying() as transport:
            server_url = url.replace("http://", "https://")
            # It waits for the end of a line that never comes, so the handshake ends with the time allowed.
            error = await failure(transport, server_url, timeout=0.1)
            assert isinstance(error, ConnectError | APITimeoutError)
