"""
The filters of an analytics query, compiled to a test of a conversation.

A filter has predicates and clauses of predicates, joined by its type; a conversation must pass all filters. A dimension
that the simulated organization does not have is refused and not ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ..operations import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..organization import Conversation

    Dimensions = Mapping[str, Callable[[Conversation], str]]
    Test = Callable[[Conversation], bool]

SESSION_MEDIA = {"audio": "voice", "screen": "voice", "chat": "chat", "messaging": "message", "email": "email"}
"""The media type of a session in analytics, by the medium of its recordings."""


def conversation_dimensions(division_id: str) -> Dimensions:
    """Return the dimensions of a conversation filter."""
    return {
        "conversationId": lambda conversation: conversation.id,
        "originatingDirection": lambda conversation: conversation.direction,
        "divisionId": lambda _: division_id,
    }


SEGMENT_DIMENSIONS: Dimensions = {
    "queueId": lambda conversation: conversation.queue_id,
    "mediaType": lambda conversation: SESSION_MEDIA[conversation.media],
    "direction": lambda conversation: conversation.direction,
    "recording": lambda conversation: str(conversation.recording_count > 0).lower(),
}
"""The dimensions of a segment filter: those of the agent's only session and its only segment."""


def compile_filters(value: object, dimensions: Dimensions) -> Test:
    """Return the test of a list of filters; None is an empty list."""
    tests = [_filter(each, dimensions) for each in _listed(value)]
    return lambda conversation: all(test(conversation) for test in tests)


def _filter(value: object, dimensions: Dimensions) -> Test:
    fields = _fields(value)
    tests = [_predicate(each, dimensions) for each in _listed(fields.get("predicates"))]
    for clause in map(_fields, _listed(fields.get("clauses"))):
        predicates = [_predicate(each, dimensions) for each in _listed(clause.get("predicates"))]
        tests.append(_joined(clause.get("type"), predicates))
    return _joined(fields.get("type"), tests)


def _joined(how: object, tests: list[Test]) -> Test:
    if how not in ("and", "or"):
        raise Refused("invalid.value", how, "type", "and, or")
    join = all if how == "and" else any
    return lambda conversation: join(test(conversation) for test in tests)


def _predicate(value: object, dimensions: Dimensions) -> Test:
    fields = _fields(value)
    if fields.get("type", "dimension") != "dimension":
        raise Refused("invalid.value", fields["type"], "type", "dimension")
    read = dimensions.get(str(fields.get("dimension")))
    if read is None:
        raise Refused("invalid.value", fields.get("dimension"), "dimension", ", ".join(dimensions))
    operator, wanted = fields.get("operator") or "matches", fields.get("value")
    if operator == "exists":
        return lambda _: True
    if operator == "notExists":
        return lambda _: False
    if operator != "matches" or not isinstance(wanted, str):
        raise Refused("bad.request")
    return lambda conversation: read(conversation) == wanted


def _listed(value: object) -> list[object]:
    if not isinstance(value, list | None):
        raise Refused("bad.request")
    return cast("list[object]", value or [])


def _fields(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused("bad.request")
    return cast("dict[str, object]", value)
