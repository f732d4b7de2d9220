"""Single flight: which ids are in flight, which are remembered, and who waits for them."""

from __future__ import annotations

import anyio

from genesys_media_async import Failed, NotFoundError
from genesys_media_async.retrieval.single_flight import HALF, SingleFlight
from tests.support.pools import run


def begin(flights: SingleFlight, file_id: str) -> list[Failed]:
    results = [Failed(file_id, NotFoundError("It is not there."))]
    flights.in_flight[file_id] = list(results)
    return results


def end(flights: SingleFlight, file_id: str) -> None:
    """End an id as a run does."""
    flights.recent[file_id] = flights.in_flight.pop(file_id)
    if len(flights.recent) >= HALF:
        flights.forget()


def known(flights: SingleFlight, file_id: str) -> bool:
    return file_id in flights.recent or file_id in flights.earlier


def test_the_results_of_an_id_are_remembered_at_its_end():
    flights = SingleFlight()
    results = begin(flights, "a")
    assert not known(flights, "a")
    end(flights, "a")
    assert flights.recent == {"a": results}
    assert flights.in_flight == {}


def test_an_id_that_is_let_go_is_forgotten():
    flights = SingleFlight()
    begin(flights, "a")
    flights.let_go("a")
    flights.let_go("a")
    assert flights.in_flight == {}
    assert not known(flights, "a")


def test_the_latest_half_is_always_remembered_and_never_more_than_the_bound():
    flights = SingleFlight()
    for number in range(6 * HALF):
        begin(flights, f"id-{number}")
        end(flights, f"id-{number}")
        assert len(flights.recent) + len(flights.earlier) <= 2 * HALF
        assert known(flights, f"id-{max(0, number - HALF + 1)}")
    assert not known(flights, "id-0")


def test_all_that_wait_for_an_id_go_on_when_it_is_over():
    async def main() -> None:
        flights = SingleFlight()
        begin(flights, "a")
        begin(flights, "b")
        went_on: list[str] = []

        async def wait(file_id: str) -> None:
            await flights.wait(file_id)
            went_on.append(file_id)

        async with anyio.create_task_group() as waiters:
            for file_id in ("a", "b", "a"):
                waiters.start_soon(wait, file_id)
            await anyio.sleep(1)
            assert went_on == []
            flights.let_go("a")
            await anyio.sleep(1)
            assert went_on == ["a", "a"]
            flights.let_go("b")
        assert went_on == ["a", "a", "b"]
        assert flights.waiting == {}

    run(main)


def test_one_that_stops_waiting_takes_nothing_from_the_others():
    async def main() -> None:
        flights = SingleFlight()
        begin(flights, "a")
        went_on: list[bool] = []

        async def wait(timeout: float) -> None:
            with anyio.move_on_after(timeout) as scope:
                await flights.wait("a")
            went_on.append(not scope.cancelled_caught)

        async with anyio.create_task_group() as waiters:
            for timeout in (1, 100):
                waiters.start_soon(wait, timeout)
            await anyio.sleep(5)
            flights.let_go("a")
        assert went_on == [False, True]

    run(main)
