"""What the direct transport does beyond what every transport has to: its connections, httpx's side, its limits."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import threading
import time
import warnings
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import httpx
import pytest
import trustme

from genesys_media_async.errors import APIConnectionError, APITimeoutError, ConnectError
from genesys_media_async.simulator.server import reset
from genesys_media_async.transports import DirectTransport, connection, racing, wire
from tests.scripted_server import OK, dripping, resetting, saying, saying_and_closing, server_tls, serving, silent
from tests.support.retrievers import other_tasks
from tests.test_transport_conformance import anyio_backend, ask, authority, echo, failure, trusting, turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from tests.scripted_server import Server

    NewLoop = Callable[[], asyncio.AbstractEventLoop]

__all__ = ["anyio_backend", "authority", "trusting"]

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[context]

OPEN_FILES = Path("/proc/self/fd")

pytestmark = pytest.mark.anyio


def capped(most: int | None = None, tls: ssl.SSLContext | None = None, **limits: Any) -> DirectTransport:
    limits = {"max_connections": most, "keepalive_expiry": 60} | limits
    return DirectTransport(limits=httpx.Limits(**limits), ssl_context=tls)


class Tls(NamedTuple):
    """How both ends speak TLS, if they do."""

    server: ssl.SSLContext | None
    client: ssl.SSLContext | None


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, authority: trustme.CA, trusting: ssl.SSLContext) -> Tls:
    return Tls(server_tls(authority), trusting) if request.param == "tls" else Tls(None, None)


@pytest.fixture
def new_loop(anyio_backend: tuple[str, dict[str, Any]]) -> NewLoop:
    return uvloop.new_event_loop if anyio_backend[1]["use_uvloop"] else asyncio.new_event_loop


async def until_whole(transport: DirectTransport) -> None:
    (used,) = transport._connections._usable
    await until(lambda: used.complete)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


@contextmanager
def sockets_left_open() -> Iterator[None]:
    """A loop that is closed does not close its sockets; the collector does, whenever it comes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def open_files() -> int:
    return sum(1 for _ in OPEN_FILES.iterdir())


class Names:
    """An event loop in which a name has the addresses of a test: ports of this machine, and one that never answers."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.loop = asyncio.get_running_loop()

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in self.ports]

    async def sock_connect(self, connecting: socket.socket, address: tuple[str, int]) -> None:
        if address[1] == 0:
            await asyncio.sleep(100)
        await self.loop.sock_connect(connecting, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loop, name)


@asynccontextmanager
async def answering(*parts: bytes) -> AsyncIterator[str]:
    """Answer whatever comes, without a task that a loop's end would cancel."""

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            loop = asyncio.get_running_loop()
            for number, part in enumerate(parts):
                loop.call_later(number * 0.01, self.transport.write, part)

    listening = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    listening.close()


async def which(server: Server, writer: asyncio.StreamWriter) -> None:
    """Answer with the client's port, so with the connection."""
    await asyncio.sleep(0.005)
    port = b"%d" % writer.get_extra_info("peername")[1]
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(port), port))


