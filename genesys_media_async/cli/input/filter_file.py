"""The file of `--filter-file`: filters as in Genesys's API, read and checked; its errors name file, line and rule."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from ...discovery.raw_filters import Fault, first_fault
from ...errors import sanitized
from ..exit_codes import usage_error
from ..output.streams import reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...discovery.filters import DiscoveryOptions
    from ..exit_codes import CommandFailed

OPTION: Final = "--filter-file"
LISTS: Final = ("segmentFilters", "conversationFilters")

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def read_filter_file(path: str) -> DiscoveryOptions:
    """Return the filters in a file. Raises `CommandFailed`."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _failure(path, line, "is not UTF-8; save the file in this encoding.") from None
    except (OSError, ValueError) as error:
        raise usage_error(OPTION, f"{path} cannot be read: {reason(error)}; check its name.") from None
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise _failure(path, error.lineno, f"is not JSON (column {error.colno}): {error.msg}.") from None
    except RecursionError:
        raise _failure(path, 1, "is JSON that is nested too deeply.") from None
    fault = _fault_in(found)
    if fault is not None:
        raise _failure(path, line_of(text, fault.path), sanitized(str(fault), 200))
    lists = cast("dict[str, Sequence[Mapping[str, object]]]", found)
    return {
        "segment_filters": lists.get("segmentFilters", ()),
        "conversation_filters": lists.get("conversationFilters", ()),
    }


def _fault_in(found: object) -> Fault | None:
    if not isinstance(found, dict):
        return Fault((), f"The whole must be an object with {' and '.join(LISTS)}.")
    lists = cast("dict[str, object]", found)
    if not lists:
        return Fault((), f"The object must have {' or '.join(LISTS)}.")
    for name, filters in lists.items():
        if name not in LISTS:
            return Fault((name,), f"is no field here; the fields are {', '.join(LISTS)}.")
        fault = first_fault(filters, name)
        if fault is not None:
            return fault
    return None


def _failure(path: str, line: int, rule: str) -> CommandFailed:
    return usage_error(OPTION, f"{path}, line {line}: {rule}")


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line of a place in JSON; of the nearest place around it if it is missing."""
    at = _after_space(text, 0)
    for step in path:
        find = {"{": _member, "[": _item}.get(text[at])
        found = None if find is None else find(text, at, step)
        if found is None:
            break
        at = found
    return text.count("\n", 0, at) + 1


def _member(text: str, at: int, name: str | int) -> int | None:
    """Return where the value with a name begins, in the object at a position."""
    at = _after_space(text, at + 1)
    while text[at] != "}":
        key, at = _decoded(text, at)
        at = _after_space(text, _after_space(text, at) + 1)
        if key == name:
            return at
        at = _after_comma(text, _decoded(text, at)[1])
    return None


def _item(text: str, at: int, number: str | int) -> int | None:
    """Return where the value with a number begins, in the list at a position."""
    at, passed = _after_space(text, at + 1), 0
    while text[at] != "]":
        if passed == number:
            return at
        at, passed = _after_comma(text, _decoded(text, at)[1]), passed + 1
    return None


def _decoded(text: str, at: int) -> tuple[object, int]:
    return _DECODER.raw_decode(text, at)


def _after_comma(text: str, at: int) -> int:
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
