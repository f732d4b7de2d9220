"""Replies of the analytics API: pages, jobs and cursors, of the right shape or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from genesys_media_async import InvalidResponseError
from tests.support.discoveries import DAY, NOW, Scripted

if TYPE_CHECKING:
    import httpx


class TestReplies:
    @pytest.mark.parametrize(
        "body",
        [
            [],
            {"conversations": 7},
            {"conversations": [{}]},
            {"conversations": [{"conversationId": "a\nb"}]},
            {"conversations": [{"conversationId": "../a"}]},
            {"conversations": [{"conversationId": "a", "conversationEnd": "soon"}]},
            {"totalHits": "many"},
        ],
    )
    def test_of_the_wrong_shape_raise(self, body: object):
        with pytest.raises(InvalidResponseError) as raised:
            Scripted(query=body).discover(by="query")
        assert raised.value.code == "reply_shape"

    def test_may_have_conversations_outside_the_interval_or_in_progress(self):
        conversations = [
            {"conversationId": "before", "conversationEnd": (NOW - 2 * DAY).isoformat()},
            {"conversationId": "after", "conversationStart": (NOW + DAY).isoformat()},
            {"conversationId": "going-on", "conversationStart": (NOW - 9 * DAY).isoformat()},
            {"conversationId": "bare", "unheard-of": {}},
        ]
        scripted = Scripted(query={"conversations": conversations, "totalHits": 4})
        assert scripted.discover(by="query") == ["going-on", "bare"]

    def test_of_two_queries_may_have_the_same_conversation(self):
        # As from a service whose days begin at other hours: each query returns all of these.
        conversations = [
            {"conversationId": f"{days}-days-ago", "conversationStart": (NOW - days * DAY).isoformat()}
            for days in (20, 6, 0.5)
        ]
        scripted = Scripted(query={"conversations": conversations, "totalHits": 3})
        assert sorted(scripted.discover(by="query")) == ["0.5-days-ago", "20-days-ago", "6-days-ago"]
        assert len(scripted.asked) == 2

    def test_may_be_of_half_a_megabyte(self):
        conversations = [
            {"conversationId": f"c-{number}", "participants": [{"notes": "x" * 5_000}]} for number in range(100)
        ]
        scripted = Scripted(query={"conversations": conversations, "totalHits": 100})
        assert len(scripted.discover(by="query")) == 100

    def test_whose_cursor_repeats_end_the_search(self):
        scripted = Scripted(
            availability={"dataAvailabilityDate": NOW.isoformat()},
            jobs={"jobId": "job-1"},
            **{"job-1": {"state": "FULFILLED"}},
            results={"conversations": [{"conversationId": "a"}], "cursor": "again"},
        )
        with pytest.raises(InvalidResponseError) as raised:
            scripted.discover(by="job")
        assert (raised.value.code, raised.value.retryable) == ("cursor_repeats", False)

    def test_with_an_unknown_state_of_a_job_are_polled_again(self):
        states = iter(["QUEUED", "Meditating", "FULFILLED"])
        cursors: list[str | None] = []

        def results(request: httpx.Request) -> object:
            cursors.append(request.url.params.get("cursor"))
            return {
                "conversations": [{"conversationId": f"c-{len(cursors)}"}],
                "cursor": "a&b=/" if len(cursors) < 2 else None,
            }

        scripted = Scripted(
            availability={},
            jobs={"jobId": "job-1"},
            **{"job-1": lambda _: {"state": next(states)}},
            results=results,
        )
        assert scripted.discover(by="job") == ["c-1", "c-2"]
        assert cursors == [None, "a&b=/"]
