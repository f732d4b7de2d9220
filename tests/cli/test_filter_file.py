"""`--filter-file`: its filters, and its faults by file, line and rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode
from genesys_media_async.cli.input.filter_file import line_of, read_filter_file

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
{
  "segmentFilters": [
    {"type": "or", "predicates": [
      {"dimension": "userId", "value": "a"}
    ]}
  ]
}
"""


def failure(file: Path) -> str:
    with pytest.raises(CommandFailed) as raised:
        read_filter_file(str(file))
    assert raised.value.code == ExitCode.USAGE
    return str(raised.value)


def test_filters_are_read_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "filters.json"
    file.write_text(GOOD, encoding="utf-8-sig")
    filters = [{"type": "or", "predicates": [{"dimension": "userId", "value": "a"}]}]
    assert read_filter_file(str(file)) == {"segment_filters": filters, "conversation_filters": ()}


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('"a"}', '"a",}', "line 4: is not JSON (column"),
        ("    ]}\n", "    ]\n", "line 6: is not JSON (column 3)"),
        ('"userId", ', '"userId", "valu": "b", ', "line 4: segmentFilters[0].predicates[0].valu is no field here"),
        ('"a"', "5", "line 4: segmentFilters[0].predicates[0].value must be a string."),
        (', "value": "a"', "", "line 4: segmentFilters[0].predicates[0].value must be a string."),
        ('"or"', '"xor"', 'line 3: segmentFilters[0].type must be "and" or "or".'),
        ('"type": "or", ', "", 'line 3: segmentFilters[0].type must be "and" or "or".'),
        ('"segmentFilters"', '"segments"', "line 2: segments is no field here; the fields are segmentFilters,"),
        (GOOD, "[]", "line 1: The whole must be an object with segmentFilters and conversationFilters."),
        (GOOD, "\n{}", "line 2: The object must have segmentFilters or conversationFilters."),
        (GOOD, "[" * 100_000, "line 1: is JSON that is nested too deeply."),
        (GOOD, "", "line 1: is not JSON (column 1)"),
    ],
)
def test_a_fault_is_told_by_file_line_and_rule(before: str, after: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "filters.json"
    assert before in GOOD
    file.write_text(GOOD.replace(before, after), encoding="utf-8")
    assert failure(file).startswith(f"--filter-file: {file}, {fault}")


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in failure(tmp_path / "missing.json")
    assert "cannot be read: Is a directory" in failure(tmp_path)
    file = tmp_path / "latin-1.json"
    file.write_bytes(GOOD.replace('"a"', '"\u00fc"').encode("latin-1"))
    assert "line 4: is not UTF-8" in failure(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
    max_leaves=12,
)


@given(JSON, st.data())
def test_the_line_of_each_place_is_the_one_it_is_written_on(value: object, data: st.DataObject) -> None:
    text = json.dumps(value, indent=1)
    path: list[str | int] = []
    here = value
    while isinstance(here, dict | list) and here and data.draw(st.booleans()):
        steps = list(here) if isinstance(here, dict) else list(range(len(here)))
        path.append(data.draw(st.sampled_from(steps)))
        here = here[path[-1]]  # type: ignore[index]
    line = text.split("\n")[line_of(text, path) - 1]
    begins = json.dumps(here)[:1] if isinstance(here, dict | list) else json.dumps(here)
    assert begins in line
    if path and isinstance(path[-1], str):
        assert f"{json.dumps(path[-1])}: " in line
    assert line_of(text, [*path, "nowhere", 3]) == line_of(text, path)
