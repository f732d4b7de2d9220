"""
Filters as in Genesys's API: whether they have its shape, and where not. Pure.

The shape is that of `ConversationDetailQueryFilter` and `SegmentDetailQueryFilter` in the official SDK. Which
dimensions and metrics there are is left to Genesys, which adds some now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeGuard, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    _Path: TypeAlias = tuple[str | int, ...]
    _Check: TypeAlias = Callable[[object, _Path], Iterator["Fault"]]

FILTER_FIELDS: Final = ("type", "predicates", "clauses")
CLAUSE_FIELDS: Final = ("type", "predicates")
PREDICATE_FIELDS: Final = ("type", "dimension", "metric", "property", "propertyType", "operator", "value", "range")
PREDICATE_TYPES: Final = ("dimension", "metric", "property")
OPERATORS: Final = ("matches", "exists", "notExists")
BOUNDS: Final = ("gt", "gte", "lt", "lte")


class Fault(NamedTuple):
    """A place in JSON, as the names and positions that lead to it, and the rule that it breaks."""

    path: tuple[str | int, ...]
    rule: str

    def __str__(self) -> str:
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"{''.join(steps).removeprefix('.')} {self.rule}"


def first_fault(filters: object, *path: str | int) -> Fault | None:
    """Return the first fault in a list of filters, which is at `path`; None if there is none."""
    return next(_in_list(filters, path, "filters", _in_filter), None)


def _in_list(value: object, path: _Path, noun: str, check: _Check) -> Iterator[Fault]:
    if not isinstance(value, list | tuple):
        yield Fault(path, f"must be a list of {noun}.")
        return
    for number, each in enumerate(cast("Sequence[object]", value)):
        yield from check(each, (*path, number))


def _in_filter(value: object, path: _Path) -> Iterator[Fault]:
    yield from _in_junction(value, path, FILTER_FIELDS)
    if _is_object(value) and value.get("clauses") is not None:
        yield from _in_list(value["clauses"], (*path, "clauses"), "clauses", _in_clause)


def _in_clause(value: object, path: _Path) -> Iterator[Fault]:
    yield from _in_junction(value, path, CLAUSE_FIELDS)


def _in_junction(value: object, path: _Path, fields: tuple[str, ...]) -> Iterator[Fault]:
    """Yield the faults of what joins predicates: a filter or a clause; those of its clauses are not looked for."""
    yield from _in_fields(value, path, fields)
    if not _is_object(value):
        return
    if value.get("type") not in ("and", "or"):
        yield Fault((*path, "type"), 'must be "and" or "or".')
    if not any(value.get(name) for name in fields if name != "type"):
        yield Fault(path, f"must have {' or '.join(fields[1:])}: without them it filters nothing.")
    if value.get("predicates") is not None:
        yield from _in_list(value["predicates"], (*path, "predicates"), "predicates", _in_predicate)


def _in_predicate(value: object, path: _Path) -> Iterator[Fault]:
    yield from _in_fields(value, path, PREDICATE_FIELDS)
    if not _is_object(value):
        return
    kind = "dimension" if value.get("type") is None else value["type"]
    operator = "matches" if value.get("operator") is None else value["operator"]
    if not isinstance(kind, str) or kind not in PREDICATE_TYPES:
        yield Fault((*path, "type"), f"must be one of {', '.join(PREDICATE_TYPES)}.")
        return
    name = value.get(kind)
    if not isinstance(name, str) or not name:
        yield Fault((*path, kind), f"must name the {kind} to test.")
    if operator not in OPERATORS:
        yield Fault((*path, "operator"), f"must be one of {', '.join(OPERATORS)}.")
    elif operator == "matches":
        yield from _in_wanted(value, path)


def _in_wanted(predicate: dict[str, object], path: _Path) -> Iterator[Fault]:
    """Yield the faults of what a predicate wants: a value, or the bounds of a number."""
    bounds = predicate.get("range")
    if bounds is None:
        is_metric = predicate.get("type") == "metric"
        if is_metric or not isinstance(predicate.get("value"), str):
            wanted = "range" if is_metric else "value"
            rule = f"must be {'an object with ' + ', '.join(BOUNDS) if is_metric else 'a string'}."
            yield Fault((*path, wanted), rule)
        return
    yield from _in_fields(bounds, (*path, "range"), BOUNDS)
    if _is_object(bounds):
        numbers = [each for each in bounds.values() if isinstance(each, int | float) and not isinstance(each, bool)]
        if not numbers or len(numbers) < len(bounds):
            yield Fault((*path, "range"), f"must have numbers as {', '.join(BOUNDS)}.")


def _in_fields(value: object, path: _Path, fields: tuple[str, ...]) -> Iterator[Fault]:
    if not _is_object(value):
        yield Fault(path, f"must be an object with {', '.join(fields)}.")
        return
    for name in value:
        if name not in fields:
            yield Fault((*path, name), f"is no field here; the fields are {', '.join(fields)}.")


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)
