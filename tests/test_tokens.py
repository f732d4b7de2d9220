"""The token manager: one bearer for everyone, asked for once, against a scripted login host in virtual time."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import anyio
import anyio.lowlevel
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from genesys_media_async.api.tokens import TokenManager, _token_error
from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConnectError,
    CredentialsRejectedError,
    GenesysMediaError,
    InvalidResponseError,
    TokenUnavailableError,
)
from genesys_media_async.events import Event, TokenRefreshed, TokenRefreshFailed
from genesys_media_async.settings.settings import Settings
from genesys_media_async.transports import MAX_REPLY_SIZE, HttpReply, HttpRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

T = TypeVar("T")

CLIENT_ID = "5a1d7e4c-client"
SECRET = "canary-secret+/="
TOKEN_CANARY = "canary-token"


class Steady(random.Random):
    """A generator that always draws the same number."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@dataclass(frozen=True)
class Step:
    """What the login host does with one request: answer, or break, after some seconds."""

    outcome: HttpReply | GenesysMediaError | None = None
    life: float = 3_600.0
    after: float = 0.0


def grant(life: float = 3_600.0, after: float = 0.0) -> Step:
    return Step(life=life, after=after)


def say(status: int, body: object = None, *, after: float = 0.0, **headers: str) -> Step:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Step(HttpReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw), after=after)


def break_off(error: GenesysMediaError, after: float = 0.0) -> Step:
    return Step(error, after=after)


THROTTLED = {
    "error": "invalid_request",
    "description": "rate limit exceeded",
    "error_description": "rate limit exceeded",
}
WRONG_CLIENT = {"error": "invalid_client", "description": "client not found", "error_description": "client not found"}


class LoginHost:
    """Follows its script, a step a request; then grants tokens of an hour."""

    def __init__(self, clock: VirtualClock, *script: Step) -> None:
        self.clock = clock
        self.script = list(script)
        self.requests: list[HttpRequest] = []
        self.asked_at: list[float] = []
        self.timeouts: list[float] = []
        self.in_flight = 0

    async def exchange(
        self, request: HttpRequest, *, timeout: float, max_reply_size: int = MAX_REPLY_SIZE
    ) -> HttpReply:
        assert self.in_flight == 0, "two token requests at once"
        self.requests.append(request)
        self.asked_at.append(self.clock.monotonic())
        self.timeouts.append(timeout)
        number = len(self.requests)
        step = self.script.pop(0) if self.script else grant()
        self.in_flight += 1
        try:
            await anyio.sleep(min(step.after, timeout))
        finally:
            self.in_flight -= 1
        if step.after > timeout:
            raise APITimeoutError(f"No complete reply within {timeout:g} s.")
        if isinstance(step.outcome, GenesysMediaError):
            raise step.outcome
        if step.outcome is not None:
            assert len(step.outcome.body) <= max_reply_size
            return step.outcome
        body = {"access_token": f"{TOKEN_CANARY}-{number}", "token_type": "bearer", "expires_in": step.life}
        return HttpReply(200, {"content-type": "application/json"}, json.dumps(body).encode())

    async def aclose(self) -> None:
        raise AssertionError("the transport is not the token manager's to close")


@dataclass
class Login:
    tokens: TokenManager
    host: LoginHost
    events: list[Event]


def configured(**changes: Any) -> Settings:
    values: dict[str, Any] = {"client_id": CLIENT_ID, "client_secret": SECRET, **changes}
    return Settings(**values)


@asynccontextmanager
async def login(clock: VirtualClock, *script: Step, jitter: float = 0.0, **changes: Any) -> AsyncIterator[Login]:
    host = LoginHost(clock, *script)
    events: list[Event] = []
    async with anyio.create_task_group() as task_group:
        tokens = TokenManager(
            configured(**changes),
            host,
            clock=clock,
            rng=Steady(jitter),
            spawn=task_group.start_soon,
            emit=events.append,
        )
        yield Login(tokens, host, events)
        task_group.cancel_scope.cancel()


async def gather(tokens: TokenManager, count: int) -> list[str | BaseException]:
    return await asyncio.gather(*(tokens.bearer() for _ in range(count)), return_exceptions=True)


async def refused(tokens: TokenManager) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as caught:
        await tokens.bearer()
    return caught.value


async def within(seconds: float, tokens: TokenManager) -> str:
    """Ask for a bearer that has to come within so many seconds."""
    with anyio.fail_after(seconds):
        return await tokens.bearer()