class TestConnections:
    async def test_the_one_used_last_is_used_next(self) -> None:
        async with serving(which) as (_, url), capped() as transport:
            first = asyncio.create_task(ask(transport, url))
            await asyncio.sleep(0.002)
            second = asyncio.create_task(ask(transport, url))
            used = [(await first).body, (await second).body]
            assert used[0] != used[1]
            assert [(await ask(transport, url)).body for _ in range(3)] == [used[1]] * 3
            assert repr(transport) == "<DirectTransport: 2 connections, 2 idle, 0 in use>"
            assert (transport.requests, transport.connections_opened, transport.reused) == (5, 2, 3)

    async def test_are_never_more_than_allowed_and_given_in_the_order_of_asking(self) -> None:
        order: list[int] = []

        async def one(number: int) -> None:
            await ask(transport, url)
            order.append(number)

        async with serving(echo) as (server, url), capped(1) as transport:
            await asyncio.gather(*(one(number) for number in range(20)))
            assert server.connections == 1
        assert order == list(range(20))

    async def test_at_rest_make_room_for_another_origin(self) -> None:
        async with serving(echo) as (first, one), serving(echo) as (second, other), capped(1) as transport:
            for _ in range(3):
                await asyncio.gather(ask(transport, one), ask(transport, other))
            assert (first.connections, second.connections) == (3, 3)

    @pytest.mark.parametrize(
        "transport",
        [
            lambda: capped(max_keepalive_connections=0),
            lambda: capped(keepalive_expiry=0),
            lambda: DirectTransport(max_lifetime=0),
        ],
    )
    async def test_are_not_kept_where_they_must_not_be(self, transport: Any) -> None:
        async with serving(echo) as (server, url), transport() as transport:
            for _ in range(3):
                await ask(transport, url)
            assert server.connections == 3

    async def test_rest_in_no_greater_number_than_allowed(self) -> None:
        async with serving(which) as (_, url), capped(max_keepalive_connections=2) as transport:
            await asyncio.gather(*(ask(transport, url) for _ in range(6)))
            assert repr(transport) == "<DirectTransport: 2 connections, 2 idle, 0 in use>"

    async def test_are_closed_when_they_rested_for_too_long(self) -> None:
        async with serving(echo) as (server, url), capped(keepalive_expiry=0.05) as transport:
            await ask(transport, url)
            assert server.open == 1
            await asyncio.wait_for(server.ended.wait(), 2)
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    async def test_whose_end_the_loop_had_no_time_to_see_are_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "TRUSTED_IDLE", 0.0)
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            for _ in range(2):
                accepted, _ = listening.accept()
                with accepted:
                    accepted.recv(10_000)
                    accepted.sendall(OK)

        thread = threading.Thread(target=serve)
        thread.start()
        async with capped() as transport:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            assert (await ask(transport, url)).status == 200
            # The loop stands still meanwhile, as it may in a program with a lot to do.
            time.sleep(0.1)  # noqa: ASYNC251 - that is the point
            assert (await ask(transport, url)).status == 200
            assert transport.connections_opened == 2
        thread.join()
        listening.close()

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_whose_peer_does_not_take_the_request_are_not_used_again(self, tls: Tls, streamed: bool) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            cast("asyncio.Transport", writer.transport).pause_reading()
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await asyncio.wait_for(answered.wait(), 5)
            writer.close()

        body = b"x" * 20_000_000
        async with serving(talk, tls.server, early=True) as (_, url), capped(tls=tls.client) as transport:
            answered = asyncio.Event()
            if streamed:
                assert (await send(transport, url, content=body)).status_code == 413
            else:
                assert (await ask(transport, url, body=body)).status == 413
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"
            answered.set()

    async def test_that_end_right_after_a_long_reply_over_tls_give_all_of_it(
        self, authority: trustme.CA, trusting: ssl.SSLContext
    ) -> None:
        body = b"x" * 300_000
        context = server_tls(authority)
        asked, go = threading.Event(), threading.Event()
        listening = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            accepted, _ = listening.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
            with context.wrap_socket(accepted, server_side=True) as secured:
                secured.recv(10_000)
                asked.set()
                go.wait(5)
                secured.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body)
                secured.setblocking(False)
                # Says goodbye, and does not wait for the other's.
                with suppress(ssl.SSLWantReadError):
                    secured.unwrap()

        thread = threading.Thread(target=serve)
        thread.start()
        async with capped(tls=trusting) as transport:
            url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
            call = asyncio.create_task(ask(transport, url, max_reply_size=len(body)))
            await until(asked.is_set)
            # The loop stands still until all is there, unless this machine holds less than that.
            go.set()
            thread.join(0.5)
            assert (await call).body == body
        thread.join()
        listening.close()

    async def test_that_are_half_closed_do_not_keep_what_nobody_takes(self) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            cast("asyncio.Transport", writer.transport).pause_reading()
            writer.write_eof()
            await asyncio.wait_for(seen.wait(), 5)
            writer.close()

        async with serving(talk, early=True) as (_, url), capped() as transport:
            seen = asyncio.Event()
            assert type(await failure(transport, url, body=b"x" * 20_000_000)) is APIConnectionError
            await until(lambda: not transport._connections._not_yet_lost)
            seen.set()

    async def test_to_more_origins_than_are_remembered_are_found_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "MAX_REMEMBERED", 2)
        async with AsyncExitStack() as stack, capped() as transport:
            urls = [(await stack.enter_async_context(serving(which)))[1] for _ in range(5)]
            for _ in range(3):
                await asyncio.gather(*(ask(transport, url) for url in urls))
                assert repr(transport) == "<DirectTransport: 5 connections, 5 idle, 0 in use>"
        gc.collect()
        assert len(transport._encoder._origins) <= 4

    async def test_go_to_the_port_that_the_url_names(self) -> None:
        async with capped() as transport:
            for url, port in (("http://a:0/", 0), ("http://a/", 80), ("https://a/", 443), ("https://a:80/", 80)):
                assert transport._encoder.origin_of(httpx.URL(url)).port == port

    async def test_go_to_any_address_of_a_name(self) -> None:
        async with serving(echo) as (_, url), capped() as transport:
            assert (await ask(transport, url.replace("127.0.0.1", "localhost"))).body == b"/x"

    async def test_to_a_name_are_closed_whenever_their_opening_is_cancelled(self) -> None:
        async with serving(echo) as (_, url), capped(1) as transport:
            url = url.replace("127.0.0.1", "localhost")
            for number in range(30):
                call = asyncio.create_task(ask(transport, url, headers={"connection": "close"}))
                # The name is looked up in a thread, so turns of the loop cannot be counted.
                await asyncio.sleep(number * 0.000_1)
                call.cancel()
                await asyncio.wait([call])
            assert (await ask(transport, url)).body == b"/x"
            # A socket that nobody closed would say so now.
            gc.collect()

    async def test_go_to_the_first_address_that_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(racing, "DELAY", 0.02)
        before = other_tasks()
        async with serving(echo) as (server, url):
            port = int(url.rpartition(":")[2].removesuffix("/x"))
            for addresses, answers in (([1, port], True), ([0, port], True), ([0, 1, port], True), ([1, 1], False)):
                loop: Any = Names(addresses)
                if answers:
                    connected = await racing.race(loop, "name", port)
                    assert connected.getpeername()[1] == port
                    connected.close()
                else:
                    with pytest.raises(ConnectionRefusedError):
                        await racing.race(loop, "name", port)
            await turns(5)
            assert server.open == 0
        assert other_tasks() == before

    async def test_are_waited_for_no_longer_than_allowed(self) -> None:
        async with serving(silent) as (server, url), capped(1) as transport:
            first = asyncio.create_task(ask(transport, url))
            await asyncio.sleep(0.01)
            error = await failure(transport, url, timeout=0.05)
            assert type(error) is ConnectError
            first.cancel()
            await asyncio.wait([first])
            assert len(server.requests) == 1

    async def test_all_have_their_deadlines_looked_after(self) -> None:
        async with serving(silent) as (_, url), capped() as transport:
            errors = await asyncio.gather(
                *(ask(transport, url, timeout=0.02 + number / 1_000) for number in range(50)), return_exceptions=True
            )
            assert {type(error) for error in errors} <= {APITimeoutError, ConnectError}
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    async def test_by_the_thousand_leave_nothing_behind(self) -> None:
        reply = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"

        class Closing(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                self.transport = transport

            def data_received(self, data: bytes) -> None:
                self.transport.write(reply)
                self.transport.close()

        listening = await asyncio.get_running_loop().create_server(Closing, "127.0.0.1", 0, backlog=1000)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        if not OPEN_FILES.exists():
            pytest.skip("this system does not show which files are open")
        async with capped(50) as transport:
            await ask(transport, url)
            await turns(5)
            sockets, tasks = open_files(), other_tasks()

            async def many() -> None:
                for _ in range(100):
                    assert (await ask(transport, url)).body == b"{}"

            await asyncio.gather(*(many() for _ in range(50)))
            await turns(10)
            assert transport.connections_opened == 5_001
            assert open_files() <= sockets
            assert other_tasks() == tasks
            gc.collect()
            assert not [each for each in gc.get_objects() if type(each) is connection.Connection]
        listening.close()
        await listening.wait_closed()


class TestClosing:
    async def test_fails_what_is_under_way_and_what_waits(self) -> None:
        async with serving(silent) as (server, url):
            transport = capped(1)
            calls = [asyncio.create_task(ask(transport, url)) for _ in range(3)]
            await asyncio.sleep(0.02)
            await transport.aclose()
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in errors] == [APIConnectionError, ConnectError, ConnectError]
            with pytest.raises(RuntimeError, match="closed"):
                await ask(transport, url)
            await transport.aclose()
            assert len(server.requests) == 1

    async def test_by_two_at_once_takes_neither_long(self, tls: Tls) -> None:
        async with serving(echo, tls.server) as (_, url):
            transport = capped(tls=tls.client)
            await ask(transport, url)
            async with asyncio.timeout(1):
                await asyncio.gather(transport.aclose(), transport.aclose())

    async def test_says_goodbye_over_tls(self) -> None:
        authority = trustme.CA()
        context = httpx.create_ssl_context()
        authority.configure_trust(context)
        async with serving(echo, server_tls(authority)) as (server, url):
            async with DirectTransport(ssl_context=context) as transport:
                await ask(transport, url)
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_is_not_needed_for_a_loop_that_is_closed(self, new_loop: NewLoop) -> None:
        transport = capped(1)

        async def one() -> None:
            async with answering(OK) as url:
                await ask(transport, url)

        def in_loops_of_its_own() -> None:
            for _ in range(2):
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    runner.run(one())

        with sockets_left_open():
            await asyncio.to_thread(in_loops_of_its_own)
            await transport.aclose()

    async def test_of_a_loop_with_calls_under_way_leaves_the_next_loop_its_connections(self, new_loop: NewLoop) -> None:
        transport = capped(1)

        async def leave() -> list[asyncio.Task[Any]]:
            async with answering(OK) as url:
                calls = [asyncio.create_task(ask(transport, url)) for _ in range(2)]
                # The first connects now, and the second waits in line.
                await turns(1)
                assert repr(transport) == "<DirectTransport: 1 connections, 0 idle, 1 in use>"
                assert transport.connections_opened == 0
            return calls

        async def go_on(calls: list[asyncio.Task[Any]]) -> None:
            async with answering(OK) as url:
                await ask(transport, url)
                # What the collector does, in whatever order it likes.
                for call in calls:
                    cast("Coroutine[Any, Any, Any]", call.get_coro()).close()
                await asyncio.gather(*(ask(transport, url) for _ in range(3)))
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
                assert transport.connections_opened == 1
            await transport.aclose()

        def in_loops_of_its_own() -> None:
            loop = new_loop()
            loop.set_exception_handler(lambda *_: None)
            calls = loop.run_until_complete(leave())
            loop.close()
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(go_on(calls))

        with sockets_left_open():
            await asyncio.to_thread(in_loops_of_its_own)

    @pytest.mark.parametrize("rest", [b"", OK[-2:]])
    async def test_of_a_loop_ends_the_replies_that_were_read_in_it(self, new_loop: NewLoop, rest: bytes) -> None:
        transport = capped()

        async def begin() -> httpx.Response:
            async with answering(OK[:-2], rest) as url:
                response = await send(transport, url)
                (used,) = transport._connections._usable
                await until(lambda: used.complete is bool(rest))
                return response

        async def go_on(response: httpx.Response) -> None:
            async with answering(OK) as url:
                await ask(transport, url)
                if rest:
                    assert await response.aread() == rest
                else:
                    with pytest.raises(httpx.CloseError):
                        await response.aread()
                await response.aclose()
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
            await transport.aclose()

        def in_loops_of_its_own() -> None:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                response = runner.run(begin())
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(go_on(response))

        with sockets_left_open():
            await asyncio.to_thread(in_loops_of_its_own)

    async def test_or_anything_else_is_not_for_two_loops_at_once(self) -> None:
        async with serving(echo) as (_, url), capped() as transport:
            await ask(transport, url)
            with pytest.raises(RuntimeError, match="one event loop"):
                await asyncio.to_thread(asyncio.run, ask(transport, url))


