"""Ids that failed for now are requested once more at the end of a run, and have one result all the same."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async import DownloadUrl, MediaResult, MediaRetriever, MemorySink, RetryPolicy, VirtualClock
from genesys_media_async.api.calls import CallResult
from genesys_media_async.audit.group import WRITTEN
from genesys_media_async.endpoints.base import Endpoint
from genesys_media_async.errors import (
    APITimeoutError,
    DeadlineExceededError,
    GenesysMediaError,
    InternalServerError,
    NotFoundError,
    OutageError,
)
from genesys_media_async.events import RetrievalFinished
from genesys_media_async.models import Failed
from genesys_media_async.retrieval.second_pass import SecondPass, is_worth_repeating
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genesys_media_async import MediaRequest
    from genesys_media_async.endpoints.base import EndpointContext

ONCE = RetryPolicy(max_attempts=1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InternalServerError("x"), True),
        (APITimeoutError("x"), True),
        (InternalServerError("x", retryable=False), False),
        (NotFoundError("x"), False),
        (DeadlineExceededError("x"), False),
        (OutageError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_worth_another_request(error: GenesysMediaError, expected: bool) -> None:
    assert is_worth_repeating(error) is expected


@given(ids=st.lists(st.sampled_from("abcde"), max_size=30), others=st.sets(st.sampled_from("abcde")))
def test_nothing_that_is_kept_back_gets_lost(ids: list[str], others: set[str]) -> None:
    second, handed_over = SecondPass(), Counter[str]()
    for file_id in ids:
        if second.repeats(file_id):
            continue
        assert second.hold(Failed(file_id, InternalServerError("x")), WRITTEN)
        handed_over.update(result.file_id for result, _ in second.settle(file_id, has_others=file_id in others))
    handed_over.update(result.file_id for results in second.drop() for result, _ in results)
    assert handed_over == Counter(ids)
    assert second.begin() == ()


class Outcome:
    """A run in which the first requests meet faults."""

    def __init__(
        self,
        ids: list[str],
        *faults: Fault | None,
        stop_after: int | None = None,
        retry: RetryPolicy = ONCE,
        **options: object,
    ) -> None:
        self.clock = VirtualClock()
        self.simulator = Simulator(SimulatorSettings(quota=None, latency=0.1), clock=self.clock)
        self.simulator.script(*faults)
        self.events = MemorySink()
        self.results: list[MediaResult] = []
        self.ids, self.stop_after, self.retry = ids, stop_after, retry
        self.clock.run(self.run(options))

    async def run(self, options: dict[str, object]) -> None:
        settings = settings_for(self.simulator, retry=self.retry, concurrency=1)
        transport = self.simulator.transport()
        async with MediaRetriever(
            settings, transport=transport, sinks=self.events, clock=self.clock, rng=random.Random(7)
        ) as retriever:
            async with retriever.retrieve_many(self.source(), **options) as run:  # type: ignore[arg-type]
                async for result in run:
                    self.results.append(result)
                    if len(self.results) == self.stop_after:
                        run.stop()
                self.statistics = run.statistics()

    def source(self) -> Iterator[str]:
        yield from self.ids

    @property
    def words(self) -> list[str]:
        return [f"{result.file_id} {'ok' if result.ok else result.error.code}" for result in self.results]


BAD = Fault.SERVER_ERROR_500


def test_an_id_that_failed_for_now_comes_last_with_its_url():
    outcome = Outcome(["a", "b", "c"], BAD, second_pass=True)
    assert outcome.words == ["b ok", "c ok", "a ok"]
    assert outcome.results[-1].attempts == 2
    assert (outcome.statistics.done, outcome.statistics.succeeded, outcome.statistics.failed) == (3, 3, 0)
    assert outcome.statistics.deferred == 0


def test_each_result_is_an_event_once():
    outcome = Outcome(["a", "b"], BAD, second_pass=True)
    finished = [event for event in outcome.events.events if isinstance(event, RetrievalFinished)]
    assert [(event.file_id, event.valid) for event in finished] == [("b", True), ("a", True)]


def test_an_id_that_fails_again_is_failed():
    outcome = Outcome(["a", "b"], BAD, None, BAD, second_pass=True)
    assert outcome.words == ["b ok", "a internal_server_error"]
    assert outcome.results[-1].attempts == 2
    assert (outcome.statistics.succeeded, outcome.statistics.failed) == (1, 1)


def test_it_has_a_budget_of_retries_of_its_own():
    retry = RetryPolicy(max_attempts=2, budget=1)
    outcome = Outcome(["a"], BAD, BAD, BAD, second_pass=True, retry=retry)
    assert outcome.words == ["a ok"]
    assert outcome.results[-1].attempts == 4


def test_a_permanent_failure_is_handed_over_at_once():
    assert Outcome(["missing-1", "b"], second_pass=True).words == ["missing-1 not_found", "b ok"]


def test_repetitions_of_an_id_wait_with_it_and_have_a_result_each():
    outcome = Outcome(["a", "b", "a", "a", "c"], BAD, second_pass=True)
    assert outcome.words == ["b ok", "c ok", "a ok", "a ok", "a ok"]
    assert outcome.simulator.counts.api_requests == 4
    assert outcome.statistics.deferred == 0
    assert outcome.statistics.done == 5


def test_it_is_off_unless_it_is_asked_for():
    assert Outcome(["a", "b"], BAD).words == ["a internal_server_error", "b ok"]


def test_a_run_that_is_stopped_hands_over_what_it_kept_back():
    outcome = Outcome(["a", "b", "c", "d"], BAD, second_pass=True, stop_after=1)
    assert outcome.words[0] == "b ok"
    assert outcome.words[-1] == "a internal_server_error"
    assert len(outcome.words) < 4


def test_a_second_pass_that_is_stopped_hands_over_the_rest():
    outcome = Outcome(["a", "b", "c"], BAD, BAD, BAD, second_pass=True, stop_after=1)
    assert outcome.words == ["a ok", "b ok", "c internal_server_error"]


def test_an_exception_of_the_ids_comes_after_what_was_kept_back():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    simulator.script(BAD)
    results: list[MediaResult] = []

    def ids() -> Iterator[str]:
        yield "a"
        yield "b"
        raise ValueError("the ids are broken")

    async def main() -> None:
        settings = settings_for(simulator, retry=ONCE, concurrency=1)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            async for result in retriever.retrieve_many(ids(), second_pass=True):
                results.append(result)

    with pytest.raises(ValueError, match="the ids are broken"):
        clock.run(main())
    assert [result.file_id for result in results] == ["b", "a"]


def test_all_results_come_in_the_order_of_the_ids_and_after_a_second_try():
    clock = VirtualClock()
    simulator = Simulator(SimulatorSettings(quota=None), clock=clock)
    simulator.script(BAD)

    async def main() -> list[MediaResult]:
        settings = settings_for(simulator, retry=ONCE, concurrency=1)
        async with MediaRetriever(settings, transport=simulator.transport(), clock=clock) as retriever:
            return await retriever.retrieve_all(["a", "b", "a"])

    assert [(result.file_id, result.ok) for result in clock.run(main())] == [("a", True), ("b", True), ("a", True)]


class Odd(Endpoint):
    """An endpoint of two media for each id; those in `bad` fail for now, as often as they are listed."""

    def __init__(self, *bad: str, seconds: float = 0.0) -> None:
        self.bad = list(bad)
        self.seconds = seconds

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        (request,) = requests
        await context.clock.sleep(self.seconds)
        for number in (0, 1):
            media_id = f"{request.file_id}/{number}"
            if media_id in self.bad:
                self.bad.remove(media_id)
                failed = CallResult[DownloadUrl](None, InternalServerError("x"), 1, 0.0, None)
                await context.report(request, failed, media_id=media_id)
            else:
                url = DownloadUrl("https://media.example.com/x", context.clock.wall() + 60, 60)
                await context.report(request, CallResult(url, None, 1, 0.0, None), media_id=media_id)


async def run_odd(
    clock: VirtualClock, endpoint: Odd, ids: list[str], *, concurrency: int
) -> tuple[list[str], list[RetrievalFinished]]:
    simulator, events = Simulator(SimulatorSettings(quota=None), clock=clock), MemorySink()
    words: list[str] = []
    transport = simulator.transport()
    async with MediaRetriever(
        settings_for(simulator), endpoint=endpoint, transport=transport, sinks=events, clock=clock
    ) as retriever:
        before = len(asyncio.all_tasks())
        async with retriever.retrieve_many(ids, second_pass=True, concurrency=concurrency) as run:
            async for result in run:
                words.append(f"{result.media_id} {'ok' if result.ok else 'failed'}")
            assert (run.statistics().deferred, run.statistics().done) == (0, len(ids))
        assert len(asyncio.all_tasks()) == before
    return words, [event for event in events.events if isinstance(event, RetrievalFinished)]


def test_an_id_with_some_results_is_not_repeated_and_its_failures_are_told_once():
    clock = VirtualClock()
    words, finished = clock.run(run_odd(clock, Odd("a/1"), ["a", "b"], concurrency=1))
    assert words == ["a/0 ok", "a/1 failed", "b/0 ok", "b/1 ok"]
    assert Counter((event.media_id, event.valid) for event in finished) == Counter(
        [("a/0", True), ("a/1", False), ("b/0", True), ("b/1", True)]
    )


def test_an_id_of_which_every_medium_failed_is_repeated_whole():
    clock = VirtualClock()
    words, _ = clock.run(run_odd(clock, Odd("a/0", "a/1"), ["a", "b"], concurrency=1))
    assert words == ["b/0 ok", "b/1 ok", "a/0 ok", "a/1 ok"]


def test_a_repetition_that_waits_for_an_id_in_flight_is_deferred_with_it():
    clock = VirtualClock()
    endpoint = Odd("a/0", "a/1", seconds=1.0)
    words, _ = clock.run(run_odd(clock, endpoint, ["a", "a", "a"], concurrency=3))
    assert words == ["a/0 ok", "a/1 ok"] * 3
    assert clock.monotonic() < 3.0
