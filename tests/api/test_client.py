"""The client: what one call enters, what its errors keep, and what its attempts leave behind."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import genesys_media_async
from genesys_media_async import (
    APIConnectionError,
    APITimeoutError,
    AuditWriteError,
    DeadlineExceededError,
    GenesysMediaError,
    MediaRequest,
    RateLimitError,
    StaleConnectionError,
    TokenRejectedError,
    ValidationRule,
    VirtualClock,
)
from genesys_media_async.api.base import NO_TOKEN, Token
from genesys_media_async.api.calls import Call, CallResult
from genesys_media_async.api.client import ApiClient
from genesys_media_async.api.host_gate import HostGate
from genesys_media_async.api.retry import RetryBudget
from genesys_media_async.audit.recorder import AuditRecorder
from genesys_media_async.counters import Counters
from genesys_media_async.endpoints import MediaStorage
from genesys_media_async.events import RetryScheduled
from genesys_media_async.limiter.local import LocalLimiter
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest
from tests.support.login_host import configured
from tests.support.scripted_context import Scripted, json_reply
from tests.support.scripted_sink import ScriptedSink

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType

    from genesys_media_async.events import AttemptAudited, Event

PACKAGE = Path(genesys_media_async.__file__).parent
CANARY = "canary-token"
FOREVER = float("inf")


class Tokens:
    """A token source with one token, which counts what is done to it."""

    def __init__(self) -> None:
        self.current = Token(CANARY, FOREVER, FOREVER)
        self.unaccepted = 0
        self.rejected: list[str] = []

    async def get(self) -> str:
        if self.current is NO_TOKEN:
            self.current = Token(f"{CANARY}-{len(self.rejected)}", FOREVER, FOREVER)
        return self.current.value

    async def first(self, timeout: float) -> None:
        await self.get()

    def invalidate(self, rejected: str) -> None:
        self.rejected.append(rejected)
        self.unaccepted += 1
        self.current = NO_TOKEN

    def accepted(self) -> None:
        self.unaccepted = 0


class Genesys:
    """A transport that answers with the next of its replies, and with the last one from then on."""

    def __init__(self, *replies: Scripted | Callable[[], HttpReply]) -> None:
        self.replies = list(replies)
        self.bearers: list[str] = []
        self.fresh: list[bool] = []

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        self.fresh.append(request.fresh)
        self.bearers.append(request.headers["authorization"].removeprefix("Bearer "))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, HttpReply) else reply()

    async def aclose(self) -> None: ...


class Scene:
    """A client with all that it needs, in virtual time."""

    def __init__(self, *replies: Scripted | Callable[[], HttpReply], audit: tuple[ScriptedSink, ...] = ()) -> None:
        self.clock = VirtualClock()
        self.tokens, self.genesys = Tokens(), Genesys(*replies)
        self.budget, self.counters = RetryBudget(10), Counters()
        self.records: list[AttemptAudited] = []
        self.events: list[Event] = []
        self.recorder = AuditRecorder(audit, clock=self.clock, user_agent="agent/1", then=self.records.extend)
        settings = configured()
        self.gate = HostGate(settings, self.clock, random.Random(8), self.events.append)
        self.client = ApiClient(
            settings,
            self.genesys,
            self.tokens,
            LocalLimiter(None, self.clock),
            self.recorder,
            self.gate,
            clock=self.clock,
            rng=random.Random(7),
            emit=self.events.append,
        )

    async def call(self, call: Call[Any] | None = None, *, deadline: float = 600.0) -> CallResult[Any]:
        call = call or Call("GET", "/api/v2/thing", b"", "thing-1", "thing", lambda reply, _: reply.body)
        return await self.client.call(call, deadline=deadline, budget=self.budget, counters=self.counters)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return self.clock.run(main)


OK = json_reply(
    {"url": "https://media.example.com/a", "expiresIn": 60, "contentType": "audio/wav"}, inin_correlation_id="c-1"
)


def files_entered(run: Callable[[], object]) -> set[str]:
    """Return the files of the package in which something was called."""
    entered: set[str] = set()

    def profile(frame: FrameType, kind: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if kind == "call" and file.is_relative_to(PACKAGE):
            entered.add(file.relative_to(PACKAGE).as_posix())

    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(None)
    return entered


class TestPlainSuccess:
    def test_enters_only_the_client_the_endpoint_the_limiter_and_the_recorder(self) -> None:
        correlated = {**OK.headers, "inin-correlation-id": "5c7d1a52-7e0f-4f29-9bb6-0f7a1d3d2c11"}
        scene = Scene(HttpReply(200, correlated, OK.body))
        endpoint, rule, reported = MediaStorage(), ValidationRule(), []

        class Context:
            clock = scene.clock
            counters = Counters()

            def __init__(self) -> None:
                self.rule = rule

            async def call(self, call: Call[Any], /) -> CallResult[Any]:
                return await scene.call(call)

            async def report(self, request: MediaRequest, result: CallResult[Any], /, *, media_id: str | None = None):
                reported.append(result)

            async def sleep(self, seconds: float, /) -> None: ...

            def emit(self, event: Event, /) -> None: ...

        async def main() -> set[str]:
            context, request = Context(), MediaRequest("f-1")
            await endpoint.retrieve((request,), context)

            # The coroutine never waits, so that one step is all of it.
            def step() -> None:
                with pytest.raises(StopIteration):
                    endpoint.retrieve((request,), context).send(None)

            return files_entered(step)

        entered = scene.run(main())
        assert [result.error for result in reported] == [None, None]
        limiter = {each for each in entered if each.startswith(("limiter", "quota", "governor"))}
        # The transport of this test reads the headers of the request.
        assert entered - limiter - {"clock.py", "transports/base.py"} == {
            "api/client.py",
            "audit/recorder.py",
            "endpoints/media_storage.py",
            "endpoints/validation.py",
        }

    def test_takes_the_correlation_id_of_the_reply(self) -> None:
        for name, text, expected in (
            ("inin-correlation-id", "c-1", "c-1"),
            ("genesys-correlation-id", "c-2", "c-2"),
            ("inin-correlation-id", "a\x1bb", "a b"),
            ("inin-correlation-id", "x" * 100, "x" * 63 + "…"),
            ("other", "c-3", None),
        ):
            scene = Scene(HttpReply(200, {name: text}, b""))
            assert scene.run(scene.call()).correlation_id == expected

    def test_earns_a_retry_only_if_some_were_taken(self) -> None:
        scene = Scene(OK)
        scene.run(scene.call())
        assert scene.budget.left == 10
        scene.budget.take()
        scene.run(scene.call())
        assert scene.budget.left == pytest.approx(9.1)


class TestErrors:
    def test_in_a_result_hold_no_frames(self) -> None:
        def read(reply: HttpReply, sent_at: float) -> object:
            raise TokenRejectedError("x") from ValueError("y")

        for scene in (
            Scene(json_reply({"code": "not.found"}, status=404)),
            Scene(APIConnectionError("reset", retryable=False)),
            Scene(json_reply({"code": "rate.limit"}, status=429, retry_after="9999")),
        ):
            result = scene.run(scene.call(deadline=60.0))
            error = result.error
            assert error is not None
            assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
        scene = Scene(OK)
        error = scene.run(scene.call(Call("GET", "/", b"", "s", "a", read))).error
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)

    def test_that_are_raised_hold_no_frame_with_the_token(self) -> None:
        scene = Scene(OK, audit=(ScriptedSink(fails=OSError("disk full")),))

        async def main() -> None:
            async with anyio.create_task_group() as task_group:
                scene.recorder.start(task_group)
                with pytest.raises(AuditWriteError) as raised:
                    await (await scene.call()).group.written()
                task_group.cancel_scope.cancel()
            traceback = raised.value.__traceback__
            while traceback is not None:
                if Path(traceback.tb_frame.f_code.co_filename).is_relative_to(PACKAGE):
                    assert CANARY not in repr(traceback.tb_frame.f_locals)
                traceback = traceback.tb_next

        scene.run(main())

    def test_name_the_last_attempt_when_the_deadline_is_over(self) -> None:
        def hang() -> HttpReply:
            scene.clock.advance(60.0)
            raise APITimeoutError("No complete reply.")

        scene = Scene(json_reply({}, status=503), hang)
        error = scene.run(scene.call(deadline=40.0)).error
        assert isinstance(error, DeadlineExceededError)
        assert error.message == ("No result within 40 s, after 2 requests. The last attempt: Genesys answered 503.")


class TestAStaleConnection:
    def test_costs_no_time_and_no_retry_and_is_followed_by_a_fresh_one(self) -> None:
        stale = StaleConnectionError("closed")
        scene = Scene(stale, json_reply({}, status=503), OK)
        scene.budget = RetryBudget(1)
        result = scene.run(scene.call())
        assert (result.error, result.attempts) == (None, 3)
        assert scene.genesys.fresh == [False, True, False]
        assert scene.budget.left == 1
        assert [each.code for each in scene.records] == ["stale_connection", "internal_server_error", None]
        at_once, later = [each for each in scene.events if isinstance(each, RetryScheduled)]
        assert at_once.delay == 0 < later.delay


class TestOnFailure:
    def call(self, seen: list[str], error: GenesysMediaError | None = None) -> Call[Any]:
        def on_failure(failure: GenesysMediaError) -> GenesysMediaError:
            seen.append(failure.code)
            return error or failure

        return Call("POST", "/", b"", "thing-1", "thing", lambda reply, _: reply.body, on_failure=on_failure)

    def test_decides_about_the_retry_and_the_record(self) -> None:
        scene, seen = Scene(json_reply({}, status=503), OK), list[str]()
        result = scene.run(scene.call(self.call(seen, GenesysMediaError("No more.", code="enough"))))
        assert result.error is not None
        assert (result.error.code, result.attempts) == ("enough", 1)
        assert seen == ["internal_server_error"]
        assert [(each.code, each.status) for each in scene.records] == [("enough", 503)]

    def test_gets_each_failure_and_no_success(self) -> None:
        scene, seen = Scene(json_reply({}, status=503), APIConnectionError("reset"), OK), list[str]()
        assert scene.run(scene.call(self.call(seen))).error is None
        assert seen == ["internal_server_error", "connection_error"]

    def test_gets_what_is_cut_off_in_flight_and_not_what_was_never_sent(self) -> None:
        def cancel() -> HttpReply:
            raise asyncio.CancelledError

        scene, seen = Scene(cancel), list[str]()

        async def main() -> None:
            with pytest.raises(asyncio.CancelledError):
                await scene.call(self.call(seen))

        scene.run(main())
        assert seen == ["cut_off"]
        refused = Scene(json_reply({}, status=429, retry_after="3600"), OK)
        refused.run(refused.call(deadline=60.0))
        refused.run(refused.call(self.call(seen), deadline=60.0))
        assert seen == ["cut_off"]


class TestToken:
    def test_that_is_rejected_is_replaced_and_the_call_repeated_once(self) -> None:
        scene = Scene(json_reply({}, status=401), OK)
        result = scene.run(scene.call())
        assert (result.error, result.attempts) == (None, 2)
        assert scene.tokens.rejected == [CANARY]
        assert scene.genesys.bearers == [CANARY, f"{CANARY}-1"]
        assert scene.tokens.unaccepted == 0

    def test_is_accepted_by_any_reply_but_a_401(self) -> None:
        scene = Scene(json_reply({}, status=404))
        scene.tokens.unaccepted = 2
        scene.run(scene.call())
        assert scene.tokens.unaccepted == 0

    def test_is_not_accepted_without_a_reply(self) -> None:
        scene = Scene(APIConnectionError("reset", retryable=False))
        scene.tokens.unaccepted = 2
        scene.run(scene.call())
        assert scene.tokens.unaccepted == 2


class TestRecords:
    def test_there_is_one_for_each_attempt(self) -> None:
        scene = Scene(json_reply({}, status=503, inin_correlation_id="c-1"), APIConnectionError("reset"), OK)
        result = scene.run(scene.call())
        assert result.attempts == 3
        assert [(each.attempt, each.status, each.code, each.correlation_id) for each in scene.records] == [
            (1, 503, "internal_server_error", "c-1"),
            (2, None, "connection_error", None),
            (3, 200, None, "c-1"),
        ]

    def test_there_is_one_for_a_cancelled_attempt(self) -> None:
        def cancel() -> HttpReply:
            raise asyncio.CancelledError

        scene = Scene(cancel)

        async def main() -> None:
            with pytest.raises(asyncio.CancelledError):
                await scene.call()

        scene.run(main())
        (record,) = scene.records
        assert (record.code, record.attempt, record.status) == ("cut_off", 1, None)
        assert scene.counters.in_flight == 0

    def test_there_is_one_for_a_call_that_may_not_be_sent(self) -> None:
        scene = Scene(json_reply({}, status=429, retry_after="3600"), OK)

        async def main() -> CallResult[Any]:
            await scene.call(deadline=60.0)
            return await scene.call(deadline=60.0)

        result = scene.run(main())
        assert isinstance(result.error, RateLimitError | DeadlineExceededError)
        assert (result.attempts, result.latency) == (0, 0.0)
        assert (scene.records[-1].attempt, scene.records[-1].status) == (0, None)
