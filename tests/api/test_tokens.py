"""The token manager: one token for all callers, requested once, against a scripted login host in virtual time."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    CredentialsRejectedError,
    TokenUnavailableError,
)
from genesys_media_async.events import Event, TokenRefreshed, TokenRefreshFailed
from tests.support.login_host import (
    CLIENT_ID,
    SECRET,
    TOKEN_CANARY,
    WRONG_CLIENT,
    fresh,
    gather,
    grant,
    login,
    refused,
    reply_with,
)

if TYPE_CHECKING:
    from genesys_media_async.transports import HttpRequest


class TestRequest:
    def test_is_a_form_with_the_credentials_in_http_basic(self) -> None:
        clock = VirtualClock()

        async def main() -> HttpRequest:
            async with login(clock, timeout=5.0) as it:
                await it.tokens.get()
                assert it.host.timeouts == [5.0]
                return it.host.requests[0]

        request = clock.run(main())
        assert (request.method, request.url) == ("POST", "https://login.mypurecloud.com/oauth/token")
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert request.headers["accept-encoding"] == "identity"
        scheme, _, credentials = request.headers["authorization"].partition(" ")
        assert request.fresh
        assert scheme == "Basic"
        assert base64.b64decode(credentials).decode() == f"{CLIENT_ID}:{SECRET}"
        assert parse_qs(request.body.decode(), strict_parsing=True) == {"grant_type": ["client_credentials"]}

    def test_has_the_credentials_in_the_form_if_configured(self) -> None:
        clock = VirtualClock()

        async def main() -> HttpRequest:
            async with login(clock, credentials_in="body", scope="media:read recordings") as it:
                await it.tokens.get()
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
                await it.tokens.get()
                return it.host.requests[0].url

        assert clock.run(main(region="eu-west-1")) == "https://login.mypurecloud.ie/oauth/token"
        assert clock.run(main(login_url="http://127.0.0.1:8/x/")) == "http://127.0.0.1:8/x/oauth/token"

    def test_has_a_timeout_of_20_s_at_most(self) -> None:
        clock = VirtualClock()

        async def main() -> float:
            async with login(clock, grant(after=1_000), timeout=3_600.0) as it:
                error = await refused(it.tokens)
                assert isinstance(error, TokenUnavailableError)
                return clock.monotonic()

        assert clock.run(main()) == pytest.approx(20.0, abs=0.01)


class TestToken:
    def test_is_requested_once_and_then_kept(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                assert fresh(it.tokens, clock) is None
                first = await it.tokens.get()
                assert [await it.tokens.get() for _ in range(100)] == [first] * 100
                assert fresh(it.tokens, clock) == first
                assert len(it.host.requests) == 1

        clock.run(main())

    @pytest.mark.parametrize(
        ("lifetime", "jitter", "refreshed_after"),
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
    def test_is_refreshed_ahead_by_300_s_or_a_fifth_of_its_lifetime_less_a_little_jitter(
        self, lifetime: float, jitter: float, refreshed_after: float
    ) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(lifetime), jitter=jitter) as it:
                old = await it.tokens.get()
                await anyio.sleep(refreshed_after - 0.01 - clock.monotonic())
                assert await it.tokens.get() == old
                await anyio.lowlevel.checkpoint()
                assert len(it.host.requests) == 1
                await anyio.sleep(0.02)
                assert await it.tokens.get() == old
                await anyio.sleep(0.001)
                assert len(it.host.requests) == 2
                assert await it.tokens.get() != old

        clock.run(main())

    def test_ages_from_its_request_and_not_from_its_arrival(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(100, after=10), grant(100, after=100), timeout=15.0) as it:
                await it.tokens.get()
                assert clock.monotonic() == pytest.approx(10.0, abs=0.01)
                await anyio.sleep(80.01 - clock.monotonic())
                await it.tokens.get()
                await anyio.lowlevel.checkpoint()
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_does_not_age_by_the_wall_clock(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                first = await it.tokens.get()
                for step in (1e6, -5e6):
                    clock.step_wall(step)
                    assert await it.tokens.get() == first
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_past_its_refresh_time_is_still_used_during_the_refresh(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), grant(1_000, after=5)) as it:
                old = await it.tokens.get()
                await anyio.sleep(850)
                before = clock.monotonic()
                assert await gather(it.tokens, 1_000) == [old] * 1_000
                assert clock.monotonic() - before < 0.001
                await anyio.sleep(5.01)
                new = await it.tokens.get()
                assert new != old
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_about_to_expire_makes_callers_wait_for_the_new_one(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), grant(1_000, after=5)) as it:
                old = await it.tokens.get()
                await anyio.sleep(991)
                before = clock.monotonic()
                new = await it.tokens.get()
                assert new != old
                assert clock.monotonic() - before == pytest.approx(5, abs=0.01)

        clock.run(main())

    def test_with_a_short_lifetime_is_not_requested_on_every_call(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[grant(60)] * 100) as it:
                for _ in range(600):
                    await it.tokens.get()
                    await anyio.sleep(1)
                assert len(it.host.requests) <= 600 / 48 + 1

        clock.run(main())

    def test_that_expired_before_it_arrived_is_a_failure_and_not_requested_again_at_once(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[grant(lifetime=4, after=5)] * 50) as it:
                with anyio.fail_after(12):
                    error = await refused(it.tokens)
                assert isinstance(error, TokenUnavailableError)
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_and_secret_are_in_no_repr_and_in_no_event(self) -> None:
        clock = VirtualClock()

        async def main() -> str:
            async with login(clock, grant(60), reply_with(401, WRONG_CLIENT)) as it:
                shown = [repr(it.tokens)]
                token = await it.tokens.get()
                shown += [repr(it.tokens), repr(it.host.requests)]
                it.tokens.invalidate(token)
                shown += [repr(await refused(it.tokens)), repr(it.tokens), repr(it.events)]
                return " ".join(shown)

        shown = clock.run(main())
        assert TOKEN_CANARY not in shown
        assert SECRET not in shown
        assert base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode() not in shown

    def test_emits_an_event_when_it_is_granted_and_when_it_is_not(self) -> None:
        clock = VirtualClock()

        async def main() -> list[Event]:
            async with login(clock, reply_with(503, after=1), grant(600, after=2)) as it:
                await refused(it.tokens)
                await anyio.sleep(1.1)
                await it.tokens.get()
                return it.events

        failed, granted = clock.run(main())
        assert isinstance(failed, TokenRefreshFailed)
        assert (failed.code, failed.pause) == ("token_unavailable", 1.0)
        assert isinstance(granted, TokenRefreshed)
        assert granted.lifetime == 600
        assert granted.latency == pytest.approx(2, abs=0.01)


class TestManyCallers:
    def test_ten_thousand_without_a_token_make_exactly_one_request(self) -> None:
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
                callers = [asyncio.create_task(it.tokens.get()) for _ in range(10)]
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
                        await it.tokens.get()
                await anyio.sleep(3)
                assert await it.tokens.get() == f"{TOKEN_CANARY}-1"
                assert len(it.host.requests) == 1

        clock.run(main())

    def test_a_thousand_share_one_failure_each_with_its_own_exception(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, reply_with(500, after=1)) as it:
                errors = await gather(it.tokens, 1_000)
                assert {type(error) for error in errors} == {TokenUnavailableError}
                assert len({id(error) for error in errors}) == 1_000
                assert len(it.host.requests) == 1
                later = await gather(it.tokens, 1_000)
                assert {type(error) for error in later} == {TokenUnavailableError}
                assert len(it.host.requests) == 1

        clock.run(main())


class TestInvalidate:
    def test_makes_a_thousand_callers_request_one_new_token(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(), grant(after=1)) as it:
                old = await it.tokens.get()
                for _ in range(1_000):
                    it.tokens.invalidate(old)
                assert fresh(it.tokens, clock) is None
                assert set(await gather(it.tokens, 1_000)) == {f"{TOKEN_CANARY}-2"}
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_does_nothing_if_the_token_was_replaced(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                old = await it.tokens.get()
                it.tokens.invalidate(old)
                new = await it.tokens.get()
                it.tokens.invalidate(old)
                assert fresh(it.tokens, clock) == new
                assert await it.tokens.get() == new
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_during_a_refresh_waits_for_that_refresh_and_starts_no_other(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), grant(1_000, after=5)) as it:
                old = await it.tokens.get()
                await anyio.sleep(850)
                await it.tokens.get()
                await anyio.sleep(1)
                it.tokens.invalidate(old)
                assert await it.tokens.get() == f"{TOKEN_CANARY}-2"
                assert len(it.host.requests) == 2

        clock.run(main())

    def test_of_three_new_tokens_in_a_row_stops_requests_for_a_minute(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                for _ in range(3):
                    it.tokens.invalidate(await it.tokens.get())
                error = await refused(it.tokens)
                assert isinstance(error, CredentialsRejectedError)
                assert error.code == "tokens_not_accepted"
                await anyio.sleep(59)
                await refused(it.tokens)
                assert len(it.host.requests) == 3
                await anyio.sleep(1.01)
                for _ in range(2):
                    it.tokens.invalidate(await it.tokens.get())
                await it.tokens.get()
                assert len(it.host.requests) == 6

        clock.run(main())

    def test_of_tokens_that_were_accepted_is_not_counted(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                for _ in range(10):
                    token = await it.tokens.get()
                    it.tokens.accepted()
                    it.tokens.invalidate(token)
                await it.tokens.get()

        clock.run(main())