class TestTheRequest:
    def test_is_a_form_with_the_credentials_in_http_basic(self) -> None:
        clock = VirtualClock()

        async def main() -> HttpRequest:
            async with login(clock, timeout=5.0) as it:
                await it.tokens.bearer()
                assert it.host.timeouts == [5.0]
                return it.host.requests[0]

        request = clock.run(main())
        assert (request.method, request.url) == ("POST", "https://login.mypurecloud.com/oauth/token")
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.headers["accept-encoding"] == "identity"
        scheme, _, credentials = request.headers["authorization"].partition(" ")
        assert scheme == "Basic"
        assert base64.b64decode(credentials).decode() == f"{CLIENT_ID}:{SECRET}"
        assert parse_qs(request.body.decode(), strict_parsing=True) == {"grant_type": ["client_credentials"]}

    def test_carries_the_credentials_in_the_form_if_asked(self) -> None:
        clock = VirtualClock()

        async def main() -> HttpRequest:
            async with login(clock, credentials_in="body", scope="media:read recordings") as it:
                await it.tokens.bearer()
                return it.host.requests[0]

        request = clock.run(main())
        assert "authorization" not in request.headers
        assert parse_qs(request.body.decode(), strict_parsing=True) == {
            "grant_type": ["client_credentials"],
            "client_id": [CLIENT_ID],
            "client_secret": [SECRET],
            "scope": ["media:read recordings"],
        }

    def test_goes_to_the_login_host_of_the_region_or_to_the_one_configured(self) -> None:
        clock = VirtualClock()

        async def main(**changes: Any) -> str:
            async with login(clock, **changes) as it:
                await it.tokens.bearer()
                return it.host.requests[0].url

        assert clock.run(main(region="eu-west-1")) == "https://login.mypurecloud.ie/oauth/token"
        assert clock.run(main(login_url="http://127.0.0.1:8/x/")) == "http://127.0.0.1:8/x/oauth/token"

    def test_is_not_waited_for_longer_than_a_login_host_is_worth(self) -> None:
        clock = VirtualClock()

        async def main() -> float:
            async with login(clock, grant(after=1_000), timeout=3_600.0) as it:
                error = await refused(it.tokens)
                assert isinstance(error, TokenUnavailableError)
                return clock.monotonic()

        assert clock.run(main()) == pytest.approx(20.0, abs=0.01)


