"""Every filter of a search, alone and with others, against the filter engine of the simulator."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.simulator import OrganizationSettings, Simulator, SimulatorSettings
from genesys_media_async.simulator.services.filters import SESSION_MEDIA
from tests.support.discoveries import DAY, NOW, virtual

if TYPE_CHECKING:
    from genesys_media_async import MediaRetriever, VirtualClock
    from genesys_media_async.simulator.organization import Conversation, Handling, Organization

BEGIN = NOW - 20 * DAY
ORGANIZATION = OrganizationSettings(
    conversations=250, days=30.0, recordings=(0, 2), queues=3, long_share=0.3, long_days=6.0
)
HANDLINGS = {
    "users": "user_id",
    "ani": "ani",
    "dnis": "dnis",
    "wrap_up_codes": "wrap_up_code",
    "flows": "flow_id",
    "languages": "language_id",
}
EVERY_MEDIUM = ["voice", "chat", "message", "email"]


@cache
def organization() -> Organization:
    return Simulator(SimulatorSettings(organization=ORGANIZATION, seed=0), clock=_clock()).organization


def _clock() -> VirtualClock:
    from genesys_media_async import VirtualClock

    return VirtualClock()


@cache
def everything() -> list[tuple[Conversation, Handling]]:
    return [(each, organization().handling_of(each)) for each in organization().conversations()]


def matches(conversation: Conversation, handling: Handling, options: dict[str, Any]) -> bool:
    """Whether a conversation is wanted, by the words of `DiscoveryOptions`."""
    media = options.get("media", ())
    seconds = conversation.ended_at - conversation.started_at
    has_ended = conversation.ended_at <= NOW.timestamp()
    shortest, longest = options.get("min_duration"), options.get("max_duration")
    # Genesys counts in milliseconds; no duration here is so close to a bound.
    return (
        conversation.started_at < NOW.timestamp()
        and conversation.ended_at >= BEGIN.timestamp()
        and (not media or SESSION_MEDIA[conversation.media] in media)
        and (conversation.recording_count > 0 or not set(media) <= {"voice"})
        and (not options.get("queues") or conversation.queue_id in options["queues"])
        and options.get("direction") in (None, conversation.direction)
        and all(getattr(handling, HANDLINGS[name]) in options[name] for name in HANDLINGS if options.get(name))
        and (shortest is None or (has_ended and seconds >= shortest))
        and (longest is None or (has_ended and seconds <= longest))
    )


def found(by: Any, **options: Any) -> set[str]:
    async def scenario(retriever: MediaRetriever, *_: Any) -> list[str]:
        return [each async for each in retriever.discover((BEGIN, NOW), by=by, **options)]

    listed = virtual(scenario, organization=ORGANIZATION)
    assert len(listed) == len(set(listed))
    return set(listed)


def wanted(options: dict[str, Any]) -> set[str]:
    return {each.id for each, handling in everything() if matches(each, handling, options)}


def values_of(name: str) -> list[str]:
    return sorted({value for _, handling in everything() if (value := getattr(handling, HANDLINGS[name]))})


@pytest.mark.parametrize("by", ["query", "job"])
@pytest.mark.parametrize("name", HANDLINGS)
def test_a_filter_by_handling_finds_what_matches_one_of_its_values(name: str, by: str) -> None:
    one, *others = values_of(name)
    for options in ({name: [one]}, {name: [one, *others[:2]]}, {name: [one], "media": EVERY_MEDIUM}):
        hits = wanted(options)
        assert 0 < len(hits) < len(wanted({"media": options.get("media", [])}))
        assert found(by, **options) == hits
    assert found(by, **{name: ["unknown"]}) == set()


@pytest.mark.parametrize("by", ["auto", "query", "job"])
@pytest.mark.parametrize(
    "bounds",
    [
        {"min_duration": 300.0},
        {"max_duration": 300.0},
        {"min_duration": 300.0, "max_duration": 86_400.0},
        {"min_duration": 86_400.0},
    ],
)
def test_a_filter_by_duration_finds_what_lasted_as_long(bounds: dict[str, float], by: str) -> None:
    hits = wanted(bounds)
    assert 0 < len(hits) < len(wanted({}))
    assert found(by, **bounds) == hits


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    **{name: st.lists(st.sampled_from(values_of(name)), min_size=1, unique=True) for name in HANDLINGS},
    "media": st.lists(st.sampled_from(EVERY_MEDIUM), unique=True),
    "queues": st.lists(st.sampled_from(organization().queue_ids()), min_size=1, unique=True),
    "direction": st.sampled_from(["inbound", "outbound"]),
    "min_duration": st.sampled_from([0.0, 60.0, 400.0]),
    "max_duration": st.sampled_from([450.0, 86_400.0, 10 * 86_400.0]),
}


@given(st.fixed_dictionaries({}, optional=OPTIONS), st.sampled_from(["auto", "query", "job"]))
@settings(max_examples=40, deadline=None)
def test_filters_together_find_what_matches_all_of_them(options: dict[str, Any], by: str) -> None:
    assert found(by, **options) == wanted(options)


def test_raw_filters_join_the_others() -> None:
    (user,), code = values_of("users")[:1], values_of("wrap_up_codes")[0]
    raw = {
        "segment_filters": [{"type": "and", "predicates": [{"dimension": "wrapUpCode", "value": code}]}],
        "conversation_filters": [
            {"type": "or", "predicates": [{"dimension": "conversationEnd", "operator": "exists"}]},
        ],
    }
    ended = {each.id for each, _ in everything() if each.ended_at <= NOW.timestamp()}
    hits = wanted({"users": [user], "wrap_up_codes": [code]}) & ended
    assert hits
    assert found("query", users=[user], **raw) == hits
