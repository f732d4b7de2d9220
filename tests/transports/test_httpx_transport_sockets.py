"""Requests through httpx over real sockets, with the settings of a client of our own."""

from __future__ import annotations

import ssl
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from genesys_media_async.errors import ConnectError, ConnectionSetupError
from genesys_media_async.transports import HttpReply, HttpRequest, HttpxTransport
from genesys_media_async.transports.proxies import Proxy, proxies_in
from genesys_media_async.transports.tls import tls_context
from tests.support.exchanges import HEADERS
from tests.support.scripted_server import OK, replying, server_tls, serving

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    import trustme

    from tests.support.scripted_server import Server


pytestmark = pytest.mark.anyio


def own(proxy: Proxy | None = None) -> HttpxTransport:
    return HttpxTransport.through(proxy)


async def over(transport: HttpxTransport, url: str, timeout: float = 2.0) -> HttpReply:
    try:
        return await transport.exchange(HttpRequest.to("POST", url, HEADERS, b"body"), timeout=timeout)
    finally:
        await transport.aclose()


class TestOverASocket:
    async def test_a_redirect_is_a_reply_and_nobody_goes_there(self) -> None:
        async with serving(replying(OK)) as (elsewhere, there):
            raw = f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {there}\r\ncontent-length: 0\r\n\r\n".encode()
            async with serving(replying(raw)) as (_, url):
                async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as client:
                    theirs = await over(HttpxTransport(client), url)
                ours = await over(own(), url)
            assert (ours.status, theirs.status) == (307, 307)
            assert elsewhere.connections == 0

    async def test_credentials_of_the_users_client_or_netrc_do_not_go_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login user password canary\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        async with serving(replying(OK)) as (server, url):
            transport = own()
            await transport.exchange(HttpRequest.to("POST", url, {}), timeout=2)
            await transport.aclose()
            async with httpx.AsyncClient(auth=("user", "canary"), trust_env=False) as client:
                await HttpxTransport(client).exchange(HttpRequest.to("POST", url, {}), timeout=2)
        assert len(server.requests) == 2
        assert not [request for request in server.requests if b"authorization" in request.lower()]

    async def test_an_httpx_transport_goes_without_a_client(self) -> None:
        async with serving(replying(OK)) as (_, url), httpx.AsyncHTTPTransport() as transport:
            assert (await over(HttpxTransport(transport), url)).body == b"{}"

    async def test_the_proxy_is_asked_and_not_the_host(self) -> None:
        async with serving(replying(OK)) as (proxy, url):
            reply = await over(own(Proxy("HTTP_PROXY", url.removesuffix("/x"))), "http://api.invalid/api/v2")
        assert reply.status == 200
        assert proxy.requests[0].startswith(b"POST http://api.invalid/api/v2 HTTP/1.1\r\n")


FIRST, SECOND, LATER = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + word for word in (b"first", b"evil!", b"later")
)


class TestASecondReply:
    """A server answers one request twice; nobody may take the second reply for that to the next request."""

    @pytest.mark.parametrize("in_one_packet", [True, False])
    @pytest.mark.parametrize("tls", [True, False])
    @pytest.mark.parametrize("made", ["client", "transport", "proxied"])
    async def test_is_thrown_away_with_its_connection(
        self, authority: trustme.CA, trusting: ssl.SSLContext, in_one_packet: bool, tls: bool, made: str
    ) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            if len(server.requests) > 1:
                writer.write(LATER)
            elif in_one_packet:
                writer.write(FIRST + SECOND)
            else:
                # Over TLS, these are two records.
                writer.write(FIRST)
                writer.write(SECOND)

        async with serving(talk, server_tls(authority) if tls else None) as (server, url):
            carrier: httpx.AsyncClient | httpx.AsyncBaseTransport
            if made == "transport":
                carrier = httpx.AsyncHTTPTransport(verify=trusting)
            else:
                proxy = httpx.Proxy(url, ssl_context=trusting if tls else None) if made == "proxied" else None
                carrier = httpx.AsyncClient(verify=trusting, proxy=proxy, trust_env=False)
            if made == "proxied":
                url = "http://api.invalid/x"
            transport = HttpxTransport(carrier, owned=True)
            replies = [await transport.exchange(HttpRequest.to("POST", url, {}), timeout=5) for _ in range(3)]
            await transport.aclose()
        assert [reply.body for reply in replies] == [b"first", b"later", b"later"]
        assert server.connections == 2


REFUSALS = {
    "407 Proxy Authentication Required": "Give HTTPS_PROXY the right user name and password",
    "403 Forbidden": "Ask whoever runs it to allow connections to this host",
    "503 Service Unavailable": None,
    "429 Too Many": None,
}


class TestAProxyThatRefuses:
    @pytest.mark.parametrize(("status", "advice"), REFUSALS.items(), ids=REFUSALS)
    async def test_is_named_and_only_a_passing_refusal_can_be_retried(self, status: str, advice: str | None) -> None:
        raw = f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()
        async with serving(replying(raw)) as (server, url):
            proxy = Proxy("HTTPS_PROXY", url.removesuffix("/x"), ("user", "canary"))
            with pytest.raises(ConnectError) as caught:
                await over(own(proxy), "https://api.invalid/api/v2")
        assert caught.value.message == f"No connection: the proxy of HTTPS_PROXY answered {status}."
        assert len(server.requests) == 1
        assert caught.value.retryable is (advice is None)
        assert isinstance(caught.value, ConnectionSetupError) is (advice is not None)
        assert (advice or "") in str(caught.value)
        assert "canary" not in str(caught.value)

    async def test_gets_the_credentials_as_they_are_meant(self) -> None:
        environ = {"HTTPS_PROXY": "http://us%C3%A9r:p%40ss%23:1@127.0.0.1"}
        async with serving(replying(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n")) as (server, url):
            environ["HTTPS_PROXY"] += f":{urlsplit(url).port}"
            proxy = proxies_in(environ).proxy_for("https://api.example.com/x")
            with pytest.raises(ConnectionSetupError):
                await over(own(proxy), "https://api.example.com/x")
        sent = next(line for line in server.requests[0].split(b"\r\n") if line.startswith(b"Proxy-Authorization: "))
        assert b64decode(sent.split(b" ")[-1]).decode() == "us\u00e9r:p@ss#:1"


async def status_by(context: ssl.SSLContext, url: str) -> int:
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return (await over(HttpxTransport(client), url)).status


class TestTls:
    async def test_a_certificate_of_an_authority_nobody_knows_is_refused(self, authority: trustme.CA) -> None:
        async with serving(replying(OK), server_tls(authority)) as (server, url):
            with pytest.raises(ConnectError, match=r"(?i)certificate"):
                await over(own(), url)
        assert server.requests == []

    async def test_an_authority_that_the_users_own_client_trusts_is_enough(self, authority: trustme.CA) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with serving(replying(OK), server_tls(authority)) as (_, url):
            assert await status_by(context, url) == 200

    async def test_an_authority_named_in_the_environment_is_enough(
        self, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        async with serving(replying(OK), server_tls(authority)) as (_, url):
            assert (await over(own(), url)).status == 200


def test_the_context_checks_names_and_certificates_from_tls_1_2_on() -> None:
    context = tls_context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
