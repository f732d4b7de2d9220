"""Runs whose every id is refused: they end early on request, and only if ids remain."""

from __future__ import annotations

import pytest

from genesys_media_async import AllRefusedError, MediaRetriever, SettingsError, VirtualClock
from genesys_media_async.simulator import Simulator, SimulatorSettings
from tests.support.retrievers import settings_for


def missing(count: int) -> list[str]:
    return [f"missing-{number}" for number in range(count)]


def run(ids: list[str], *, concurrency: int = 4, is_async: bool = False, **options) -> tuple[list, Exception | None]:
    """Return the results of a run, and what its iteration raised."""
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None, latency=0.1), clock=clock)
    results: list = []

    async def as_they_come():
        for each in ids:
            yield each

    async def main() -> Exception | None:
        async with MediaRetriever(settings_for(simulator), transport=simulator.transport(), clock=clock) as retriever:
            source = as_they_come() if is_async else ids
            try:
                async for result in retriever.retrieve_many(source, concurrency=concurrency, **options):
                    results.append(result)
            except AllRefusedError as error:
                return error
            return None

    raised = clock.run(main())
    assert {result.file_id for result in results} == set(ids[: len(results)])
    return results, raised


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_ends_after_so_many_refusals_and_those_in_progress(is_async: bool):
    results, raised = run(missing(1_000), max_refusals=10, is_async=is_async)
    assert raised is not None
    assert "refused the first 10 ids alike" in str(raised)
    assert 10 <= len(results) <= 10 + 4
    assert not any(result.ok for result in results)


def test_every_id_is_requested_without_a_limit():
    results, raised = run(missing(100))
    assert (len(results), raised) == (100, None)


def test_a_run_whose_last_id_is_refused_just_ends():
    results, raised = run(missing(10), max_refusals=10)
    assert (len(results), raised) == (10, None)


def test_one_success_is_enough_to_go_on():
    results, raised = run([*missing(9), "good", *missing(50)], max_refusals=10, concurrency=1)
    assert (len(results), raised) == (60, None)


def test_an_id_that_is_given_again_and_again_counts_once():
    results, raised = run(["missing-1"] * 50 + ["good"], max_refusals=10, concurrency=1)
    assert raised is None
    assert len(results) == 51


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "25"])
def test_a_limit_is_a_whole_number_from_1(wrong):
    with pytest.raises(SettingsError, match="max_refusals"):
        run(["a"], max_refusals=wrong)
