"""
The filters of an analytics query, compiled to a test of a conversation.

A filter has predicates and clauses of predicates, joined by its type; a conversation must pass all filters. A dimension
or metric that the simulated organization does not have is refused and not ignored. The value of a time is an interval,
which the time must be in.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ..operations import Refused
from .times import interval

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..organization import Conversation, Organization

    Test = Callable[["Known"], bool]
    Texts = Mapping[str, Callable[["Known"], str | None]]
    Numbers = Mapping[str, Callable[["Known"], float | None]]

SESSION_MEDIA = {"audio": "voice", "screen": "voice", "chat": "chat", "messaging": "message", "email": "email"}
"""The media type of a session in analytics, by the medium of its recordings."""

_COMPARISONS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


@dataclass(frozen=True, slots=True)
class Known:
    """A conversation as analytics knows it; `ended_at` is None while it is in progress."""

    conversation: Conversation
    ended_at: float | None

    @property
    def milliseconds(self) -> float | None:
        """Its duration once it has ended."""
        return None if self.ended_at is None else (self.ended_at - self.conversation.started_at) * 1000


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a kind of filter can test, by Genesys's names: texts, times (epoch seconds) and metrics (milliseconds)."""

    texts: Texts
    times: Numbers
    metrics: Numbers


def conversation_vocabulary(organization: Organization) -> Vocabulary:
    """Return what a conversation filter can test."""
    return Vocabulary(
        {
            "conversationId": lambda known: known.conversation.id,
            "originatingDirection": lambda known: known.conversation.direction,
            "divisionId": lambda _: organization.division_id,
        },
        {
            "conversationStart": lambda known: known.conversation.started_at,
            "conversationEnd": lambda known: known.ended_at,
        },
        {"tConversationDuration": lambda known: known.milliseconds},
    )


def segment_vocabulary(organization: Organization) -> Vocabulary:
    """Return what a segment filter can test: traits of the agent's only session and its only segment."""
    handling = organization.handling_of
    return Vocabulary(
        {
            "queueId": lambda known: known.conversation.queue_id,
            "mediaType": lambda known: SESSION_MEDIA[known.conversation.media],
            "direction": lambda known: known.conversation.direction,
            "recording": lambda known: str(known.conversation.recording_count > 0).lower(),
            "userId": lambda known: handling(known.conversation).user_id,
            "ani": lambda known: handling(known.conversation).ani,
            "dnis": lambda known: handling(known.conversation).dnis,
            "wrapUpCode": lambda known: handling(known.conversation).wrap_up_code,
            "flowId": lambda known: handling(known.conversation).flow_id,
            "requestedLanguageId": lambda known: handling(known.conversation).language_id,
        },
        {"segmentEnd": lambda known: known.ended_at},
        {"tSegmentDuration": lambda known: known.milliseconds},
    )


def compile_filters(value: object, vocabulary: Vocabulary) -> Test:
    """Return the test of a list of filters; None is an empty list."""
    tests = [_filter(each, vocabulary) for each in _listed(value)]
    return lambda known: all(test(known) for test in tests)


def _filter(value: object, vocabulary: Vocabulary) -> Test:
    fields = _fields(value)
    tests = [_predicate(each, vocabulary) for each in _listed(fields.get("predicates"))]
    for clause in map(_fields, _listed(fields.get("clauses"))):
        predicates = [_predicate(each, vocabulary) for each in _listed(clause.get("predicates"))]
        tests.append(_joined(clause.get("type"), predicates))
    return _joined(fields.get("type"), tests)


def _joined(how: object, tests: list[Test]) -> Test:
    if how not in ("and", "or"):
        raise Refused("invalid.value", how, "type", "and, or")
    join = all if how == "and" else any
    return lambda known: join(test(known) for test in tests)


def _predicate(value: object, vocabulary: Vocabulary) -> Test:
    fields = _fields(value)
    kind, wanted = fields.get("type") or "dimension", fields.get("operator") or "matches"
    if kind not in ("dimension", "metric"):
        raise Refused("invalid.value", kind, "type", "dimension, metric")
    known = vocabulary.metrics if kind == "metric" else {**vocabulary.texts, **vocabulary.times}
    name = str(fields.get(kind))
    if name not in known:
        raise Refused("invalid.value", name, kind, ", ".join(known))
    read = known[name]
    if wanted in ("exists", "notExists"):
        return lambda known: (read(known) is not None) == (wanted == "exists")
    if wanted != "matches":
        raise Refused("invalid.value", wanted, "operator", "matches, exists, notExists")
    if name in vocabulary.texts:
        return _text_test(vocabulary.texts[name], fields.get("value"))
    if name in vocabulary.times:
        begin, end = interval(fields.get("value"))
        return _range_test(vocabulary.times[name], {"gte": begin, "lt": end})
    return _range_test(vocabulary.metrics[name], _fields(fields.get("range")))


def _text_test(read: Callable[[Known], str | None], value: object) -> Test:
    if not isinstance(value, str):
        raise Refused("bad.request")
    return lambda known: read(known) == value


def _range_test(read: Callable[[Known], float | None], bounds: Mapping[str, object]) -> Test:
    """Return the test of a number that must be within bounds; what is not known yet is outside."""
    if not bounds or not all(name in _COMPARISONS and _is_number(bound) for name, bound in bounds.items()):
        raise Refused("bad.request")
    limits = [(_COMPARISONS[name], cast("float", bound)) for name, bound in bounds.items()]

    def test(known: Known) -> bool:
        number = read(known)
        return number is not None and all(compare(number, bound) for compare, bound in limits)

    return test


def _is_number(value: object) -> bool:
    # A bool is an int to Python and not to JSON.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(value: object) -> list[object]:
    if not isinstance(value, list | None):
        raise Refused("bad.request")
    return cast("list[object]", value or [])


def _fields(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused("bad.request")
    return cast("dict[str, object]", value)