class TestWhatIsSent:
    async def test_has_the_headers_of_its_own_mapping(self) -> None:
        async with serving(saying(OK)) as (server, url), capped() as transport:
            for number in range(300):
                await ask(transport, url, headers={"x-number": str(number)})
            assert [f"x-number: {number}\r\n".encode() in raw for number, raw in enumerate(server.requests)] == [
                True
            ] * 300

    async def test_has_no_credentials_of_the_url(self) -> None:
        async with serving(saying(OK)) as (server, url), capped() as transport:
            await ask(transport, url.replace("http://", "http://user:canary@"))
            assert b"canary@" not in server.requests[0]
            assert b"Host: " + url.removeprefix("http://").removesuffix("/x").encode() in server.requests[0]

    @pytest.mark.parametrize("target", ["/a b", "/a\r\nx: y", "/a\0", "/é", "/a\x7f", "/\ud800", "?\ud800"])
    async def test_has_no_target_that_could_end_early(self, target: str) -> None:
        async with serving(saying(OK)) as (server, url), capped() as transport:
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
        async with serving(saying(OK)) as (server, url), capped() as transport:
            error = await failure(transport, url, method=method, headers=headers)
            assert isinstance(error, ConnectError)
            assert not error.retryable
        assert server.requests == []

    async def test_has_the_callers_own_host_and_the_true_length(self) -> None:
        headers = {"Host": "other.example.com", "Content-Length": "999", "Connection": "keep-alive"}
        async with serving(saying(OK)) as (server, url), capped() as transport:
            await ask(transport, url, headers=headers)
        head = server.requests[0].lower()
        assert head.count(b"host: ") == head.count(b"content-length: ") == 1
        assert b"host: other.example.com\r\n" in head
        assert b"content-length: 4\r\n" in head

    async def test_that_broke_off_says_that_it_may_have_been_carried_out(self) -> None:
        async with serving(resetting) as (_, url), capped() as transport:
            assert "Genesys may have carried it out" in str(await failure(transport, url))

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
            assert max(len(encoder._prefixes), len(encoder._lines)) <= 64


