"""Requests: the segments of a path and the forms of a target."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.simulator.messages import decode_segment, split_target


@pytest.mark.parametrize("segment", ["", ".", "..", "%2e%2E", "a%2Fb", "a%5cb", "a/b", "%", "%2", "%zz", "%ff", "é"])
def test_a_segment_that_is_not_the_name_of_one_object_is_refused(segment: str) -> None:
    assert decode_segment(segment) is None


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..") and not set(text) & set("/\\\0")))
def test_every_other_name_survives_quoting(name: str) -> None:
    try:
        quoted = quote(name, safe="")
    except UnicodeEncodeError:
        return
    assert decode_segment(quoted) == name


def test_the_absolute_form_of_a_target_is_understood() -> None:
    assert split_target("http://host:1/a/b?c=d") == ("/a/b", "c=d")
    assert split_target("/a/b") == ("/a/b", "")
    assert split_target("*") == ("*", "")
