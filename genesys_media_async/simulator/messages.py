"""
Requests and replies: the two values that pass between the services and the carriers.

A service has no socket, and a carrier has no rules: it sends the reply's bytes after their delay, in the steps of
their fault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .fault_kinds import Fault

MAX_BODY_BYTES = 512_000
"""The platform's limit for a request body, `request.bytes.max`."""

Headers = tuple[tuple[bytes, bytes], ...]

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_HEX = frozenset("0123456789abcdefABCDEF")


class Kind(Enum):
    """The part of the cloud that a request is for."""

    API = "api"
    TOKEN = "token"  # noqa: S105 - the name of an endpoint, not a secret
    MEDIA = "media"
    WEBHOOK = "webhook"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Request:
    """
    One complete HTTP request.

    `target` is that of the request line, undecoded; header names are in lower case. `too_large` means that the body
    exceeded the limit and was dropped. `reused` means that its connection had carried another request.
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    too_large: bool = False
    reused: bool = False

    @property
    def media_type(self) -> str:
        """The Content-Type in lower case, without parameters."""
        value = self.headers.get("content-type", "")
        return value if value == "application/json" else value.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One HTTP reply, and how to send it.

    `delay` is the seconds before the first byte. `status` 0 means that no status line is sent. `good` means that the
    API did what the request wanted, which counts once the reply is sent. `body_withheld` is for HEAD.
    """

    status: int
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    kind: Kind = Kind.OTHER
    file_id: str | None = None
    good: bool = False
    delay: float = 0.0
    fault: Fault | None = None
    chunked: bool = False
    body_withheld: bool = False


def json_bytes(value: object) -> bytes:
    """Return a value as compact JSON."""
    return _COMPACT.encode(value).encode()


def json_object(body: bytes) -> dict[str, object] | None:
    """Return the JSON object in a body; None if it is none, is not UTF-8, or repeats a name."""
    try:
        parsed: object = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", parsed) if isinstance(parsed, dict) else None


def split_target(target: str) -> tuple[str, str]:
    """Return the path and query of a request target in origin or absolute form, both undecoded."""
    if not target.startswith("/"):
        _, separator, rest = target.partition("://")
        slash = rest.find("/")
        target = rest[slash:] if separator and slash >= 0 else target
    path, _, query = target.partition("?")
    return path, query


def decode_segment(segment: str) -> str | None:
    """
    Return one path segment decoded, or None when it is not the name of one object below this path.

    Dot segments and encoded slashes are refused and not resolved, because proxies treat them differently.
    """
    if segment.isascii() and segment.isalnum():
        return segment
    if not segment.isascii() or "/" in segment:
        return None
    decoded = segment
    if "%" in segment:
        if not _escapes_are_whole(segment):
            return None
        try:
            decoded = unquote(segment, errors="strict")
        except UnicodeDecodeError:
            return None
    if decoded in ("", ".", "..") or "/" in decoded or "\\" in decoded or "\0" in decoded:
        return None
    return decoded


def _escapes_are_whole(segment: str) -> bool:
    pieces = segment.split("%")[1:]
    return all(len(piece) >= 2 and piece[0] in _HEX and piece[1] in _HEX for piece in pieces)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
