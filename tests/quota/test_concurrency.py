"""How many requests may be in flight."""

from __future__ import annotations

import pytest

from genesys_media_async.quota.concurrency import MIN_IN_FLIGHT, Concurrency


def concurrency(needed: float) -> Concurrency:
    concurrency = Concurrency(300, 60.0)
    concurrency.needed = needed
    return concurrency


@pytest.mark.parametrize(("needed", "most"), [(0.0, MIN_IN_FLIGHT), (4.1, 5), (100.0, 100)])
def test_at_full_speed_as_many_are_in_flight_as_the_latency_needs(needed: float, most: int) -> None:
    assert concurrency(needed).at_full_speed() == most


@pytest.mark.parametrize(("room", "most"), [(-5, 1), (1, 1), (10, 5), (40, 20), (100, 20)])
def test_the_last_permits_of_a_window_are_given_out_a_few_at_a_time(room: int, most: int) -> None:
    assert concurrency(20.0).late_in_window(room) == most


@pytest.mark.parametrize(
    ("room", "replies", "most"),
    [(300, 0, 1), (300, 7, 1), (300, 8, 2), (300, 72, 10), (300, 1_000, 10), (24, 1_000, 4), (5, 1_000, 1)],
)
def test_after_a_refusal_it_starts_slowly_and_ends_slowly(room: int, replies: int, most: int) -> None:
    assert concurrency(20.0).after_refusal(room, replies) == most
