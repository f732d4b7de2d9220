"""How many requests may be in flight."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.quota.concurrency import MIN_IN_FLIGHT, Concurrency
from genesys_media_async.quota.ledger import Ledger
from genesys_media_async.quota.shortcut import Shortcut


def concurrency(needed: float) -> Concurrency:
    ledger = Ledger(300, 60.0, Shortcut())
    concurrency = Concurrency(300, 60.0, ledger)
    # At the limit's rate in a tenth of the window, there is one in flight for each 20 ms.
    ledger.latency = needed * 0.02
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


@given(
    limit=st.integers(1, 10**8),
    seconds=st.floats(1, 1e5),
    latency=st.floats(1e-6, 1e4),
    in_flight=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=200)
def test_what_its_pace_lets_pass_is_below_the_bound_at_full_speed(
    limit: int, seconds: float, latency: float, in_flight: int
) -> None:
    ledger = Ledger(limit, seconds, Shortcut())
    ledger.latency = latency
    concurrency = Concurrency(limit, seconds, ledger)
    edge = round(latency / concurrency.pace)
    for each in (in_flight, edge - 1, edge, edge + 1):
        assert each * concurrency.pace >= latency or each < concurrency.at_full_speed()
