"""What a call leaves behind in an outage: every permit goes back, and the part of the probe is handed on."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from genesys_media_async.api.base import NO_TOKEN
from genesys_media_async.api.calls import Call, CallResult
from genesys_media_async.api.client import ApiClient
from genesys_media_async.api.host_gate import HostGate
from genesys_media_async.api.retry import RetryBudget
from genesys_media_async.audit.recorder import AuditRecorder
from genesys_media_async.clock import VirtualClock
from genesys_media_async.counters import Counters
from genesys_media_async.errors import (
    APITimeoutError,
    AuditWriteError,
    ConnectError,
    DeadlineExceededError,
    NotFoundError,
)
from genesys_media_async.limiter.local import LocalLimiter
from genesys_media_async.settings.policies import QuotaLimit
from genesys_media_async.transports.base import MAX_REPLY_SIZE, HttpReply, HttpRequest
from tests.api.test_client import OK, Tokens
from tests.support.login_host import configured
from tests.support.scripted_sink import ScriptedSink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NOBODY = ConnectError("No connection: refused.")
LIMIT = 3


class Host:
    """A transport whose host is away until `is_there`; a request hangs while `hangs`."""

    def __init__(self) -> None:
        self.is_there = False
        self.hangs = False
        self.sent = 0

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        self.sent += 1
        if self.hangs:
            await asyncio.sleep(timeout)
            raise APITimeoutError("No complete reply in time.")
        if not self.is_there:
            raise ConnectError(NOBODY.message)
        return OK

    async def aclose(self) -> None: ...


class SlowTokens(Tokens):
    """A token source whose token is fetched each time, which takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.current = NO_TOKEN
        self.seconds = seconds

    async def get(self) -> str:
        await asyncio.sleep(self.seconds)
        return "token"


class Scene:
    """A client with a quota of three requests for ever, in virtual time."""

    def __init__(self, tokens: Tokens | None = None, audit: tuple[ScriptedSink, ...] = ()) -> None:
        self.clock, self.host = VirtualClock(), Host()
        settings = configured()
        self.gate = HostGate(settings, self.clock, random.Random(8), lambda _: None)
        self.limiter = LocalLimiter(QuotaLimit(limit=LIMIT, seconds=86_400), self.clock)
        self.recorder = AuditRecorder(audit, clock=self.clock, user_agent="agent/1", then=lambda _: None)
        self.client = ApiClient(
            settings,
            self.host,
            tokens or Tokens(),
            self.limiter,
            self.recorder,
            self.gate,
            clock=self.clock,
            rng=random.Random(7),
            emit=lambda _: None,
        )

    async def call(self, subject: str = "a", *, deadline: float = 600.0) -> CallResult[Any]:
        call = Call("GET", "/api/v2/thing", b"", subject, "thing", lambda reply, _: reply.body)
        return await self.client.call(call, deadline=deadline, budget=RetryBudget(10), counters=Counters())

    @property
    def used(self) -> int:
        return self.limiter.state().used

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            await main()

        self.clock.run(whole())


def test_a_request_that_was_not_sent_costs_no_permit():
    scene = Scene()

    async def main() -> None:
        result = await scene.call(deadline=20.0)
        assert isinstance(result.error, DeadlineExceededError)
        assert scene.host.sent > LIMIT

    scene.run(main)
    assert scene.used == 0


def test_a_caller_whose_host_goes_down_while_it_waits_for_a_token_gives_its_permit_back():
    scene = Scene(SlowTokens(5.0))

    async def main() -> None:
        calls = [asyncio.create_task(scene.call(name, deadline=30.0)) for name in "abc"]
        await asyncio.sleep(1.0)
        assert scene.used == LIMIT
        scene.gate.failed(NOBODY, "other", is_probe=False)
        await asyncio.sleep(10.0)
        # Only the probe may hold one.
        assert scene.used <= 1
        await asyncio.wait(calls)

    scene.run(main)
    assert scene.used == 0


@pytest.mark.parametrize("while_it", ["waits for the reply", "waits for the token"])
def test_a_probe_that_is_cancelled_makes_way_for_the_next_one(while_it: str) -> None:
    tokens = SlowTokens(5.0) if while_it == "waits for the token" else None
    scene = Scene(tokens)
    scene.host.hangs = True

    async def main() -> None:
        scene.gate.failed(NOBODY, "other", is_probe=False)
        probe = asyncio.create_task(scene.call("a"))
        other = asyncio.create_task(scene.call("b"))
        await asyncio.sleep(3.0)
        scene.host.hangs, scene.host.is_there = False, True
        probe.cancel()
        assert (await other).error is None

    scene.run(main)
    assert scene.clock.monotonic() < 20.0


def test_a_probe_that_has_no_reply_before_its_deadline_makes_way_for_the_next_one():
    scene = Scene()
    scene.host.hangs = True

    async def main() -> None:
        scene.gate.failed(NOBODY, "other", is_probe=False)
        probe = asyncio.create_task(scene.call("a", deadline=10.0))
        other = asyncio.create_task(scene.call("b"))
        await asyncio.sleep(5.0)
        scene.host.hangs, scene.host.is_there = False, True
        assert isinstance((await probe).error, DeadlineExceededError)
        assert (await other).error is None

    scene.run(main)
    assert scene.clock.monotonic() < 20.0


def test_a_probe_whose_deadline_passes_makes_way_for_the_next_one():
    scene = Scene(SlowTokens(50.0))
    scene.host.is_there = True

    async def main() -> None:
        scene.gate.failed(NOBODY, "other", is_probe=False)
        probe = asyncio.create_task(scene.call("a", deadline=10.0))
        other = asyncio.create_task(scene.call("b"))
        assert isinstance((await probe).error, DeadlineExceededError)
        assert (await other).error is None

    scene.run(main)
    assert scene.clock.monotonic() < 100.0


def test_a_probe_that_has_no_record_makes_way_for_the_next_one():
    scene = Scene(audit=(ScriptedSink(fails=OSError("disk full")),))
    scene.host.is_there = True

    async def main() -> None:
        scene.gate.failed(NOBODY, "other", is_probe=False)
        async with anyio.create_task_group() as task_group:
            scene.recorder.start(task_group)
            with pytest.raises(AuditWriteError):
                await (await scene.call("a")).group.written()
            task_group.cancel_scope.cancel()

    scene.run(main)
    assert scene.gate.is_open


def test_a_probe_that_learns_nothing_of_the_host_makes_way_for_the_next_one():
    scene = Scene()

    async def main() -> None:
        scene.gate.failed(NOBODY, "other", is_probe=False)
        assert await scene.gate.wait()
        other = asyncio.create_task(scene.gate.wait())
        await asyncio.sleep(0)
        # As if this call was refused before it could be sent.
        assert not scene.gate.failed(NotFoundError("x"), "a", is_probe=True)
        assert await other

    scene.run(main)
    assert scene.clock.monotonic() < 2.0
