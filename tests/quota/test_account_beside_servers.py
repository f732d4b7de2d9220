"""The account held against servers that count in every way a server may."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.quota.account import QuotaAccount
from genesys_media_async.simulator.quota_models import LATENCIES, quota_window
from tests.quota.permits import end
from tests.support.quota_world import World

if TYPE_CHECKING:
    from genesys_media_async.quota.headers import Reading
    from genesys_media_async.quota.permit import Permit


@dataclass(frozen=True)
class Wish:
    """A request somebody wants to send: when, how long the exchange takes, and when in it the server counts it."""

    at: int
    duration: int
    counted_after: int
    sent: bool = True


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    duration = draw(st.integers(0, 12))
    return Wish(
        at=draw(st.integers(0, 60)),
        duration=duration,
        counted_after=draw(st.integers(0, duration)),
        sent=draw(st.sampled_from([True, True, True, False])),
    )


def arrivals(account: QuotaAccount, wanted: list[Wish]) -> list[int]:
    """Let the wishes be sent as early as the account allows, tick by tick; return when the server saw them."""
    waiting = sorted(wanted, key=lambda wish: wish.at)
    under_way: list[tuple[int, Permit, Wish]] = []
    seen: list[int] = []
    for now in range(10_000):
        for each in [each for each in under_way if each[0] == now]:
            under_way.remove(each)
            end(account, each[1], now, sent=each[2].sent)
        while waiting and waiting[0].at <= now and (permit := account.try_acquire(now)) is not None:
            wish = waiting.pop(0)
            if wish.sent:
                seen.append(now + wish.counted_after)
            if wish.duration == 0:
                end(account, permit, now, sent=wish.sent)
            else:
                under_way.append((now + wish.duration, permit, wish))
        if not waiting and not under_way:
            return sorted(seen)
    raise AssertionError("the account never lets the rest go")


def most_in_a_sliding_window(seen: list[int], window: int) -> int:
    return max((sum(start <= each < start + window for each in seen) for start in seen), default=0)


def most_in_an_aligned_window(seen: list[int], window: int, phase: int) -> int:
    counts: dict[int, int] = {}
    for each in seen:
        counts[(each + phase) // window] = counts.get((each + phase) // window, 0) + 1
    return max(counts.values(), default=0)


def most_in_a_fixed_window(seen: list[int], window: int) -> int:
    """A window that opens with the first request after the last one closed."""
    most = count = 0
    opened = -window
    for each in seen:
        if each >= opened + window:
            opened, count = each, 0
        count += 1
        most = max(most, count)
    return most


@given(limit=st.integers(1, 6), window=st.integers(1, 15), wanted=st.lists(wishes(), max_size=40))
@example(limit=3, window=10, wanted=[Wish(0, 0, 0)] * 9)
@example(limit=3, window=10, wanted=[Wish(0, 10, 10)] * 3 + [Wish(10, 0, 0)] * 3)
@settings(deadline=None, max_examples=150)
def test_no_window_of_any_server_ever_holds_more_than_the_limit(limit: int, window: int, wanted: list[Wish]) -> None:
    seen = arrivals(QuotaAccount(limit, window), wanted)
    assert len(seen) == sum(wish.sent for wish in wanted)
    assert most_in_a_sliding_window(seen, window) <= limit
    assert most_in_a_fixed_window(seen, window) <= limit
    for phase in range(window):
        assert most_in_an_aligned_window(seen, window, phase) <= limit


def test_the_models_of_the_servers_see_the_double_first_minute_of_a_leaky_bucket() -> None:
    """The property above could not fail if they did not: 300 at once, then 299 more within the minute."""
    seen = [0] * 300 + [each // 5 for each in range(299)]
    assert most_in_a_sliding_window(seen, 60) == 599
    assert most_in_a_fixed_window(seen, 60) == 599
    assert most_in_an_aligned_window(seen, 60, 0) == 599


@given(limit=st.integers(1, 5), window=st.integers(1, 10), count=st.integers(1, 40))
@settings(deadline=None, max_examples=50)
def test_instant_exchanges_use_the_whole_limit_of_every_window(limit: int, window: int, count: int) -> None:
    seen = arrivals(QuotaAccount(limit, window), [Wish(0, 0, 0)] * count)
    assert seen == [window * (number // limit) for number in range(count)]


CELL = {
    "kind": st.sampled_from(["fixed", "aligned", "sliding", "bucket"]),
    "limit": st.integers(5, 30),
    "window": st.integers(5, 20),
    "requests": st.integers(100, 200),
    "workers": st.integers(1, 20),
    "latency": st.sampled_from(sorted(LATENCIES)),
    "seed": st.integers(0, 10_000),
}


def refusals(
    kind: str, headers: str, *, limit: int, window: int, requests: int, workers: int, latency: str, seed: int
) -> list[tuple[float, float]]:
    """The 429s of a client that is alone and knows the limit: when each request was sent and when it was refused."""
    world = World(
        quota_window(kind, limit, window),
        latency=LATENCIES[latency],
        workers=workers,
        requests=requests,
        headers=headers,
        limit=limit,
        seed=seed,
    )
    return world.run(QuotaAccount(limit, window)).refusals


@given(headers=st.sampled_from(["off", "on"]), **CELL)
# Permits returned before the end that headers showed, which is up to a second late, and were counted in the next.
@example(
    kind="fixed", headers="on", limit=11, window=10, requests=107, workers=7, latency="constant", seed=1
)  # fmt: skip
# A sliding server's oldest request left it soon after what looked like the end of a window.
@example(
    kind="sliding", headers="on", limit=10, window=5, requests=100, workers=1, latency="log-normal", seed=8
)  # fmt: skip
@example(
    kind="sliding", headers="on", limit=10, window=8, requests=133, workers=4, latency="constant", seed=1
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_alone_there_is_no_429_with_truthful_headers_or_without(kind: str, headers: str, **cell: Any) -> None:
    assert refusals(kind, headers, **cell) == []


@given(**CELL)
# A reset told too short moved the window's end.
@example(kind="fixed", limit=10, window=5, requests=100, workers=1, latency="constant", seed=1)
@settings(deadline=None, max_examples=200)
def test_alone_headers_that_lied_once_cost_no_429_from_a_window_later_on(kind: str, **cell: Any) -> None:
    """
    No 429 at all is impossible.

    Headers may tell, without a flaw, of a fixed window with room in it, where the server's window slides and has none;
    who never believes them is no faster with truthful ones than without. But the first 429 gives them away.
    """
    refused = refusals(kind, "adversarial", **cell)
    if refused:
        given_away_at = min(told_at for _, told_at in refused)
        assert max(sent_at for sent_at, _ in refused) < given_away_at + cell["window"]


class Twins:
    """An account, and another whose shortcut never opens: both decide the same."""

    def __init__(self, limit: int, window: int) -> None:
        self._short, self._full = QuotaAccount(limit, window), QuotaAccount(limit, window)
        self._twin_of: dict[int, Permit] = {}

    def try_acquire(self, now: float) -> Permit | None:
        self._full._shortcut.close()
        permit, twin = self._short.try_acquire(now), self._full.try_acquire(now)
        assert permit == twin
        if permit is not None and twin is not None:
            self._twin_of[id(permit)] = twin
        return permit

    def next_attempt_at(self, now: float) -> float:
        attempt_at = self._short.next_attempt_at(now)
        assert attempt_at == self._full.next_attempt_at(now)
        return attempt_at

    def complete(self, permit: Permit, now: float, reading: Reading | None = None) -> None:
        self._full._shortcut.close()
        self._short.complete(permit, now, reading)
        self._full.complete(self._twin_of.pop(id(permit)), now, reading)
        assert self._short.allowed == self._full.allowed

    def reject(self, permit: Permit, now: float, pause: float, *, has_retry_after: bool = True) -> bool:
        longer = self._short.reject(permit, now, pause, has_retry_after=has_retry_after)
        assert longer == self._full.reject(self._twin_of.pop(id(permit)), now, pause, has_retry_after=has_retry_after)
        return longer


@pytest.mark.parametrize("headers", ["on", "off", "vanishing", "late", "adversarial"])
@pytest.mark.parametrize("kind", ["fixed", "aligned", "sliding", "bucket"])
def test_the_shortcut_changes_no_decision(kind: str, headers: str) -> None:
    for limit, others, named, workers in product([20, 150], [0.0, 1.0], [1.0, 1.5], [3, 12]):
        world = World(
            quota_window(kind, limit, 5),
            latency=LATENCIES["log-normal"],
            workers=workers,
            requests=200,
            others_rate=others,
            headers=headers,
            limit=limit,
        )
        world.run(Twins(int(named * limit), 5))
