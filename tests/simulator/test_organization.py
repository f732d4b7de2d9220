"""The simulated organization: the same for one seed, computed on demand, and changed by tests."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.clock import VirtualClock
from genesys_media_async.simulator import Organization, OrganizationSettings, Simulator, SimulatorSettings
from genesys_media_async.simulator.seeded_ids import SeededIds

NOW = 1_700_000_000.0


def test_the_default_organization_has_400_conversations_with_one_to_three_recordings_each() -> None:
    organization = Simulator().organization
    conversations = list(organization.conversations())
    assert len(conversations) == len(organization) == 400
    assert {conversation.recording_count for conversation in conversations} == {1, 2, 3}
    assert {conversation.queue_id for conversation in conversations} == set(organization.queue_ids())
    recordings = list(organization.recordings())
    assert {recording.media for recording in recordings} == {"audio", "screen", "chat", "messaging", "email"}
    assert len({recording.id for recording in recordings}) == len(recordings) > 700
    assert {recording.file_state for recording in recordings} == {"AVAILABLE"}
    assert repr(organization) == "<Organization of 400 conversations>"


def organization_of(seed: int = 0, **settings: Any) -> Organization:
    return Organization(OrganizationSettings(**settings), SeededIds(seed), NOW)


def test_a_seed_always_makes_the_same_organization() -> None:
    first, second, other = (list(organization_of(seed).recordings()) for seed in (7, 7, 8))
    assert first == second != other


def test_everything_is_found_by_its_id() -> None:
    organization = organization_of(conversations=30)
    for conversation in organization.conversations():
        assert organization.conversation(conversation.id) == conversation
        for recording in organization.recordings_of(conversation):
            assert organization.recording(conversation.id, recording.id) == recording
    assert organization.conversation(organization_of(conversations=31).conversation_at(30).id) is None
    assert all(organization.has_document(each) for each in organization.document_ids())
    assert all(organization.has_platform_download(each) for each in organization.platform_download_ids())
    assert not organization.has_document(organization.platform_download_ids()[0])
    assert all(organization.orphan(each) is not None for each in organization.orphan_ids())


def test_conversations_start_in_order_within_the_days_before_the_end() -> None:
    organization = organization_of(conversations=500, days=2.0, until=NOW + 500.0)
    conversations = list(organization.conversations())
    assert all(one.started_at <= two.started_at for one, two in pairwise(conversations))
    assert conversations[0].started_at > NOW - 2 * 86400 - 600
    assert all(one.started_at < one.ended_at <= NOW + 500.0 for one in conversations)


@settings(deadline=None)
@given(begin=st.floats(-3e6, 1e6), length=st.floats(0, 3e6), count=st.integers(0, 50))
def test_no_conversation_of_an_interval_is_missed(begin: float, length: float, count: int) -> None:
    organization = organization_of(conversations=count)
    places = organization.indexes_started_between(NOW + begin, NOW + begin + length)
    inside = {
        conversation.index
        for conversation in organization.conversations()
        if NOW + begin <= conversation.started_at < NOW + begin + length
    }
    assert inside <= set(places)
    assert len(places) <= len(inside) + 2


def test_the_last_conversation_ends_when_the_simulator_is_made() -> None:
    clock = VirtualClock(wall=NOW)
    last = list(Simulator(clock=clock).organization.conversations())[-1]
    assert NOW - 7200 < last.started_at < NOW


def test_shares_are_of_the_recordings() -> None:
    organization = organization_of(
        media=("audio",), two_part_share=0.5, archived_share=0.2, sensitive_share=0.1, failing_share=1.0
    )
    recordings = list(organization.recordings())
    states = Counter(recording.file_state for recording in recordings)
    assert 0.4 < sum(recording.parts == 2 for recording in recordings) / len(recordings) < 0.6
    assert 0.15 < states["ARCHIVED"] / len(recordings) < 0.25
    assert 0.05 < sum(recording.sensitive for recording in recordings) / len(recordings) < 0.15
    assert all(recording.batch_error for recording in recordings)


def test_changes_stay_and_accumulate() -> None:
    organization = organization_of()
    recording = next(organization.recordings())
    organization.change(recording.id, file_state="ARCHIVED")
    organization.change(recording.id, parts=4)
    changed = organization.recording(recording.conversation_id, recording.id)
    assert changed is not None
    assert (changed.file_state, changed.parts, changed.playable) == ("ARCHIVED", 4, False)
    assert next(organization.recordings()) == changed


def test_only_a_recording_can_be_changed_and_only_to_a_known_state() -> None:
    organization = organization_of(conversations=1, recordings=(1, 1), orphans=1)
    recording = next(organization.recordings())
    lost = next(organization_of(conversations=1, recordings=(1, 1), seed=1).recordings())
    second = list(organization_of(conversations=1, recordings=(2, 2)).recordings())[1]
    for stranger in ("x", recording.conversation_id, lost.id, second.id, organization_of().orphan_ids()[1]):
        with pytest.raises(ValueError, match="is no recording or orphan"):
            organization.change(stranger, parts=1)
    with pytest.raises(ValueError, match="file_state must be one of AVAILABLE"):
        organization.change(recording.id, file_state="LOST")  # type: ignore[arg-type]


def test_a_million_conversations_are_as_quick_to_search_as_one() -> None:
    settings = SimulatorSettings(organization=OrganizationSettings(conversations=1_000_000))
    organization = Simulator(settings).organization
    last = organization.conversation_at(999_999)
    assert organization.conversation(last.id) == last


@pytest.mark.parametrize(
    "wrong",
    [
        {"conversations": -1},
        {"recordings": (2, 1)},
        {"recordings": (0, 1001)},
        {"queues": 0},
        {"days": 0.0},
        {"media": ()},
        {"media": ("smell",)},
        {"two_part_share": 1.1},
        {"archived_share": -0.1},
        {"orphans": -1},
        {"long_share": 1.5},
        {"long_days": 0.0},
    ],
)
def test_impossible_organization_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        OrganizationSettings(**wrong)
