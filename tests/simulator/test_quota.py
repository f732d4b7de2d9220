"""The quota of a token: its windows, the 429 beyond it, its headers, and the quotas of resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.simulator import Fault, Quota, Simulator
from genesys_media_async.simulator.quota import Charge, open_window, quota_headers, retry_after
from tests.support.simulator_users import SteppedClock, assert_error, new_user
from tests.support.virtual_simulators import SETTINGS, ask, in_virtual_time, log_in

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio


Kind = Literal["fixed", "aligned", "sliding"]


@pytest.mark.parametrize(
    ("kind", "at", "allowed"),
    [
        ("fixed", [5, 5, 5], [True, True, False]),
        ("fixed", [5, 14.9, 14.99], [True, True, False]),
        ("fixed", [5, 14.9, 15.0], [True, True, True]),
        ("fixed", [5, 14.9, 15.0, 15.1, 24.9, 25.0], [True, True, True, True, False, True]),
        ("aligned", [5, 9.9, 9.99], [True, True, False]),
        ("aligned", [5, 9.9, 10.0], [True, True, True]),
        ("aligned", [8, 9, 10, 11, 12, 20], [True, True, True, True, False, True]),
        ("sliding", [5, 14, 14.9], [True, True, False]),
        ("sliding", [5, 14, 15.0], [True, True, True]),
        ("sliding", [5, 14, 15.0, 16, 23.9, 24], [True, True, True, False, False, True]),
    ],
)
def test_a_window_of_two_requests_in_ten_seconds_opens_and_closes_by_its_kind(
    kind: Kind, at: list[float], allowed: list[bool]
) -> None:
    window = open_window(Quota(2, 10.0, kind=kind))
    assert [window.charge(now).allowed for now in at] == allowed


@pytest.mark.parametrize(
    ("kind", "reset_in"), [("fixed", [10.0, 6.0]), ("aligned", [5.0, 1.0]), ("sliding", [10.0, 6.0])]
)
def test_a_window_returns_the_seconds_until_it_has_room_again(kind: Kind, reset_in: list[float]) -> None:
    window = open_window(Quota(1, 10.0, kind=kind))
    assert [window.charge(now).reset_in for now in (5.0, 9.0)] == reset_in


def test_an_aligned_window_begins_at_multiples_of_the_wall_clock() -> None:
    window = open_window(Quota(1, 10.0, kind="aligned"), phase=7.0)
    assert [window.charge(now).allowed for now in (0.0, 2.9, 3.0, 12.9, 13.0)] == [
        True,
        False,
        True,
        False,
        True,
    ]


KINDS: tuple[Kind, ...] = ("fixed", "aligned", "sliding")


@given(
    kind=st.sampled_from(KINDS),
    limit=st.integers(1, 5),
    gaps=st.lists(st.integers(0, 40), max_size=60),
    phase=st.integers(0, 30),
)
def test_no_window_allows_more_than_its_limit(kind: Kind, limit: int, gaps: list[int], phase: int) -> None:
    length = 30
    window = open_window(Quota(limit, float(length), kind=kind), phase=float(phase))
    now, opened = 0, -length
    admitted: list[int] = []
    by_window: dict[int, int] = {}
    for gap in gaps:
        now += gap
        if now >= opened + length:
            opened = now
        allowed = window.charge(float(now)).allowed
        counted_in = {"fixed": opened, "aligned": (now + phase) // length}.get(kind)
        if counted_in is None:
            used = sum(1 for earlier in admitted if earlier > now - length)
        else:
            used = by_window.get(counted_in, 0)
            by_window[counted_in] = used + allowed
        assert allowed == (used < limit)
        if allowed:
            admitted.append(now)


@given(kind=st.sampled_from(KINDS), gaps=st.lists(st.floats(0, 3), min_size=1, max_size=30))
def test_a_request_after_the_reset_is_allowed(kind: Kind, gaps: list[float]) -> None:
    window, now = open_window(Quota(2, 5.0, kind=kind)), 0.0
    for gap in gaps:
        now += gap
        charge = window.charge(now)
        if not charge.allowed:
            assert 0 < charge.reset_in <= 5.0 + 1e-9
            assert 1 <= retry_after(charge, "down") <= retry_after(charge, "up") <= 5
            now += charge.reset_in + 1e-9
            assert window.charge(now).allowed


@pytest.mark.parametrize(
    ("left", "down", "up"),
    [(59.2, 59, 60), (60.0, 60, 60), (0.3, 1, 1), (1.9, 1, 2), (5.000000000000002, 5, 5), (4.999999999999998, 5, 5)],
)
def test_retry_after_is_whole_seconds_rounded_by_the_setting_and_never_zero(left: float, down: int, up: int) -> None:
    charge = Charge(allowed=False, count=1, reset_in=left)
    assert (retry_after(charge, "down"), retry_after(charge, "up")) == (down, up)


def test_the_quota_headers_show_61_seconds_at_the_first_request_of_a_minute() -> None:
    quota = Quota(180, 60.0)
    assert dict(quota_headers(quota, open_window(quota).charge(3.5))) == {
        b"inin-ratelimit-count": b"1",
        b"inin-ratelimit-allowed": b"180",
        b"inin-ratelimit-reset": b"61",
    }


@pytest.mark.parametrize("arguments", [(0, 1.0), (1, 0.0), (1, 1.0, "weekly")])
def test_an_impossible_quota_is_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="quota"):
        Quota(*arguments)


def test_a_window_works_with_a_virtual_clock() -> None:
    clock = VirtualClock()
    window = open_window(Quota(1, 3600.0), phase=clock.wall() - clock.monotonic())
    assert window.charge(clock.monotonic()).allowed
    assert not window.charge(clock.monotonic()).allowed
    clock.advance(3600.0)
    assert window.charge(clock.monotonic()).allowed


async def test_a_request_beyond_the_quota_gets_a_429_with_the_seconds_to_wait() -> None:
    clock = SteppedClock()
    async with new_user(quota=Quota(2, 60.0), clock=clock) as user:
        assert [(await user.ask()).status_code for _ in range(2)] == [200, 200]
        clock.ahead += 10.0
        refused = await user.ask()
        assert_error(refused, 429, "too.many.requests.retry.after")
        assert refused.headers["Retry-After"] == "49"
        assert refused.json()["message"] == ("Rate limit exceeded the maximum. Retry the request in [49] seconds")
        clock.ahead += 50.0
        assert (await user.ask()).status_code == 200
        assert user.simulator.counts.refused_429 == 1


async def test_each_token_has_a_quota_of_its_own() -> None:
    async with new_user(quota=Quota(1, 60.0)) as user:
        assert [(await user.ask()).status_code for _ in range(2)] == [200, 429]
        await user.log_in()
        assert (await user.ask()).status_code == 200


async def test_a_401_is_not_charged_and_every_other_reply_is() -> None:
    async with new_user(quota=Quota(3, 60.0)) as user:
        assert (await user.ask(token="unknown")).status_code == 401
        user.simulator.script(Fault.SERVER_ERROR_503)
        answers = [await user.ask(), await user.ask("missing-1"), await user.ask(expiresIn=0), await user.ask()]
        assert [answer.status_code for answer in answers] == [503, 404, 400, 429]


async def test_a_429_of_the_quota_uses_no_scripted_fault() -> None:
    async with new_user(quota=Quota(1, 60.0)) as user:
        await user.ask()
        user.simulator.script(Fault.SERVER_ERROR_500)
        assert (await user.ask()).status_code == 429
        await user.log_in()
        assert (await user.ask()).status_code == 500


async def test_the_quota_headers_are_sent_only_if_the_settings_ask_for_them() -> None:
    async with new_user(quota_headers=True, quota=Quota(2, 60.0)) as user:
        replies = [await user.ask(), await user.ask(expiresIn=0), await user.ask()]
        seen = [[reply.headers[f"inin-ratelimit-{name}"] for name in ("count", "allowed")] for reply in replies]
        assert seen == [["1", "2"], ["2", "2"], ["2", "2"]]
        assert replies[0].headers["inin-ratelimit-reset"] in ("60", "61")
    async with new_user() as user:
        assert "inin-ratelimit-count" not in (await user.ask()).headers


async def test_without_a_quota_every_request_is_allowed() -> None:
    async with new_user(quota=None, quota_headers=True) as user:
        assert {(await user.ask()).status_code for _ in range(310)} == {200}


@pytest.mark.parametrize(
    ("old", "code", "message"),
    [
        (False, "too.many.requests.retry.after", "Rate limit exceeded the maximum. Retry the request in [49] seconds"),
        (True, "too.many.requests", "Rate limit exceeded the maximum [2] requests within [60] seconds"),
    ],
)
def test_a_resource_has_a_quota_of_its_own(old: bool, code: str, message: str) -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        for _ in range(2):
            assert (await http.get(SETTINGS)).status_code == 200
        await clock.sleep(10.5)
        refused = await http.get(SETTINGS)
        assert (await ask(http)).status_code == 200
        await log_in(http)
        assert (await http.get(SETTINGS)).status_code == 200
        assert (simulator.counts.refused_429, simulator.counts.refused_by_family) == (0, {"recording": 1})
        return refused

    refused, _ = in_virtual_time(scenario, resource_quotas={"recording": Quota(2, 60.0)}, old_resource_429=old)
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "49"
    body = refused.json()
    assert (body["code"], body["message"], body["details"], body["errors"]) == (code, message, [], [])
    assert body["contextId"] == refused.headers["ININ-Correlation-Id"]


def test_a_refusal_of_the_resource_is_charged_to_the_token_and_not_the_other_way_round() -> None:
    async def scenario(http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> Any:
        codes = []
        for _ in range(4):
            codes.append((await http.get(SETTINGS)).json().get("code"))
        return codes

    codes, _ = in_virtual_time(
        scenario, quota=Quota(3, 60.0), resource_quotas={"recording": Quota(2, 60.0)}, old_resource_429=True
    )
    assert codes == [None, None, "too.many.requests", "too.many.requests.retry.after"]
