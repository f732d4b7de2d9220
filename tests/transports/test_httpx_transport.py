"""How a request travels by httpx: through its mocks, and over real sockets with what is set for a client of our own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
)
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest, HttpxTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

BEARER = "Bearer canary-token"
REQUEST = HttpRequest.to(
    "POST",
    "https://api.example.com/api/v2/x?y=1",
    {"authorization": BEARER, "content-type": "application/json", "accept-encoding": "identity", "user-agent": "a/1"},
    b'{"canary": 1}',
)


class Wire(httpx.AsyncBaseTransport):
    """An httpx transport that is not httpx's own mock: answers with what a function makes of the request."""

    def __init__(self, handle: Callable[[httpx.Request], Coroutine[Any, Any, httpx.Response]]) -> None:
        self.handle = handle
        self.requests: list[httpx.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return await self.handle(request)

    async def aclose(self) -> None:
        self.closed += 1


class Body(httpx.AsyncByteStream):
    """A reply's body that comes in pieces, and knows how far it was read and whether it was closed."""

    def __init__(self, *chunks: bytes, gap: float = 0.0, endless: bool = False, closing: float = 0.0) -> None:
        self.chunks = chunks
        self.gap = gap
        self.endless = endless
        self.closing = closing
        self.read = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            for chunk in self.chunks:
                await anyio.sleep(self.gap)
                self.read += len(chunk)
                yield chunk
            if not self.endless:
                return

    async def aclose(self) -> None:
        await anyio.sleep(self.closing)
        self.closed = True


def answering(status: int = 200, body: httpx.AsyncByteStream | bytes = b"ok", **headers: str) -> Wire:
    async def handle(request: httpx.Request) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return httpx.Response(status, headers=named, content=body)
        return httpx.Response(status, headers=named, stream=body)

    return Wire(handle)


def failing(error: Exception) -> Wire:
    async def handle(request: httpx.Request) -> httpx.Response:
        raise error

    return Wire(handle)


def exchange(
    carrier: httpx.AsyncClient | httpx.AsyncBaseTransport,
    request: HttpRequest = REQUEST,
    *,
    timeout: float = 10.0,
    max_reply_size: int = MAX_REPLY_SIZE,
) -> tuple[HttpReply | GenesysMediaError, float]:
    """Make one exchange in virtual time; return what came of it and how long it took."""
    clock = VirtualClock()

    async def main() -> HttpReply | GenesysMediaError:
        try:
            return await HttpxTransport(carrier).exchange(request, timeout=timeout, max_reply_size=max_reply_size)
        except GenesysMediaError as error:
            return error

    return clock.run(main()), clock.monotonic()


def by_client(wire: Wire, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=wire, **options)


@pytest.fixture(params=["client", "transport", "mock"])
def carried(request: pytest.FixtureRequest) -> Callable[[Wire], httpx.AsyncClient | httpx.AsyncBaseTransport]:
    """Each way in which httpx may carry a request."""

    def carry(wire: Wire) -> httpx.AsyncClient | httpx.AsyncBaseTransport:
        match request.param:
            case "client":
                return httpx.AsyncClient(transport=wire)
            case "transport":
                return wire
            case _:

                async def handle(outgoing: httpx.Request) -> httpx.Response:
                    return await wire.handle_async_request(outgoing)

                return httpx.MockTransport(handle)

    return carry


class TestTheRequest:
    def test_arrives_as_it_was_meant(self, carried: Any) -> None:
        wire = answering()
        exchange(carried(wire))
        (request,) = wire.requests
        assert (request.method, str(request.url)) == ("POST", REQUEST.url)
        assert request.headers["authorization"] == BEARER
        assert request.headers["content-type"] == "application/json"
        assert request.headers["accept-encoding"] == "identity"
        assert request.headers["user-agent"] == "a/1"
        assert request.headers["host"] == "api.example.com"
        assert request.headers["content-length"] == str(len(REQUEST.body))
        assert request.content == REQUEST.body

    def test_keeps_a_path_that_is_quoted(self, carried: Any) -> None:
        wire = answering()
        exchange(carried(wire), HttpRequest.to("POST", "https://api.example.com/a/%2e%2e/b%2Fc/download-url", {}))
        assert wire.requests[0].url.raw_path == b"/a/%2e%2e/b%2Fc/download-url"

    def test_does_not_carry_the_clients_own_credentials(self) -> None:
        wire = answering()
        exchange(by_client(wire, auth=("user", "password")))
        exchange(by_client(wire, auth=("user", "password")), HttpRequest.to("GET", "https://a.test/", {}))
        first, second = wire.requests
        assert first.headers["authorization"] == BEARER
        assert "authorization" not in second.headers

    def test_carries_the_clients_default_headers_unless_it_says_otherwise(self) -> None:
        wire = answering()
        exchange(by_client(wire, headers={"x-gateway-key": "7", "user-agent": "other", "authorization": "other"}))
        headers = wire.requests[0].headers
        assert headers["x-gateway-key"] == "7"
        assert headers["user-agent"] == "a/1"
        assert headers.get_list("authorization") == [BEARER]

    def test_shows_neither_headers_nor_body(self) -> None:
        assert repr(REQUEST) == "HttpRequest(method='POST', url='https://api.example.com/api/v2/x?y=1')"
        assert repr(HttpReply(200, {"set-cookie": "canary"}, b"canary")) == "HttpReply(status=200)"


class TestTheReply:
    def test_is_whole_with_header_names_in_lower_case(self, carried: Any) -> None:
        reply, _ = exchange(carried(answering(201, b'{"a": 1}', Content_Type="application/json", X_Y="Z")))
        assert isinstance(reply, HttpReply)
        assert reply.status == 201
        assert reply.body == b'{"a": 1}'
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-y"] == "Z"
        assert all(name == name.lower() for name in reply.headers)

    def test_may_come_in_pieces(self, carried: Any) -> None:
        body = Body(b"a", b"", b"bc", b"d", gap=1)
        reply, took = exchange(carried(answering(200, body)))
        assert isinstance(reply, HttpReply)
        assert reply.body == b"abcd"
        assert body.closed
        assert took == pytest.approx(4, abs=0.01)

    @pytest.mark.parametrize("status", [100, 204, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503])
    def test_of_any_status_is_a_reply_and_no_redirect_is_followed(self, status: int) -> None:
        wire = answering(status, b"x", location="https://evil.test/")
        reply, _ = exchange(by_client(wire, follow_redirects=True))
        assert isinstance(reply, HttpReply)
        assert reply.status == status
        assert reply.headers["location"] == "https://evil.test/"
        assert len(wire.requests) == 1

    def test_may_have_been_read_by_a_hook_of_the_clients_owner(self) -> None:
        seen: list[bytes] = []

        async def look(response: httpx.Response) -> None:
            seen.append(await response.aread())

        reply, _ = exchange(by_client(answering(200, Body(b"a", b"b")), event_hooks={"response": [look]}))
        assert isinstance(reply, HttpReply)
        assert reply.body == b"ab"
        assert seen == [b"ab"]

    @pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x-secret\x1b"])
    def test_in_an_encoding_that_is_not_understood_is_refused_for_good(self, carried: Any, encoding: str) -> None:
        body = Body(b"x")
        error, _ = exchange(carried(answering(200, body, content_encoding=encoding)))
        assert isinstance(error, InvalidResponseError)
        assert (error.code, error.status_code, error.retryable) == ("reply_compressed", 200, False)
        assert body.closed
        assert str(error).isprintable()

    @pytest.mark.parametrize("encoding", ["identity", "Identity", "", " "])
    def test_that_says_it_is_not_compressed_is_taken(self, carried: Any, encoding: str) -> None:
        reply, _ = exchange(carried(answering(200, Body(b"x"), content_encoding=encoding)))
        assert isinstance(reply, HttpReply)

    @pytest.mark.parametrize("streamed", [True, False])
    def test_is_taken_up_to_the_limit_and_not_beyond(self, carried: Any, streamed: bool) -> None:
        for length, fits in ((9, True), (10, True), (11, False)):
            body = Body(*[b"x"] * length) if streamed else b"x" * length
            outcome, _ = exchange(carried(answering(200, body)), max_reply_size=10)
            assert isinstance(outcome, HttpReply if fits else InvalidResponseError)
            if isinstance(outcome, InvalidResponseError):
                assert (outcome.code, outcome.status_code) == ("reply_too_large", 200)

    def test_that_never_ends_is_read_no_further_than_the_limit(self, carried: Any) -> None:
        body = Body(b"x" * 1_000, endless=True)
        error, _ = exchange(carried(answering(200, body)), max_reply_size=10_000)
        assert isinstance(error, InvalidResponseError)
        assert body.read <= 11_000
        assert body.closed


class TestTheDeadline:
    def test_bounds_a_server_that_says_nothing(self, carried: Any) -> None:
        async def handle(request: httpx.Request) -> httpx.Response:
            await anyio.sleep(1_000)
            raise AssertionError

        error, took = exchange(carried(Wire(handle)), timeout=5)
        assert isinstance(error, APITimeoutError)
        assert "5 s" in str(error)
        assert took == pytest.approx(5, abs=0.01)

    def test_bounds_a_body_that_drips_for_ever(self, carried: Any) -> None:
        body = Body(b"x", gap=1, endless=True)
        error, took = exchange(carried(answering(200, body)), timeout=5.5)
        assert isinstance(error, APITimeoutError)
        assert took == pytest.approx(5.5, abs=0.01)
        assert body.closed

    def test_is_met_although_a_connection_does_not_close(self, carried: Any) -> None:
        body = Body(b"x", gap=1, endless=True, closing=1_000)
        error, took = exchange(carried(answering(200, body)), timeout=5)
        assert isinstance(error, APITimeoutError)
        assert took <= 10

    def test_is_not_what_a_cancelled_caller_gets(self) -> None:
        async def main() -> None:
            body = Body(b"x", gap=1, endless=True)
            transport = HttpxTransport(answering(200, body))
            task = asyncio.create_task(transport.exchange(REQUEST, timeout=100))
            await anyio.sleep(3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert body.closed
            with anyio.move_on_after(2) as scope:
                await transport.exchange(REQUEST, timeout=100)
            assert scope.cancelled_caught

        VirtualClock().run(main())


class TestAFailure:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (httpx.ConnectError("no route"), ConnectError),
            (httpx.ConnectTimeout("x"), ConnectError),
            (httpx.PoolTimeout("x"), ConnectError),
            (httpx.ProxyError("503 Service Unavailable"), ConnectError),
            (httpx.UnsupportedProtocol("x"), ConnectError),
            (httpx.InvalidURL("x"), ConnectError),
            (httpx.ReadTimeout("x"), APITimeoutError),
            (httpx.WriteTimeout("x"), APITimeoutError),
            (httpx.ReadError("x"), APIConnectionError),
            (httpx.WriteError("x"), APIConnectionError),
            (httpx.CloseError("x"), APIConnectionError),
            (httpx.RemoteProtocolError("x"), APIConnectionError),
            (httpx.LocalProtocolError("x"), APIConnectionError),
            (httpx.DecodingError("x"), APIConnectionError),
            (httpx.TooManyRedirects("x"), APIConnectionError),
            (httpx.StreamClosed(), APIConnectionError),
        ],
    )
    def test_of_httpx_becomes_one_of_ours(self, carried: Any, error: Exception, kind: type) -> None:
        outcome, _ = exchange(carried(failing(error)))
        assert type(outcome) is kind
        assert isinstance(outcome, APIConnectionError)
        assert outcome.retryable
        assert outcome.__cause__ is None
        assert outcome.__suppress_context__

    @pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.LocalProtocolError, httpx.InvalidURL])
    def test_quotes_no_secret_that_httpx_quotes(self, kind: Any) -> None:
        outcome, _ = exchange(failing(kind(f"Illegal header value b'{BEARER}' for https://a.test/?sig=canary")))
        assert "canary" not in f"{outcome} {outcome!r}"

    def test_by_an_illegal_header_does_not_show_it(self) -> None:
        request = HttpRequest.to("POST", "http://127.0.0.1:9/", {"authorization": "Bearer canary\r\nx: y"})

        async def main() -> BaseException:
            async with httpx.AsyncClient(trust_env=False) as client:
                with pytest.raises(GenesysMediaError) as caught:
                    await HttpxTransport(client).exchange(request, timeout=5)
            return caught.value

        assert "canary" not in repr(asyncio.run(main()))

    @pytest.mark.parametrize("url", ["", "nowhere", "https://", "ftp://a.test/", "https://a.test:99999/", "https://[/"])
    def test_by_a_url_that_is_none_is_one_of_ours_too(self, url: str) -> None:
        async def main() -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                with pytest.raises(ConnectError):
                    await HttpxTransport(client).exchange(HttpRequest.to("POST", url, {}), timeout=5)

        asyncio.run(main())

    def test_in_the_middle_of_a_body_closes_the_reply(self, carried: Any) -> None:
        class Breaking(Body):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield b"x"
                raise httpx.ReadError("reset")

        body = Breaking()
        error, _ = exchange(carried(answering(200, body)))
        assert type(error) is APIConnectionError
        assert body.closed

    def test_that_is_none_of_the_networks_is_not_hidden(self) -> None:
        with pytest.raises(ZeroDivisionError):
            exchange(failing(ZeroDivisionError()))


class TestClosing:
    def test_leaves_open_what_was_handed_in(self) -> None:
        async def main() -> None:
            wire = answering()
            client = httpx.AsyncClient(transport=wire)
            states = [client.is_closed]
            for transport in (HttpxTransport(client), HttpxTransport(wire), HttpxTransport(client, owned=True)):
                await transport.aclose()
                states.append(client.is_closed)
            assert states == [False, False, False, True]
            assert wire.closed == 1

        VirtualClock().run(main())

    def test_of_a_client_that_hangs_is_bounded(self) -> None:
        class Hanging(Wire):
            async def aclose(self) -> None:
                await anyio.sleep(1_000)

        clock = VirtualClock()

        async def main() -> None:
            await HttpxTransport(Hanging(answering().handle), owned=True).aclose()

        clock.run(main())
        assert clock.monotonic() <= 5

    def test_is_said_in_no_repr_but_the_carrier_is(self) -> None:
        assert repr(HttpxTransport(answering())) == "<HttpxTransport by Wire>"
        assert repr(HttpxTransport(httpx.AsyncClient())) == "<HttpxTransport by AsyncClient>"
