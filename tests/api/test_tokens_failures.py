"""Failures of the token manager: shared pauses, fixed access tokens, closing, and the wait for the first token."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from genesys_media_async.api.tokens import _token_error
from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import (
    APIConnectionError,
    AuthenticationError,
    ConnectError,
    CredentialsRejectedError,
    InvalidResponseError,
    TokenUnavailableError,
)
from genesys_media_async.transports import HttpReply
from tests.support.login_host import (
    THROTTLED,
    TOKEN_CANARY,
    WRONG_CLIENT,
    Step,
    break_off,
    fresh,
    gather,
    grant,
    login,
    refused,
    reply_with,
)


class TestFailure:
    @pytest.mark.parametrize(
        "step",
        [
            reply_with(500),
            reply_with(502, b"<html>Bad gateway</html>"),
            reply_with(503),
            reply_with(504),
            reply_with(408),
            reply_with(429),
            reply_with(400, THROTTLED),
            reply_with(400, {"error": "invalid_request", "error_description": "Rate limit exceeded the maximum"}),
            reply_with(
                400, {"error": "invalid_request", "description": "rate limit exceeded", "error_description": None}
            ),
            break_off(ConnectError("No connection.")),
            break_off(APIConnectionError("The connection broke.")),
            break_off(InvalidResponseError("The reply is compressed.")),
            grant(after=21),
        ],
    )
    def test_that_is_transient_is_shared_for_1_2_4_and_up_to_30_seconds(self, step: Step) -> None:
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
                    sent = len(it.host.requests)
                    # Just before the end of the pause nothing is sent, and the error has the rest of the pause.
                    await anyio.sleep(error.retry_after - 0.01)
                    again = await refused(it.tokens)
                    assert again.retry_after == pytest.approx(0.01, abs=0.001)
                    assert len(it.host.requests) == sent
                    await anyio.sleep(0.011)
                    gaps.append(clock.monotonic() - answered)
                return gaps

        assert clock.run(main()) == pytest.approx([1, 2, 4, 8, 16, 30, 30], abs=0.01)

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_for_wrong_credentials_is_shared_for_a_minute(self, status: int) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, reply_with(status, WRONG_CLIENT, inin_correlation_id="corr-1")) as it:
                errors = await gather(it.tokens, 1_000)
                assert {type(error) for error in errors} == {CredentialsRejectedError}
                await anyio.sleep(59.9)
                error = await refused(it.tokens)
                assert len(it.host.requests) == 1
                assert (error.status_code, error.correlation_id, error.retryable) == (status, "corr-1", False)
                assert "invalid_client" in str(error)
                assert "region" in str(error)
                await anyio.sleep(0.2)
                assert await it.tokens.get()

        clock.run(main())

    @pytest.mark.parametrize(
        ("header", "pause"), [("120", 120), ("0", 1), ("-5", 1), ("7200", 3_600), ("9" * 400, 1), ("soon", 1)]
    )
    def test_lasts_at_least_as_long_as_retry_after_within_an_hour(self, header: str, pause: float) -> None:
        clock = VirtualClock()

        async def main() -> float | None:
            async with login(clock, reply_with(503, retry_after=header)) as it:
                return (await refused(it.tokens)).retry_after

        assert clock.run(main()) == pytest.approx(pause, abs=0.001)

    def test_is_forgotten_after_a_success(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[reply_with(500)] * 4, grant(60), reply_with(500)) as it:
                for _ in range(4):
                    await anyio.sleep((await refused(it.tokens)).retry_after or 0)
                    await anyio.sleep(0.001)
                it.tokens.invalidate(await it.tokens.get())
                error = await refused(it.tokens)
                assert error.retry_after == pytest.approx(1, abs=0.001)

        clock.run(main())

    def test_of_a_refresh_ahead_is_hidden_while_the_old_token_is_valid(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, grant(1_000), *[reply_with(500)] * 100) as it:
                old = await it.tokens.get()
                while clock.monotonic() < 989:
                    assert await it.tokens.get() == old
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
    def test_is_the_result_of_a_reply_without_a_token_and_its_text_is_not_shown(self, body: bytes) -> None:
        clock = VirtualClock()

        async def main() -> AuthenticationError:
            async with login(clock, reply_with(200, body)) as it:
                return await refused(it.tokens)

        error = clock.run(main())
        assert isinstance(error, TokenUnavailableError)
        assert "canary" not in f"{error} {error!r}"

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_by_a_page_does_not_blame_the_credentials(self, status: int) -> None:
        page = b"<html><title>Blocked by company policy</title></html>"
        error = _token_error(HttpReply(status, {"content-type": "text/html; charset=utf-8"}, page), wall=0.0)
        assert type(error) is AuthenticationError
        assert (error.code, error.retryable) == ("not_from_genesys", False)
        assert f'{status} (text/html "Blocked by company policy")' in error.message
        assert "client id" not in str(error)

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"error": 7}', b'{"error": null, "description": null}'])
    def test_without_a_readable_body_still_names_the_status(self, body: bytes) -> None:
        clock = VirtualClock()

        async def main() -> AuthenticationError:
            async with login(clock, reply_with(401, body)) as it:
                return await refused(it.tokens)

        error = clock.run(main())
        assert isinstance(error, CredentialsRejectedError)
        assert "401" in str(error)

    def test_quotes_no_credentials_that_a_login_host_echoes(self) -> None:
        clock = VirtualClock()
        echo = {"error": "invalid_client", "description": "bad header Basic Y2FuYXJ5 at https://x.test/?s=canary\n!"}

        async def main() -> AuthenticationError:
            async with login(clock, reply_with(400, echo)) as it:
                return await refused(it.tokens)

        shown = str(clock.run(main()))
        assert "Y2FuYXJ5" not in shown
        assert "canary" not in shown
        assert "\n" not in shown


class TestFixedAccessToken:
    def test_is_used_forever_without_a_request(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, client_id=None, client_secret=None, access_token="given-token") as it:
                assert fresh(it.tokens, clock) == "given-token"
                await anyio.sleep(80_000)
                assert await gather(it.tokens, 100) == ["given-token"] * 100
                assert it.host.requests == []
                assert "given-token" not in repr(it.tokens)

        clock.run(main())

    def test_once_rejected_is_never_replaced_even_with_credentials(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, access_token="given-token") as it:
                it.tokens.invalidate("another-token")
                assert await it.tokens.get() == "given-token"
                it.tokens.invalidate("given-token")
                for _ in range(3):
                    error = await refused(it.tokens)
                    assert isinstance(error, CredentialsRejectedError)
                    assert (error.code, error.retryable) == ("access_token_rejected", False)
                    assert "given-token" not in str(error)
                    await anyio.sleep(80_000)
                assert fresh(it.tokens, clock) is None
                assert it.host.requests == []

        clock.run(main())


class TestFirst:
    def test_waits_through_failures_that_pass(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, reply_with(503), reply_with(429), grant()) as it:
                await it.tokens.first(timeout=10.0)
                assert clock.monotonic() == pytest.approx(3.0, abs=0.01)
                assert fresh(it.tokens, clock) == f"{TOKEN_CANARY}-3"

        clock.run(main())

    @pytest.mark.parametrize(("timeout", "waited"), [(0.0, 0.0), (2.9, 1.0), (10.0, 7.0)])
    def test_raises_when_the_next_request_would_come_after_the_timeout(self, timeout: float, waited: float) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, *[reply_with(503)] * 9) as it:
                with pytest.raises(TokenUnavailableError):
                    await it.tokens.first(timeout)
                assert clock.monotonic() == pytest.approx(waited, abs=0.01)

        clock.run(main())

    def test_raises_at_once_for_rejected_credentials(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock, reply_with(401, WRONG_CLIENT)) as it:
                with pytest.raises(CredentialsRejectedError):
                    await it.tokens.first(timeout=600.0)
                assert clock.monotonic() < 0.1

        clock.run(main())


def test_a_kept_failure_holds_no_frames() -> None:
    clock = VirtualClock()

    async def main() -> None:
        async with login(clock, break_off(ConnectError("No connection."))) as it:
            await refused(it.tokens)
            kept = it.tokens._failure
            assert kept is not None
            assert (kept.error.__traceback__, kept.error.__context__, kept.error.__cause__) == (None, None, None)

    clock.run(main())


class TestClosing:
    def test_during_a_request_fails_every_waiting_caller(self) -> None:
        clock = VirtualClock()

        async def main() -> list[str | BaseException]:
            async with login(clock, grant(after=10)) as it:
                waiting = asyncio.create_task(gather(it.tokens, 100))
                await anyio.sleep(1)
            return await waiting

        answers = clock.run(main())
        assert len(answers) == 100
        assert {type(answer) for answer in answers} == {TokenUnavailableError}

    def test_leaves_an_error_that_is_not_retryable(self) -> None:
        clock = VirtualClock()

        async def main() -> AuthenticationError:
            async with login(clock, grant(after=10)) as it:
                with anyio.move_on_after(1):
                    await it.tokens.get()
            return await refused(it.tokens)

        error = clock.run(main())
        assert error.retryable is False
        assert error.retry_after is None

    def test_before_the_first_request_lets_nobody_wait_forever(self) -> None:
        clock = VirtualClock()

        async def main() -> None:
            async with login(clock) as it:
                pass
            for _ in range(2):
                with pytest.raises(RuntimeError), anyio.fail_after(60):
                    await it.tokens.get()

        clock.run(main())


def test_a_host_that_is_not_a_login_host_is_named_as_the_cause() -> None:
    reply = HttpReply(404, {}, b"<html>no such page</html>")
    error = _token_error(reply, wall=0.0)
    assert isinstance(error, CredentialsRejectedError)
    assert "check the login URL" in str(error)
