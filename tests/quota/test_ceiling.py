"""The limit that refusals taught."""

from __future__ import annotations

import math

import pytest

from genesys_media_async.quota.ceiling import Ceiling


@pytest.mark.parametrize(
    ("count", "sure", "kept_back", "value"),
    [
        (200, True, 0, 199),
        (200, True, 9, 190),
        (200, False, 0, 250),
        (200, False, 9, 236),
        (1, True, 0, 300),
        (0, True, 0, 300),
        (302, True, 0, 300),
    ],
)
def test_a_refusal_lowers_it_below_the_count_or_half_way(count: int, sure: bool, kept_back: int, value: int) -> None:
    ceiling = Ceiling(300, 60.0)
    ceiling.lower(count, 0.0, sure=sure, kept_back=kept_back)
    assert ceiling.value == value


def test_a_count_that_is_refused_twice_is_a_limit_and_nothing_is_kept_back() -> None:
    ceiling = Ceiling(300, 60.0)
    ceiling.lower(200, 0.0, sure=True, kept_back=9)
    for now in (1_000.0, 2_000.0, 3_000.0, 4_000.0):
        ceiling.raise_if_due(now)
    assert ceiling.value == 202
    ceiling.lower(200, 5_000.0, sure=True, kept_back=9)
    assert ceiling.value == 199


@pytest.mark.parametrize(("sure", "raised_at", "value"), [(True, 150.0, 203), (False, 120.0, 256)])
def test_it_is_raised_after_some_windows_by_a_step(sure: bool, raised_at: float, value: int) -> None:
    ceiling = Ceiling(300, 60.0)
    ceiling.lower(201, 0.0, sure=sure, kept_back=0)
    before = ceiling.value
    assert ceiling.next_raise == raised_at
    ceiling.raise_if_due(raised_at - 0.1)
    assert ceiling.value == before
    ceiling.raise_if_due(raised_at)
    assert ceiling.value == value


def test_the_wait_doubles_each_time_a_lower_limit_is_certain_up_to_a_bound() -> None:
    ceiling = Ceiling(300, 60.0)
    waits: list[float] = []
    for count in range(290, 230, -10):
        ceiling.lower(count, 0.0, sure=True, kept_back=0)
        waits.append(ceiling.next_raise / 60.0)
    assert waits == [2.5, 4.5, 8.5, 16.5, 32.5, 32.5]


def test_it_is_never_raised_above_the_configured_limit() -> None:
    ceiling = Ceiling(10, 60.0)
    ceiling.lower(10, 0.0, sure=True, kept_back=0)
    ceiling.raise_if_due(150.0)
    assert (ceiling.value, ceiling.next_raise) == (10, math.inf)
