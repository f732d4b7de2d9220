"""What a search that ends early has left: with another search over it nothing is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async import InternalServerError, InvalidResponseError, TokenRejectedError
from genesys_media_async.discovery.filters import interval_text
from genesys_media_async.simulator import AnalyticsSettings, Fault, OrganizationSettings
from tests.support.discoveries import DAY, NOW, Scripted, active, virtual

if TYPE_CHECKING:
    from genesys_media_async import Interval, MediaRetriever, VirtualClock
    from genesys_media_async.simulator import Simulator

LONG = OrganizationSettings(conversations=900, days=20.0, recordings=(0, 1), long_share=0.2, long_days=6.0)
LATE = AnalyticsSettings(job_data_delay=1.5 * 86_400.0, max_job_page_size=100)
BEGIN = NOW - 12 * DAY


@given(failing=st.integers(0, 10), by=st.sampled_from(["query", "job"]))
@settings(max_examples=8, deadline=None)
def test_with_a_search_over_what_is_left_nothing_is_missing(failing: int, by: Any) -> None:
    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        # The token dies at one of the requests, and the next one as well.
        simulator.script(*[None] * failing, Fault.UNAUTHORIZED, Fault.UNAUTHORIZED)
        first: list[str] = []
        search, notes = retriever.discover((BEGIN, NOW), by=by), []
        try:
            async for conversation_id in search:
                first.append(conversation_id)
        except TokenRejectedError as error:
            notes = error.__notes__
        assert notes == ([f"Not searched yet: {interval_text(*search.left)}"] if search.left is not None else [])
        assert len(first) == len(set(first))
        assert set(first) | await over(search.left, retriever, by) == active(simulator, BEGIN, NOW)

    virtual(scenario, organization=LONG, analytics=LATE)


async def over(left: Interval | None, retriever: MediaRetriever, by: Any) -> set[str]:
    return set() if left is None else {each async for each in retriever.discover(left, by=by)}


@given(taken=st.integers(0, 300), by=st.sampled_from(["query", "job"]))
@settings(max_examples=8, deadline=None)
def test_a_search_that_is_left_early_has_what_was_not_taken_left(taken: int, by: Any) -> None:
    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        search = retriever.discover((BEGIN, NOW), by=by)
        first = {await anext(search, "none") for _ in range(taken)}
        await search.aclose()
        assert first - {"none"} | await over(search.left, retriever, by) == active(simulator, BEGIN, NOW)

    virtual(scenario, organization=LONG, analytics=LATE)


def test_a_query_that_fails_late_has_little_left() -> None:
    async def scenario(retriever: MediaRetriever, simulator: Simulator, _: VirtualClock) -> None:
        simulator.script(*[None] * 5, Fault.UNAUTHORIZED, Fault.UNAUTHORIZED)
        search = retriever.discover((BEGIN, NOW), by="query")
        with pytest.raises(TokenRejectedError):
            [each async for each in search]
        assert search.left is not None
        assert NOW - search.left[0] < 5 * DAY
        assert search.left[1] == NOW
        assert "left" in repr(search)

    virtual(scenario, organization=LONG)


def test_a_job_that_fails_after_the_queries_has_left_what_they_did_not_cover() -> None:
    async def scenario(retriever: MediaRetriever, *_: Any) -> None:
        search = retriever.discover((BEGIN, NOW))
        found = []
        with pytest.raises(InternalServerError, match="FAILED"):
            async for each in search:
                found.append(each)
        assert found
        assert search.left == (BEGIN, NOW - 1.5 * DAY)

    virtual(scenario, organization=LONG, analytics=AnalyticsSettings(job_data_delay=1.5 * 86_400.0, job_end="FAILED"))


def test_pages_out_of_order_shorten_nothing() -> None:
    hours = [5, 3, 9, 7]
    pages = iter(
        [
            {"conversations": [{"conversationId": f"c{hour}", "conversationStart": f"2023-11-14T0{hour}:00:00Z"}]}
            for hour in hours
        ]
    )
    searches: list[Any] = []

    def query(_: object) -> object:
        return {**next(pages, {"conversations": "none"}), "totalHits": 900}

    with pytest.raises(InvalidResponseError):
        Scripted(query=query).discover(by="query", look_back_days=0, searches=searches)
    (search,) = searches
    assert search.left == (NOW - DAY, NOW)
