"""
The operations of the API: their method and path, their permissions, and the values of one call.

The names are the operation ids of Genesys's specification.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .errors import JSON_TYPE, correlation_header, error_reply
from .messages import Kind, Reply, Request, decode_segment, json_bytes, json_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .family_settings import Family
    from .messages import Headers

_BOOLEANS = {"true": True, "false": False}


class Refused(Exception):
    """The refusal of a call: Genesys's error code and the parameters of its message."""

    def __init__(self, code: str, *parameters: object) -> None:
        super().__init__(code)
        self.code = code
        self.parameters = parameters


@dataclass(slots=True)
class Call:
    """
    One request to one operation, authenticated and charged.

    `ids` are those of its path, in order. `permissions` None means all. `now` is monotonic seconds, `wall` epoch
    seconds. `headers` are added to every reply.
    """

    request: Request
    ids: tuple[str, ...]
    query: str = field(repr=False)
    client_id: str
    permissions: frozenset[str] | None
    origin: str
    now: float
    wall: float
    headers: Headers
    correlation_id: str

    @property
    def last_id(self) -> str | None:
        """The id of the requested object, which is the last one in the path; None without ids."""
        return self.ids[-1] if self.ids else None

    def has_permission(self, permission: str) -> bool:
        """Return whether the client has a permission."""
        return self.permissions is None or permission in self.permissions

    def json_object(self) -> dict[str, object]:
        """Return the JSON object in the body. Raises `Refused` for anything else."""
        if self.request.media_type != "application/json":
            raise Refused("unsupported.media.type")
        if self.request.too_large:
            raise Refused("request.entity.too.large")
        body = json_object(self.request.body)
        if body is None:
            raise Refused("bad.request")
        return body

    def text(self, name: str, default: str) -> str:
        """Return a query parameter; an empty one counts as absent."""
        return (self.texts(name) or [default])[-1]

    def texts(self, name: str) -> list[str]:
        """Return every value of a query parameter that is not empty."""
        return parse_qs(self.query).get(name, [])

    def choice(self, name: str, values: tuple[str, ...], default: str) -> str:
        """Return a query parameter that is one of `values`. Raises `Refused`."""
        value = self.text(name, default)
        if value not in values:
            raise Refused("invalid.value", value, "string", ", ".join(values))
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a query parameter that is true or false. Raises `Refused`."""
        value = self.text(name, str(default).lower())
        if value.lower() not in _BOOLEANS:
            raise Refused("invalid.value", value, "boolean", "true, false")
        return _BOOLEANS[value.lower()]

    def positive(self, name: str, default: int) -> int:
        """Return a query parameter that is a whole number of at least 1. Raises `Refused`."""
        value = self.text(name, str(default))
        if not (value.isascii() and value.isdigit() and len(value) <= 9 and int(value) >= 1):
            raise Refused("invalid.value", value, "integer", "1 and more")
        return int(value)

    def reply(self, body: object, *headers: tuple[bytes, bytes], status: int = 200, delay: float = 0.0) -> Reply:
        """Return a good reply with a JSON body."""
        every_header = (JSON_TYPE, *headers, correlation_header(self.correlation_id), *self.headers)
        return Reply(status, every_header, json_bytes(body), Kind.API, self.last_id, good=True, delay=delay)

    def empty(self, status: int, *headers: tuple[bytes, bytes], delay: float = 0.0) -> Reply:
        """Return a good reply without a body."""
        every_header = (*headers, correlation_header(self.correlation_id), *self.headers)
        return Reply(status, every_header, b"", Kind.API, self.last_id, good=True, delay=delay)

    def error(self, code: str, *parameters: object) -> Reply:
        """Return the error reply of a Genesys code."""
        return error_reply(code, self.correlation_id, *parameters, headers=self.headers)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One method on one path.

    `path` has its ids in braces. A client needs all permissions of `all_of` and one of `any_of`, if there are any;
    `refusal` is the error code for a client without them. `unauthenticated` replaces the 401 of a call without a valid
    token.
    """

    name: str
    method: str
    path: str
    family: Family
    answer: Callable[[Call], Reply]
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    refusal: str = "missing.any.permissions"
    unauthenticated: Callable[[Call], Reply | None] | None = None

    def run(self, call: Call) -> Reply:
        """Check the permissions of a call and return its reply."""
        try:
            if call.permissions is not None:
                self._require(call.permissions)
            return self.answer(call)
        except Refused as refused:
            return call.error(refused.code, *refused.parameters)

    def _require(self, permissions: frozenset[str]) -> None:
        missing = [permission for permission in self.all_of if permission not in permissions]
        if missing:
            raise Refused("missing.permissions", ", ".join(missing))
        if self.any_of and permissions.isdisjoint(self.any_of):
            named = (", ".join(self.any_of),) if self.refusal == "missing.any.permissions" else ()
            raise Refused(self.refusal, *named)


class Router:
    """Finds the operations of a path; a fixed segment takes precedence over an id."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        paths: dict[str, dict[str, Operation]] = defaultdict(dict)
        for operation in operations:
            paths[operation.path][operation.method] = operation
        self._by_length: dict[int, list[tuple[list[str], dict[str, Operation]]]] = defaultdict(list)
        for path in sorted(paths, key=lambda path: path.count("{")):
            pattern = path.split("/")
            self._by_length[len(pattern)].append((pattern, paths[path]))

    def __repr__(self) -> str:
        return f"<Router of {sum(map(len, self._by_length.values()))} paths>"

    def names(self) -> list[str]:
        """Return the names of all operations."""
        paths = (path for paths in self._by_length.values() for path in paths)
        return [operation.name for _, operations in paths for operation in operations.values()]

    def find(self, path: str) -> tuple[Mapping[str, Operation], tuple[str, ...]] | None:
        """Return the operations of an undecoded path by method, and the ids in it; None for an unknown path."""
        segments = path.split("/")
        for pattern, operations in self._by_length.get(len(segments), ()):
            ids = _ids_in(segments, pattern)
            if ids is not None:
                return operations, ids
        return None


def _ids_in(segments: list[str], pattern: list[str]) -> tuple[str, ...] | None:
    ids: list[str] = []
    for segment, wanted in zip(segments, pattern, strict=True):
        if wanted.startswith("{"):
            decoded = decode_segment(segment)
            if decoded is None:
                return None
            ids.append(decoded)
        elif segment != wanted:
            return None
    return tuple(ids)
