"""The token manager as a state machine: time passes, tokens are rejected, the login host fails, callers come and go."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.lowlevel
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genesys_media_async.api.tokens import TokenManager
from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
)
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest
from tests.support.login_host import THROTTLED, WRONG_CLIENT, configured, fresh

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


@dataclass
class Granted:
    sent: float
    lifetime: float


@dataclass
class Waiter:
    task: asyncio.Task[str]
    cancelled: bool = False


class ModelledLoginHost:
    """Behaves by its mood, and checks that there is one request at a time and none within a pause."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.mood = "grant"
        self.lifetime = 3_600.0
        self.delay = 0.0
        self.granted: dict[str, Granted] = {}
        self.in_flight = 0
        self.silent_until = 0.0
        self.requests = 0

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        sent = self.clock.monotonic()
        assert self.in_flight == 0, "two token requests at once"
        assert sent >= self.silent_until, f"a request at {sent}, within a pause that lasts until {self.silent_until}"
        self.requests += 1
        mood, lifetime, delay = self.mood, self.lifetime, self.delay
        wrong = mood == "wrong credentials" and delay <= timeout
        self.in_flight += 1
        try:
            await anyio.sleep(min(delay, timeout))
        finally:
            self.in_flight -= 1
            self.silent_until = self.clock.monotonic() + (59.99 if wrong else 0.99)
        if delay > timeout:
            raise APITimeoutError("too slow")
        match mood:
            case "grant":
                value = f"token-{self.requests}"
                if sent + 0.95 * lifetime > self.clock.monotonic():
                    self.silent_until = 0.0
                    self.granted[value] = Granted(sent, lifetime)
                return HttpReply(200, {}, json.dumps({"access_token": value, "expires_in": lifetime}).encode())
            case "broken":
                return HttpReply(500, {}, b"")
            case "throttled":
                return HttpReply(400, {}, json.dumps(THROTTLED).encode())
            case "wrong credentials":
                return HttpReply(400, {}, json.dumps(WRONG_CLIENT).encode())
            case "garbage":
                return HttpReply(200, {}, b'{"access_token": "", "expires_in": "never"}')
            case _:
                raise APIConnectionError("The connection broke.")

    async def aclose(self) -> None: ...


MOODS = st.sampled_from(["grant", "grant", "broken", "throttled", "wrong credentials", "garbage", "reset"])
LIFETIMES = st.sampled_from([5.0, 30.0, 120.0, 300.0, 1_000.0, 86_400.0])
DELAYS = st.sampled_from([0.0, 0.5, 6.0, 19.0, 40.0])


class TokenLife(RuleBasedStateMachine):
    """Time passes, tokens end and are rejected, the login host has its moods, waiters come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.loop = self.clock.event_loop()
        self.host = ModelledLoginHost(self.clock)
        self.background: list[asyncio.Task[None]] = []
        self.waiters: list[Waiter] = []
        self.rejected: set[str] = set()
        self.tokens = self.run(self._make())

    def run(self, coroutine: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    async def _make(self) -> TokenManager:
        return TokenManager(
            configured(), self.host, clock=self.clock, rng=random.Random(1), spawn=self._spawn, emit=lambda _: None
        )

    def _spawn(self, run: Callable[[], Coroutine[object, object, None]]) -> None:
        self.background.append(self.loop.create_task(run()))

    async def _bearer(self) -> str:
        before = frozenset(self.rejected)
        token = await self.tokens.get()
        granted = self.host.granted[token]
        assert self.clock.monotonic() < granted.sent + granted.lifetime, "a token past its end"
        assert token not in before, "a token that was known to be rejected"
        return token

    @rule(mood=MOODS, lifetime=LIFETIMES, delay=DELAYS, count=st.integers(1, 3), rejected=st.booleans())
    def callers_come_in_a_new_mood_of_the_login_host(
        self, mood: str, lifetime: float, delay: float, count: int, rejected: bool
    ) -> None:
        self.host.mood, self.host.lifetime, self.host.delay = mood, lifetime, delay
        token = fresh(self.tokens, self.clock)
        if rejected and token is not None:
            self._reject(token)
        self.callers_come(count)

    @rule(count=st.integers(1, 5))
    def callers_come(self, count: int) -> None:
        self.waiters += [Waiter(self.loop.create_task(self._bearer())) for _ in range(count)]
        self.run(asyncio.sleep(0))

    @precondition(lambda self: self.waiters)
    @rule(data=st.data())
    def a_caller_is_cancelled(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.waiters))
        waiter.cancelled = True
        waiter.task.cancel()
        self.run(asyncio.sleep(0))

    @rule(seconds=st.sampled_from([0.001, 0.4, 1.0, 3.0, 7.0, 24.0, 61.0, 290.0, 4_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: self.host.granted)
    @rule(data=st.data())
    def the_api_rejects_a_token(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.host.granted)[-3:]))
        self._reject(token)

    def _reject(self, token: str) -> None:
        current = fresh(self.tokens, self.clock)
        self.rejected.add(token)
        self.tokens.invalidate(token)
        assert fresh(self.tokens, self.clock) == (None if current == token else current)
        # Only the limit on tokens never accepted would end the game early; it has a test of its own.
        self.tokens.accepted()

    @rule()
    def an_hour_passes(self) -> None:
        self.run(asyncio.sleep(3_600))
        self._check_answers()

    @invariant()
    def at_most_one_request_is_in_flight(self) -> None:
        assert self.host.in_flight <= 1
        assert sum(not task.done() for task in self.background) <= 1

    def _check_answers(self) -> None:
        for waiter in self.waiters:
            assert waiter.task.done(), "a waiter without an answer"
            if waiter.task.cancelled():
                assert waiter.cancelled, "a waiter was cancelled by somebody else"
            elif (error := waiter.task.exception()) is not None:
                assert isinstance(error, AuthenticationError), error
        for task in self.background:
            if task.done():
                task.result()
        self.waiters.clear()

    def teardown(self) -> None:
        try:
            self.run(asyncio.sleep(100))
            self._check_answers()
        finally:
            self.loop.close()


TestTokenLife = TokenLife.TestCase
TestTokenLife.settings = hypothesis_settings(max_examples=200, stateful_step_count=40, deadline=None)
