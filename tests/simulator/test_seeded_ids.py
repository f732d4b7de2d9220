"""Seeded ids: UUIDs that only their own seed and kind can decode."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_media_async.simulator.seeded_ids import MAX_NUMBER, SeededIds
from tests.support.simulator_users import UUID


@settings(deadline=None)
@given(seed=st.integers(), number=st.integers(0, MAX_NUMBER))
def test_an_id_is_a_uuid_that_only_its_own_seed_and_kind_can_decode(seed: int, number: int) -> None:
    seeded_ids = SeededIds(seed)
    text = seeded_ids.id("recording", number)
    assert UUID.fullmatch(text)
    assert seeded_ids.number("recording", text) == number
    assert seeded_ids.number("conversation", text) is None
    assert SeededIds(seed + 1).number("recording", text) is None


@settings(deadline=None)
@given(st.text(max_size=40) | st.from_regex(UUID, fullmatch=True))
def test_no_other_text_is_an_id(text: str) -> None:
    assert SeededIds(0).number("recording", text) is None


@settings(deadline=None)
@given(number=st.integers(0, MAX_NUMBER), place=st.integers(0, 35), digit=st.sampled_from("0123456789abcdef-ÿ²"))
def test_an_id_with_one_character_changed_is_no_id(number: int, place: int, digit: str) -> None:
    text = SeededIds(0).id("queue", number)
    changed = text[:place] + digit + text[place + 1 :]
    assert SeededIds(0).number("queue", changed) == (number if changed == text else None)
