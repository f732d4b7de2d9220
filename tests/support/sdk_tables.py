"""The tables of the official SDK, its operations and the fields of its models, and examples of our own models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genesys_media_async.transports import HttpRequest

PLAIN = {str: {"str", "datetime"}, bool: {"bool"}, int: {"int", "float"}, float: {"int", "float"}}
"""The SDK's names of plain values; a whole number may be read as any number."""


class Operation(NamedTuple):
    """What the SDK knows of an operation: where it is, its query parameters, the types of its body and its reply."""

    method: str
    path: str
    parameters: frozenset[str]
    takes: str
    gives: str

    def serves(self, method: str, path: str) -> bool:
        ours, its = path.split("/"), self.path.split("/")
        return (
            method == self.method
            and len(ours) == len(its)
            and all(has == wanted or wanted.startswith("{") for has, wanted in zip(ours, its, strict=True))
        )


class Tables:
    """The SDK's own tables: its operations, as their methods are written, and the fields of its models."""

    def __init__(self, sdk: Any) -> None:
        self._models = sdk.models
        sources = Path(sdk.apis.__file__).parent.glob("*_api.py")
        methods = [method for source in sources for method in source.read_text(encoding="utf-8").split("\n    def ")]
        self.operations = [operation for method in methods if (operation := _operation(method)) is not None]

    def operation(self, request: HttpRequest) -> Operation:
        """Return the operation of a request; a fixed name takes precedence over an id."""
        path = urlsplit(request.url).path
        found = [each for each in self.operations if each.serves(request.method, path)]
        assert found, f"the SDK has no {request.method} {path}"
        return min(found, key=lambda each: each.path.count("{"))

    def misfits(self, value: object, kind: str, where: str = "") -> set[str]:
        """Return the places in a JSON value that a type of the SDK does not have, or has otherwise."""
        listed, mapped = re.fullmatch(r"list\[(.*)\]", kind), re.fullmatch(r"dict\(\w+, (.*)\)", kind)
        if value is None:
            return set()
        if isinstance(value, list):
            return set().union(*(self.misfits(item, listed[1], where) for item in value)) if listed else {where}
        if isinstance(value, dict):
            fields = dict.fromkeys(value, mapped[1]) if mapped else self._fields(kind)
            missing = {f"{where}.{name}" for name in value.keys() - fields.keys()}
            known = value.keys() & fields.keys()
            return missing.union(*(self.misfits(value[name], fields[name], f"{where}.{name}") for name in known))
        return set() if kind in PLAIN[type(value)] else {where}

    def _fields(self, kind: str) -> dict[str, str]:
        model = getattr(self._models, kind, None)
        if model is None:
            return {}
        made = model()
        return {name: made.swagger_types[attribute] for attribute, name in made.attribute_map.items()}


def _operation(method: str) -> Operation | None:
    path = re.search(r"resource_path = '([^']+)'", method)
    verb = re.search(r"call_api\(resource_path, '(\w+)'", method)
    if path is None or verb is None:
        return None
    parameters = re.findall(r"query_params\['(\w+)'\]", method)
    takes, gives = re.search(r":param (\S+) body:", method), re.search(r"response_type='([^']+)'", method)
    return Operation(verb[1], path[1], frozenset(parameters), takes[1] if takes else "", gives[1] if gives else "")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a type is made of, but not those inside them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from models_in(each)


def with_inner(model: type[BaseModel]) -> set[type[BaseModel]]:
    inner = {each for field in model.model_fields.values() for each in models_in(field.annotation)}
    return {model}.union(*map(with_inner, inner))


def example_of(annotation: Any) -> object:
    """Return JSON that a type reads, with every field; None for what is neither text nor a number."""
    if annotation in PLAIN:
        return annotation()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return {field.alias or name: example_of(field.annotation) for name, field in fields}
    inner = [example_of(each) for each in get_args(annotation)]
    match get_origin(annotation):
        case origin if origin is dict:
            return {"any": inner[1]}
        case origin if origin in (list, tuple):
            return inner[:1]
        case _:
            return next((each for each in inner if each is not None), None)
