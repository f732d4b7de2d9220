"""How much Python runs for one id: counted exactly, so that a busy machine changes nothing."""

from __future__ import annotations

import sys

import pytest

from benchmarks.budget import Budget, count

MAX_BYTECODES = 1_300
MAX_CALLS = 50
VALUES = {
    "Permit": "of the limiter",
    "Call": "of the endpoint",
    "HttpRequest": "to the transport",
    "HttpReply": "of the transport",
    "DownloadUrl": "of the endpoint",
    "AttemptAudited": "to the audit sinks",
    "CallResult": "to the endpoint",
    "Retrieved": "to the user",
}
"""What is made for each id in Python; the `MediaRequest` and the reply's members are made in C."""


@pytest.fixture(scope="module")
def budget() -> Budget:
    return count()


# Each version of Python has instructions of its own; the numbers are those of the oldest that is supported.
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="counts the instructions of Python 3.11")
def test_one_id_takes_no_more_bytecodes_than_its_budget(budget: Budget) -> None:
    assert budget.of_one_id[0] <= MAX_BYTECODES, list(budget.by(functions=True))


def test_one_id_takes_no_more_calls_than_its_budget(budget: Budget) -> None:
    assert budget.of_one_id[1] <= MAX_CALLS


def test_one_id_makes_each_value_once(budget: Budget) -> None:
    made = {name: round(times / budget.ids, 2) for name, times in budget.values.items()}
    assert {name: times for name, times in made.items() if times > 0.05} == dict.fromkeys(VALUES, 1.0)


def test_the_count_is_the_same_each_time(budget: Budget) -> None:
    assert count().of_one_id == pytest.approx(budget.of_one_id, rel=0.002)