async def send(transport: DirectTransport, url: str, method: str = "POST", **options: Any) -> httpx.Response:
    """Send one request as httpx's client does, and leave the body unread."""
    timeouts = {"connect": None, "read": None, "write": None, "pool": None} | options.pop("timeouts", {})
    extensions = {"timeout": timeouts} | options.pop("extensions", {})
    request = httpx.Request(method, url, extensions=extensions, **options)
    return await transport.handle_async_request(request)


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def resetting_hard(server: Server, writer: asyncio.StreamWriter) -> None:
    reset(cast("asyncio.Transport", writer.transport))


class TestUnderHttpx:
    @pytest.mark.parametrize(
        ("talk", "timeouts", "kind"),
        [
            (silent, {"read": 0.03}, httpx.ReadTimeout),
            (resetting_hard, {}, httpx.ReadError),
            (saying_and_closing(b""), {}, httpx.RemoteProtocolError),
            (saying(b"nonsense\r\n\r\n"), {}, httpx.RemoteProtocolError),
        ],
    )
    async def test_errors_are_httpxs_own_with_their_request(self, talk: Any, timeouts: Any, kind: Any) -> None:
        async with serving(talk) as (_, url), capped() as transport:
            with pytest.raises(httpx.RequestError) as caught:
                await send(transport, url, timeouts=timeouts)
            assert type(caught.value) is kind
            assert caught.value.request.url == url

    async def test_errors_before_anything_is_sent_are_httpxs_own_too(self) -> None:
        async with serving(silent) as (server, url), capped(1) as transport:
            handshake = url.replace("http://", "https://")
            with pytest.raises(httpx.ConnectTimeout):
                await send(transport, handshake, timeouts={"connect": 0.03})
            with pytest.raises(httpx.UnsupportedProtocol):
                await send(transport, "ftp://a.test/")
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, url, headers={"x": "a\r\nb: c"})
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, url, extensions={"target": b"/a b"})
            waiting = asyncio.create_task(send(transport, url))
            await asyncio.sleep(0.01)
            with pytest.raises(httpx.PoolTimeout):
                await send(transport, url, timeouts={"pool": 0.03})
            waiting.cancel()
            await asyncio.wait([waiting])
            assert len(server.requests) == 1
        async with capped() as transport:
            with pytest.raises(httpx.ConnectError):
                await send(transport, url)

    async def test_a_small_reply_is_whole_at_once(self) -> None:
        async with serving(saying(b"HTTP/1.1 201 Fine\r\nA: 1\r\na: 2\r\ncontent-length: 2\r\n\r\n{}")) as (
            server,
            url,
        ):
            async with capped() as transport:
                await send(transport, url, extensions={"target": b"*"}, content=b"x")
                before = other_tasks()
                response = await send(transport, url, content=b"x")
                assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
                assert other_tasks() == before
                assert (response.status_code, await response.aread()) == (201, b"{}")
                assert response.headers.get_list("a") == ["1", "2"]
                assert response.extensions == {"http_version": b"HTTP/1.1", "reason_phrase": b"Fine"}
        assert server.requests[0].startswith(b"POST * HTTP/1.1\r\n")

    @pytest.mark.parametrize("headers", [{"content-length": "6"}, {}])
    async def test_a_streamed_request_arrives_whole(self, headers: dict[str, str]) -> None:
        async with serving(saying(OK)) as (server, url), capped() as transport:
            for _ in range(2):
                response = await send(transport, url, content=pieces(b"abc", b"", b"def"), headers=headers)
                assert await response.aread() == b"{}"
            assert server.connections == 1
        assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [b"abcdef"] * 2

    @pytest.mark.parametrize("length", ["2", "7"])
    async def test_a_streamed_request_of_another_length_than_it_says_is_not_finished(self, length: str) -> None:
        async with serving(saying(OK)) as (server, url), capped() as transport:
            with pytest.raises(httpx.LocalProtocolError):
                await send(transport, url, content=pieces(b"abc"), headers={"content-length": length})
            await asyncio.wait_for(server.ended.wait(), 2)
            assert server.requests == []

    async def test_a_streamed_request_waits_for_a_server_that_does_not_read(self) -> None:
        produced = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal produced
            while True:
                produced += 1
                yield b"x" * 100_000

        async with serving(silent, early=True) as (_, url), capped() as transport:
            with pytest.raises(httpx.WriteTimeout):
                await send(transport, url, content=endless(), timeouts={"write": 0.05})
            assert produced < 200

    async def test_a_request_at_hand_waits_no_longer_than_allowed_either(self, tls: Tls) -> None:
        async with serving(silent, tls.server, early=True) as (_, url), capped(tls=tls.client) as transport:
            with pytest.raises(httpx.WriteTimeout):
                await send(transport, url, content=b"x" * 20_000_000, timeouts={"write": 0.05, "read": 5})

    async def test_a_long_request_at_hand_arrives_whole(self, tls: Tls) -> None:
        body = bytes(range(256)) * 4_000
        async with serving(saying(OK), tls.server) as (server, url), capped(tls=tls.client) as transport:
            for _ in range(2):
                assert (await send(transport, url, content=body)).status_code == 200
            assert server.connections == 1
        assert [request.partition(b"\r\n\r\n")[2] == body for request in server.requests] == [True] * 2

    async def test_a_request_that_asks_for_it_is_the_last_of_its_connection(self) -> None:
        async with serving(saying(OK)) as (server, url), capped() as transport:
            for _ in range(2):
                await send(transport, url, headers=[("connection", "te"), ("connection", "Close")])
            assert server.connections == 2

    async def test_a_streamed_request_stops_when_the_answer_is_there(self) -> None:
        closed = False

        async def endless() -> AsyncIterator[bytes]:
            nonlocal closed
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.001)
            finally:
                closed = True

        async with serving(saying(OK), early=True) as (server, url), capped() as transport:
            response = await send(transport, url, content=endless())
            assert (response.status_code, await response.aread()) == (200, b"{}")
            # httpx puts a generator of its own around it, so it is ended by the loop, a little later.
            gc.collect()
            await turns(5)
            assert closed
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_a_request_body_that_breaks_closes_the_connection(self) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            yield b"x"
            raise ZeroDivisionError

        async with serving(saying(OK)) as (server, url), capped() as transport:
            with pytest.raises(ZeroDivisionError):
                await send(transport, url, content=breaking())
            await asyncio.wait_for(server.ended.wait(), 2)

    async def test_a_reply_that_is_not_read_waits_at_its_sender(self) -> None:
        size, written = 60_000_000, 0

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            while written < size:
                writer.write(b"x" * 1_000_000)
                written += 1_000_000
                await writer.drain()

        async with serving(talk) as (server, url), capped() as transport:
            response = await send(transport, url)
            await asyncio.sleep(0.1)
            assert written < size
            received = 0
            async for chunk in response.aiter_raw():
                received += len(chunk)
            assert received == size
            assert repr(transport) == "<DirectTransport: 1 connections, 1 idle, 0 in use>"
            assert server.open == 1

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_a_reply_that_nobody_reads_leaves_its_connection_fit_for_the_next(
        self, tls: Tls, at_once: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "READ_AHEAD", 1)

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            if at_once:
                writer.write(OK)
                return
            writer.write(OK[:-2])
            await asyncio.wait_for(begun.wait(), 5)
            writer.write(OK[-2:])
            begun.clear()

        async with serving(talk, tls.server) as (server, url), capped(tls=tls.client) as transport:
            begun = asyncio.Event()
            for _ in range(2):
                response = await send(transport, url, timeouts={"read": 2})
                begun.set()
                await until_whole(transport)
                await response.aclose()
            assert server.connections == 1

    async def test_a_reply_that_was_closed_takes_nothing_of_the_next(self, tls: Tls) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(OK[:-2])
            await asyncio.wait_for(begun.wait(), 5)
            writer.write(OK[-2:-1])
            await asyncio.wait_for(read.wait(), 5)
            writer.write(OK[-1:])
            begun.clear()
            read.clear()

        async with serving(talk, tls.server) as (server, url), capped(tls=tls.client) as transport:
            begun, read = asyncio.Event(), asyncio.Event()
            bodies: list[Any] = []
            for _ in range(3):
                response = await send(transport, url)
                begun.set()
                body = aiter(cast("httpx.AsyncByteStream", response.stream))
                assert await anext(body) == b"{"
                # The generators of those before are ended, and read on, while this one is under way.
                for number, earlier in enumerate(bodies):
                    if number:
                        with pytest.raises(httpx.StreamClosed):
                            await anext(earlier)
                    else:
                        await earlier.aclose()
                read.set()
                await until_whole(transport)
                await response.aclose()
                bodies.append(body)
            assert server.connections == 1

    async def test_a_reply_in_many_chunks_may_last_for_ever(self, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection, "MAX_HEAD", 200)

        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")
            for _ in range(100):
                for part in (b"\r\n5\r\n", b"hello"):
                    writer.write(part)
                    await turns(3)
            writer.write(b"\r\n0\r\n\r\n")

        async with serving(talk, tls.server) as (_, url), capped(tls=tls.client) as transport:
            assert await (await send(transport, url)).aread() == b"hello" * 100

    async def test_a_reply_that_is_closed_early_closes_its_connection(self) -> None:
        async with serving(dripping) as (server, url), capped() as transport:
            response = await send(transport, url)
            body: Any = response.aiter_raw()
            async with aclosing(body) as chunks:
                assert await anext(chunks) == b"x"
            for _ in range(2):
                await response.aclose()
            await asyncio.wait_for(server.ended.wait(), 2)
            assert repr(transport) == "<DirectTransport: 0 connections, 0 idle, 0 in use>"

    async def test_a_reply_that_stops_is_not_waited_for_longer_than_allowed(self) -> None:
        async with serving(saying(OK[:-1])) as (_, url), capped() as transport:
            response = await send(transport, url, timeouts={"read": 0.03})
            with pytest.raises(httpx.ReadTimeout) as caught:
                await response.aread()
            assert caught.value.request.url == url

    async def test_a_reply_that_is_cut_off_gives_what_came_and_then_the_error(self) -> None:
        async def talk(server: Server, writer: asyncio.StreamWriter) -> None:
            writer.write(OK[:-1])
            await asyncio.sleep(0.01)
            writer.close()

        async with serving(talk) as (_, url), capped() as transport:
            response = await send(transport, url)
            received = b""
            with pytest.raises(httpx.RemoteProtocolError):
                async for chunk in response.aiter_raw():
                    received += chunk
            assert received == b"{"

    async def test_a_client_works_as_it_does_with_httpxs_own(self) -> None:
        async with serving(echo) as (server, url):
            async with httpx.AsyncClient(transport=capped(4), trust_env=False) as client:
                replies = await asyncio.gather(*(client.get(f"{url}{number}") for number in range(40)))
                assert [reply.text for reply in replies] == [f"/x{number}" for number in range(40)]
                async with client.stream("HEAD", url) as response:
                    assert await response.aread() == b""
            assert server.connections == 4