class TestAToken:
    def test_is_asked_for_once_and_then_handed_out_from_memory(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                assert it.tokens.peek(clock.monotonic()) is None
                first = await it.tokens.bearer()
                assert [await it.tokens.bearer() for _ in range(100)] == [first] * 100
                assert it.tokens.peek(clock.monotonic()) == first
                assert len(it.host.requests) == 1

        clock.run(main())

    @pytest.mark.parametrize(
        ("life", "jitter", "refreshed_after"),
        [
            (86_400, 0.0, 86_100),
            (1_500, 0.0, 1_200),
            (1_000, 0.0, 800),
            (300, 0.0, 240),
            (60, 0.0, 48),
            (10, 0.0, 8),
            (86_400, 1.0, 86_130),
            (300, 1.0, 246),
            (300, 0.5, 243),
        ],
    )
    def test_is_renewed_min_of_300_s_and_a_fifth_of_its_life_ahead_less_a_little_jitter(
        self, life: float, jitter: float, refreshed_after: float
    ) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(life), jitter=jitter) as it:
                old = await it.tokens.bearer()
                await anyio.sleep(refreshed_after - 0.01 - clock.monotonic())
                assert await it.tokens.bearer() == old
                await anyio.lowlevel.checkpoint()
                assert len(it.host.requests) == 1
                await anyio.sleep(0.02)
                assert await it.tokens.bearer() == old
                await anyio.sleep(0.001)
                assert len(it.host.requests) == 2
                assert await it.tokens.bearer() != old

        clock.run(main())

    def test_ages_from_the_moment_it_was_asked_for_not_from_when_it_came(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(100, after=10), grant(100, after=100), timeout=15.0) as it:
                await it.tokens.bearer()
                assert clock.monotonic() == pytest.approx(10.0, abs=0.01)
                await anyio.sleep(80.01 - clock.monotonic())
                await it.tokens.bearer()
                await anyio.lowlevel.checkpoint()
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_does_not_age_by_the_wall_clock(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                first = await it.tokens.bearer()
                for step in (1e6, -5e6):
                    clock.step_wall(step)
                    assert await it.tokens.bearer() == first
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_past_its_refresh_time_is_still_served_while_the_new_one_is_on_its_way(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), grant(1_000, after=5)) as it:
                old = await it.tokens.bearer()
                await anyio.sleep(850)
                before = clock.monotonic()
                assert await gather(it.tokens, 1_000) == [old] * 1_000
                assert clock.monotonic() - before < 0.001
                await anyio.sleep(5.01)
                new = await it.tokens.bearer()
                assert new != old
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_about_to_end_makes_callers_wait_for_the_new_one(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), grant(1_000, after=5)) as it:
                old = await it.tokens.bearer()
                await anyio.sleep(991)
                before = clock.monotonic()
                new = await it.tokens.bearer()
                assert new != old
                assert clock.monotonic() - before == pytest.approx(5, abs=0.01)

        clock.run(main())

    def test_short_lived_is_not_asked_for_on_every_call(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[grant(60)] * 100) as it:
                for _ in range(600):
                    await it.tokens.bearer()
                    await anyio.sleep(1)
                assert len(it.host.requests) <= 600 / 48 + 1

        clock.run(main())

    def test_that_has_ended_before_it_arrived_is_a_failure_and_not_asked_for_again_at_once(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[grant(life=4, after=5)] * 50) as it:
                with anyio.fail_after(12):
                    error = await refused(it.tokens)
                assert isinstance(error, TokenUnavailableError)
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_and_secret_are_in_no_repr_and_in_no_event(self) -> None:
        clock = VirtualClock()

        async def main() -> str:
            async with login(clock, grant(60), say(401, WRONG_CLIENT)) as it:
                shown = [repr(it.tokens)]
                token = await it.tokens.bearer()
                shown += [repr(it.tokens), repr(it.host.requests)]
                it.tokens.invalidate(token)
                shown += [repr(await refused(it.tokens)), repr(it.tokens), repr(it.events)]
                return " ".join(shown)

        shown = clock.run(main())
        assert TOKEN_CANARY not in shown
        assert SECRET not in shown
        assert base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode() not in shown

    def test_leaves_an_event_when_it_comes_and_when_it_does_not(self) -> None:
        clock = VirtualClock()

        async def main() -> list[Event]:
            async with login(clock, say(503, after=1), grant(600, after=2)) as it:
                await refused(it.tokens)
                await anyio.sleep(1.1)
                await it.tokens.bearer()
                return it.events

        failed, granted = clock.run(main())
        assert isinstance(failed, TokenRefreshFailed)
        assert (failed.code, failed.pause) == ("token_unavailable", 1.0)
        assert isinstance(granted, TokenRefreshed)
        assert granted.lifetime == 600
        assert granted.latency == pytest.approx(2, abs=0.01)


class TestManyCallers:
    def test_ten_thousand_cold_ones_make_exactly_one_request(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(after=1)) as it:
                assert set(await gather(it.tokens, 10_000)) == {f"{TOKEN_CANARY}-1"}
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_a_cancelled_one_does_not_cancel_the_request_for_the_others(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(after=5)) as it:
                callers = [asyncio.create_task(it.tokens.bearer()) for _ in range(10)]
                await anyio.sleep(1)
                # The first of them is the one that set the request going.
                for caller in callers[:5]:
                    caller.cancel()
                results = await asyncio.gather(*callers, return_exceptions=True)
                assert [type(result) for result in results] == [asyncio.CancelledError] * 5 + [str] * 5
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_that_are_all_cancelled_leave_the_token_for_the_next_one(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(after=5)) as it:
                for _ in range(3):
                    with anyio.move_on_after(1):
                        await it.tokens.bearer()
                await anyio.sleep(3)
                assert await it.tokens.bearer() == f"{TOKEN_CANARY}-1"
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_a_thousand_share_one_failure_each_with_an_exception_of_its_own(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, say(500, after=1)) as it:
                errors = await gather(it.tokens, 1_000)
                assert {type(error) for error in errors} == {TokenUnavailableError}
                assert len({id(error) for error in errors}) == 1_000
                assert len(it.host.requests) == 1
                later = await gather(it.tokens, 1_000)
                assert {type(error) for error in later} == {TokenUnavailableError}
                assert len(it.host.requests) == 1

        clock.run(main())


