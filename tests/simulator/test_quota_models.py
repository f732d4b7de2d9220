"""The models of a quota: servers that count a client and others, and the floor beside those others."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.simulator.quota_models import (
    LATENCIES,
    QuotaServer,
    constant,
    fastest_arrivals,
    floor_seconds,
    header_values,
    leftover_of,
    quota_window,
    random_arrivals,
)

KINDS = ["fixed", "aligned", "sliding", "bucket", "two"]


def test_others_are_counted_in_the_order_of_arrival():
    server = QuotaServer(quota_window("fixed", 3, 60.0), iter([1.0, 2.0, 8.0, 70.0]))
    assert server.charge(5.0).count == 3
    assert not server.charge(9.0).allowed
    assert (server.others_accepted, server.others_refused) == ([1.0, 2.0], [8.0])
    assert (server.accepted, server.refused) == ([5.0], [9.0])


def test_others_after_the_last_request_are_counted_up_to_a_time():
    server = QuotaServer(quota_window("fixed", 3, 60.0), iter([1.0, 2.0, 8.0, 70.0]))
    server.charge_others(70.0)
    assert server.others_accepted == [1.0, 2.0, 8.0]
    server.charge_others(70.1)
    assert server.others_accepted == [1.0, 2.0, 8.0, 70.0]


def test_without_others_every_request_is_the_clients():
    server = QuotaServer(quota_window("fixed", 2, 60.0))
    assert [server.charge(at).allowed for at in (0.0, 1.0, 2.0, 60.0)] == [True, True, False, True]


def test_random_arrivals_come_at_their_average_rate_and_never_at_a_rate_of_zero():
    arrivals = random_arrivals(2.0, random.Random(1))
    times = [next(arrivals) for _ in range(2_000)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(1_000, rel=0.1)
    assert list(random_arrivals(0.0, random.Random(1))) == []


def test_a_refusal_by_the_second_of_two_limits_ends_when_that_one_has_room():
    window = quota_window("two", 3_000, 60.0)
    charges = [window.charge(0.0) for _ in range(1_001)]
    assert [charge.allowed for charge in charges] == [True] * 1_000 + [False]
    assert charges[-1].reset_in == pytest.approx(0.06)


def test_true_headers_have_the_reset_a_second_beyond_the_window():
    assert header_values(quota_window("fixed").charge(0.0), 300) == (1, 300, 61)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_window_counts_up_to_its_limit(kind: str):
    window = quota_window(kind, 5, 60.0)
    assert [window.charge(0.0).allowed for _ in range(6)] == [True] * 5 + [False]


def test_an_unknown_kind_of_window_is_an_error():
    with pytest.raises(ValueError, match="hourly"):
        quota_window("hourly")
    with pytest.raises(ValueError, match="hourly"):
        leftover_of([], "hourly")


@pytest.mark.parametrize(("kind", "seconds"), [("fixed", 60.0), ("aligned", 43.0), ("sliding", 60.0), ("bucket", 60.0)])
def test_the_floor_alone_is_the_opening_of_the_last_window(kind: str, seconds: float):
    assert floor_seconds(kind, [], 600, 50, constant) == pytest.approx(seconds)


def test_one_worker_also_waits_for_each_reply():
    assert floor_seconds("fixed", [], 100, 1, LATENCIES["constant"]) == pytest.approx(100 * 0.12)


def test_the_floor_is_sooner_the_fewer_requests_of_others_were_accepted():
    others = [0.1 * number for number in range(1, 6_000)]
    some, all_of_them = (floor_seconds("fixed", times, 600, 50, constant) for times in (others[::4], others[::3]))
    assert floor_seconds("fixed", [], 600, 50, constant) < some <= all_of_them


def accepted(kind: str, limit: int, seconds: float, times: list[float]) -> list[bool]:
    window = quota_window(kind, limit, seconds)
    return [window.charge(each).allowed for each in sorted(times)]


@given(
    kind=st.sampled_from(["fixed", "aligned", "sliding", "bucket"]),
    limit=st.integers(2, 12),
    seconds=st.integers(4, 30),
    requests=st.integers(1, 40),
    gaps=st.lists(st.integers(1, 4_000), max_size=30),
)
@settings(deadline=None, max_examples=100)
def test_the_floor_beside_others_refuses_nobody_and_cannot_begin_any_request_sooner(
    kind: str, limit: int, seconds: int, requests: int, gaps: list[int]
):
    # The others alone never ask for more than half, so that they never keep each other out.
    window = quota_window("sliding", limit // 2, seconds)
    others = [each for gap in accumulate(gaps) if window.charge(each := gap / 1_000 + 1e-5).allowed]
    *ours, _ = fastest_arrivals(leftover_of(others, kind, limit, seconds), requests, 50, constant)
    assert all(accepted(kind, limit, seconds, others + ours))
    for number, at in enumerate(ours):
        sooner, before = at - 1e-3, ours[number - 1] if number else 0.0
        if sooner > before:
            assert not all(accepted(kind, limit, seconds, [*others, *ours[:number], sooner]))
