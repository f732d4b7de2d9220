"""Counters of a run, and their snapshot."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.counters import Counters, Outages, Statistics

COUNTS = st.builds(
    Counters,
    **{
        each.name: st.integers(0, 10**6) if each.type == "int" else st.lists(st.text(max_size=3), max_size=3)
        for each in fields(Counters)
    },
)


@given(one=COUNTS, other=COUNTS)
def test_add_adds_every_count(one: Counters, other: Counters) -> None:
    total = Counters()
    total.add(one)
    total.add(other)
    for each in fields(Counters):
        assert getattr(total, each.name) == getattr(one, each.name) + getattr(other, each.name)


def test_statistics_are_the_counts_and_their_rate() -> None:
    counters = Counters(done=10, deferred=1, succeeded=8, failed=3, sent=14, ended=12, retries=4)
    counters.jobs, counters.orphaned_submissions, counters.abandoned_jobs = 5, 6, ["j-1", "j-2"]
    outages = Outages(2, 31.5, "api.example.com")
    assert Statistics.of(counters, waiting_for_quota=1, outages=outages, elapsed=4.0, transport="direct") == Statistics(
        done=10,
        deferred=1,
        succeeded=8,
        failed=3,
        in_flight=2,
        waiting_for_quota=1,
        requests=14,
        retries=4,
        outages=2,
        outage_seconds=31.5,
        host_down="api.example.com",
        elapsed=4.0,
        rate=2.5,
        transport="direct",
        jobs=5,
        orphaned_submissions=6,
        abandoned_jobs=("j-1", "j-2"),
    )


@pytest.mark.parametrize("elapsed", [0.0, -1.0])
def test_the_rate_before_any_time_passed_is_zero(elapsed: float) -> None:
    now = Statistics.of(Counters(done=5), waiting_for_quota=0, outages=Outages(), elapsed=elapsed, transport="direct")
    assert now.rate == 0.0


def test_statistics_do_not_change_later() -> None:
    counters = Counters(done=1)
    before = Statistics.of(counters, waiting_for_quota=0, outages=Outages(), elapsed=1.0, transport="direct")
    counters.done += 1
    assert before.done == 1