class TestInvalidate:
    def test_makes_a_thousand_callers_ask_once_for_a_new_token(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(), grant(after=1)) as it:
                old = await it.tokens.bearer()
                for _ in range(1_000):
                    it.tokens.invalidate(old)
                assert it.tokens.peek(clock.monotonic()) is None
                assert set(await gather(it.tokens, 1_000)) == {f"{TOKEN_CANARY}-2"}
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_does_nothing_if_a_newer_token_is_here(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                old = await it.tokens.bearer()
                it.tokens.invalidate(old)
                new = await it.tokens.bearer()
                it.tokens.invalidate(old)
                assert it.tokens.peek(clock.monotonic()) == new
                assert await it.tokens.bearer() == new
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_during_a_refresh_waits_for_that_refresh_and_starts_no_other(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), grant(1_000, after=5)) as it:
                old = await it.tokens.bearer()
                await anyio.sleep(850)
                await it.tokens.bearer()
                await anyio.sleep(1)
                it.tokens.invalidate(old)
                assert await it.tokens.bearer() == f"{TOKEN_CANARY}-2"
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_of_three_new_tokens_in_a_row_ends_the_hope_for_a_minute(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                for _ in range(3):
                    it.tokens.invalidate(await it.tokens.bearer())
                error = await refused(it.tokens)
                assert isinstance(error, CredentialsRejectedError)
                assert error.code == "tokens_not_accepted"
                await anyio.sleep(59)
                await refused(it.tokens)
                assert len(it.host.requests) == 3
                await anyio.sleep(1.01)
                for _ in range(2):
                    it.tokens.invalidate(await it.tokens.bearer())
                await it.tokens.bearer()
                assert len(it.host.requests) == 6

        clock.run(main())

    def test_of_tokens_that_were_accepted_in_between_does_not_add_up(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                for _ in range(10):
                    token = await it.tokens.bearer()
                    it.tokens.accepted()
                    it.tokens.invalidate(token)
                await it.tokens.bearer()

        clock.run(main())


class TestAFailure:
    @pytest.mark.parametrize(
        "step",
        [
            say(500),
            say(502, b"<html>Bad gateway</html>"),
            say(503),
            say(504),
            say(408),
            say(429),
            say(400, THROTTLED),
            say(400, {"error": "invalid_request", "error_description": "Rate limit exceeded the maximum"}),
            say(400, {"error": "invalid_request", "description": "rate limit exceeded", "error_description": None}),
            break_off(ConnectError("No connection.")),
            break_off(APIConnectionError("The connection broke.")),
            break_off(InvalidResponseError("The reply is compressed.")),
            grant(after=21),
        ],
    )
    def test_that_may_pass_is_shared_for_1_2_4_and_up_to_30_seconds(self, step: Step) -> None:
        clock = VirtualClock()

        async def main() -> list[float]:
            async with login(clock, *[step] * 8) as it:
                gaps: list[float] = []
                while len(gaps) < 7:
                    error = await refused(it.tokens)
                    assert isinstance(error, TokenUnavailableError)
                    assert error.retryable
                    assert error.retry_after is not None
                    answered = clock.monotonic()
                    asked = len(it.host.requests)
                    # Just before the end of the pause nobody is asked, and the error says how long it still lasts.
                    await anyio.sleep(error.retry_after - 0.01)
                    again = await refused(it.tokens)
                    assert again.retry_after == pytest.approx(0.01, abs=0.001)
                    assert len(it.host.requests) == asked
                    await anyio.sleep(0.011)
                    gaps.append(clock.monotonic() - answered)
                return gaps

        assert clock.run(main()) == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=0.01)

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_for_wrong_credentials_is_shared_for_a_minute(self, status: int) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, say(status, WRONG_CLIENT, inin_correlation_id="corr-1")) as it:
                errors = await gather(it.tokens, 1_000)
                assert {type(error) for error in errors} == {CredentialsRejectedError}
                await anyio.sleep(59.9)
                error = await refused(it.tokens)
                assert len(it.host.requests) == 1
                assert (error.status_code, error.correlation_id, error.retryable) == (status, "corr-1", False)
                assert "invalid_client" in str(error)
                assert "region" in str(error)
                await anyio.sleep(0.2)
                assert await it.tokens.bearer()

        clock.run(main())

    @pytest.mark.parametrize(("said", "pause"), [("120", 120), ("0", 1), ("-5", 1), ("9" * 400, 3_600), ("soon", 1)])
    def test_lasts_at_least_as_long_as_retry_after_says_within_an_hour(self, said: str, pause: float) -> None:
        clock = VirtualClock()

        async def main() -> float | None:
            async with login(clock, say(503, retry_after=said)) as it:
                return (await refused(it.tokens)).retry_after

        assert clock.run(main()) == pytest.approx(pause, abs=0.001)

    def test_is_forgotten_with_the_next_success(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[say(500)] * 4, grant(60), say(500)) as it:
                for _ in range(4):
                    await anyio.sleep((await refused(it.tokens)).retry_after or 0)
                    await anyio.sleep(0.001)
                it.tokens.invalidate(await it.tokens.bearer())
                error = await refused(it.tokens)
                assert error.retry_after == pytest.approx(1, abs=0.001)

        clock.run(main())

    def test_of_a_refresh_ahead_is_hidden_as_long_as_the_old_token_lives(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), *[say(500)] * 100) as it:
                old = await it.tokens.bearer()
                while clock.monotonic() < 989:
                    assert await it.tokens.bearer() == old
                    await anyio.sleep(0.5)
                # Asked again by itself, but more and more rarely.
                assert 8 <= len(it.host.requests) <= 13
                await anyio.sleep(2)
                assert isinstance(await refused(it.tokens), TokenUnavailableError)

        clock.run(main())

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>hello</html>",
            b"null",
            b"[]",
            b"\xff\xfe",
            b'{"expires_in": 60}',
            b'{"access_token": "canary-token"}',
            b'{"access_token": "", "expires_in": 60}',
            b'{"access_token": "canary-token\\n", "expires_in": 60}',
            b'{"access_token": "canary-token x", "expires_in": 60}',
            '{"access_token": "canary-töken", "expires_in": 60}'.encode(),
            b'{"access_token": "canary-token", "expires_in": 0}',
            b'{"access_token": "canary-token", "expires_in": -1}',
            b'{"access_token": "canary-token", "expires_in": null}',
            b'{"access_token": "canary-token", "expires_in": 1e999}',
            b'{"access_token": "canary-token", "expires_in": NaN}',
            b'{"access_token": ["canary-token"], "expires_in": 60}',
            b'{"access_token": "' + b"canary-token" * 1_000 + b'", "expires_in": 60}',
            b"[" * 10_000,
        ],
    )
    def test_is_what_a_reply_that_is_no_token_amounts_to_and_its_text_is_not_shown(self, body: bytes) -> None:
        clock = VirtualClock()

        async def main() -> AuthenticationError:
            async with login(clock, say(200, body)) as it:
                return await refused(it.tokens)

        error = clock.run(main())
        assert isinstance(error, TokenUnavailableError)
        assert "canary" not in f"{error} {error!r}"

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": 7}', b'{"error": null, "description": null}'])
    def test_without_a_readable_body_still_names_the_status(self, body: bytes) -> None:
        clock = VirtualClock()

        async def main() -> AuthenticationError:
            async with login(clock, say(401, body)) as it:
                return await refused(it.tokens)

        error = clock.run(main())
        assert isinstance(error, CredentialsRejectedError)
        assert "401" in str(error)

    def test_quotes_no_credential_that_a_login_host_echoes(self) -> None:
        clock = VirtualClock()
        echo = {"error": "invalid_client", "description": "bad header Basic Y2FuYXJ5 at https://x.test/?s=canary\n!"}

        async def main() -> AuthenticationError:
            async with login(clock, say(400, echo)) as it:
                return await refused(it.tokens)

        said = str(clock.run(main()))
        assert "Y2FuYXJ5" not in said
        assert "canary" not in said
        assert "\n" not in said


