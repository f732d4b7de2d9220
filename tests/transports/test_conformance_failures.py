"""The errors that every transport raises, and what a cancellation leaves behind."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.errors import (
    APIConnectionError,
    APITimeoutError,
    ConnectError,
    GenesysMediaError,
    InvalidResponseError,
    StaleConnectionError,
)
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.transports import DirectTransport, HttpReply, HttpRequest
from tests.support.exchanges import HTTPX, ask, echo, failure, turns
from tests.support.retrievers import other_tasks
from tests.support.scripted_server import (
    OK,
    dripping,
    replying,
    replying_and_closing,
    resetting,
    server_tls,
    serving,
    silent,
)

if TYPE_CHECKING:
    import trustme

    from tests.support.exchanges import Carrying
    from tests.support.scripted_server import Server, Talk

pytestmark = pytest.mark.anyio


class TestAFailure:
    async def test_to_connect_says_that_nothing_was_sent(self, carrying: Carrying) -> None:
        async with serving(replying(OK)) as (_, url):
            pass
        async with carrying() as transport:
            assert type(await failure(transport, url)) is ConnectError
            assert type(await failure(transport, "http://name.invalid/")) is ConnectError

    @pytest.mark.parametrize("talk", [resetting, replying_and_closing(b""), replying_and_closing(OK[:-1])])
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
    # Each comes over a connection that has carried the good reply before.
    Fault.RESET_BEFORE_REPLY: StaleConnectionError,
    Fault.CLOSE_BEFORE_REPLY: StaleConnectionError,
    Fault.KEEP_ALIVE_RACE: StaleConnectionError,
    Fault.GARBAGE: APIConnectionError,
    Fault.RESET_DURING_REPLY: APIConnectionError,
    Fault.TRUNCATED_BODY: APIConnectionError,
    Fault.HANG: APITimeoutError,
    Fault.OVERSIZED_BODY: InvalidResponseError,
}


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
            request = HttpRequest.to("POST", simulator.token_url, {**headers, "accept-encoding": "identity"}, body)
            return await transport.exchange(request, timeout=timeout)

        for fault in sorted(set(Fault) - {Fault.TOKEN_EXPIRED, Fault.EMPTY_URL, Fault.HTTP_URL}, key=str):
            assert (await get_token()).status == 200
            simulator.script_token(fault)
            if fault in EXPECTED:
                with pytest.raises(EXPECTED[fault]) as caught:
                    await get_token(timeout=0.05 if fault is Fault.HANG else 5)
                assert type(caught.value) is EXPECTED[fault], fault
            else:
                assert (await get_token()).status >= 200
            reply = await get_token()
            assert (reply.status, b"access_token" in reply.body) == (200, True), fault


async def cancel_after(number: int, call: asyncio.Task[HttpReply]) -> bool:
    """Cancel a call after some turns of the loop; tell whether it was still under way."""
    await turns(number)
    cancelled = call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        assert (await call).body == b"/victim"
        return False
    return cancelled


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