class TestAFixedAccessToken:
    def test_is_handed_out_for_ever_and_nobody_is_asked(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, client_id=None, client_secret=None, access_token="given-token") as it:
                assert it.tokens.peek(clock.monotonic()) == "given-token"
                await anyio.sleep(80_000)
                assert await gather(it.tokens, 100) == ["given-token"] * 100
                assert it.host.requests == []
                assert "given-token" not in repr(it.tokens)

        clock.run(main())

    def test_once_rejected_is_never_replaced_even_if_credentials_are_there(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, access_token="given-token") as it:
                it.tokens.invalidate("another-token")
                assert await it.tokens.bearer() == "given-token"
                it.tokens.invalidate("given-token")
                for _ in range(3):
                    error = await refused(it.tokens)
                    assert isinstance(error, CredentialsRejectedError)
                    assert (error.code, error.retryable) == ("access_token_rejected", False)
                    assert "given-token" not in str(error)
                    await anyio.sleep(80_000)
                assert it.tokens.peek(clock.monotonic()) is None
                assert it.host.requests == []

        clock.run(main())


class TestClosing:
    def test_in_the_middle_of_a_request_answers_everyone_who_waits(self) -> None:
        clock = VirtualClock()

        async def main() -> list[str | BaseException]:
            async with login(clock, grant(after=10)) as it:
                waiting = asyncio.create_task(gather(it.tokens, 100))
                await anyio.sleep(1)
            return await waiting

        answers = clock.run(main())
        assert len(answers) == 100
        assert {type(answer) for answer in answers} == {TokenUnavailableError}

    def test_leaves_an_error_that_does_not_invite_to_ask_again(self) -> None:
        clock = VirtualClock()

        async def main() -> AuthenticationError:
            async with login(clock, grant(after=10)) as it:
                with anyio.move_on_after(1):
                    await it.tokens.bearer()
            return await refused(it.tokens)

        error = clock.run(main())
        assert error.retryable is False
        assert error.retry_after is None

    def test_before_anyone_asked_lets_nobody_wait_for_ever(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                pass
            for _ in range(2):
                with pytest.raises(RuntimeError), anyio.fail_after(60):
                    await it.tokens.bearer()

        clock.run(main())


@dataclass
class Granted:
    sent: float
    life: float


@dataclass
class Waiter:
    task: asyncio.Task[str]
    cancelled: bool = False


class ModelledLoginHost:
    """Behaves as its mood says, and checks what it can see: one request at a time, and none within a pause."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.mood = "grant"
        self.life = 3_600.0
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
        assert sent >= self.silent_until, f"asked at {sent}, within a pause that lasts until {self.silent_until}"
        self.requests += 1
        mood, life, delay = self.mood, self.life, self.delay
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
                if sent + 0.95 * life > self.clock.monotonic():
                    self.silent_until = 0.0
                    self.granted[value] = Granted(sent, life)
                return HttpReply(200, {}, json.dumps({"access_token": value, "expires_in": life}).encode())
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
LIVES = st.sampled_from([5.0, 30.0, 120.0, 300.0, 1_000.0, 86_400.0])
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
        token = await self.tokens.bearer()
        granted = self.host.granted[token]
        assert self.clock.monotonic() < granted.sent + granted.life, "a token past its end"
        assert token not in before, "a token that was known to be rejected"
        return token

    @rule(mood=MOODS, life=LIVES, delay=DELAYS, count=st.integers(1, 3), rejected=st.booleans())
    def callers_ask_of_a_login_host_in_a_new_mood(
        self, mood: str, life: float, delay: float, count: int, rejected: bool
    ) -> None:
        self.host.mood, self.host.life, self.host.delay = mood, life, delay
        token = self.tokens.peek(self.clock.monotonic())
        if rejected and token is not None:
            self._reject(token)
        self.callers_ask(count)

    @rule(count=st.integers(1, 5))
    def callers_ask(self, count: int) -> None:
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
        fresh = self.tokens.peek(self.clock.monotonic())
        self.rejected.add(token)
        self.tokens.invalidate(token)
        assert self.tokens.peek(self.clock.monotonic()) == (None if fresh == token else fresh)
        # Only the limit on tokens never accepted would end the game early; it has a test of its own.
        self.tokens.accepted()

    @rule()
    def a_whole_hour_settles_everything(self) -> None:
        self.run(asyncio.sleep(3_600))
        self._all_answered()

    @invariant()
    def at_most_one_request_is_in_flight(self) -> None:
        assert self.host.in_flight <= 1
        assert sum(not task.done() for task in self.background) <= 1

    def _all_answered(self) -> None:
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
            self._all_answered()
        finally:
            self.loop.close()


TestTokenLife = TokenLife.TestCase
TestTokenLife.settings = hypothesis_settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_a_host_that_is_no_login_host_is_said_to_be_none() -> None:
    reply = HttpReply(404, {}, b"<html>no such page</html>")
    error = _token_error(reply, wall=0.0)
    assert isinstance(error, CredentialsRejectedError)
    assert "check the login URL" in str(error)
