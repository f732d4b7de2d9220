"""
A request as it arrived and a reply as it will travel: the two values between the rules and the carriers.

The rules see no socket, and a carrier knows no rule: it sends the reply's bytes, after its delay, by the way of its
fault.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .faults import Fault

BODY_LIMIT = 512_000
"""Bytes of a request body that the platform takes, its limit `request.bytes.max`."""

Headers = tuple[tuple[bytes, bytes], ...]

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_HEX = frozenset("0123456789abcdefABCDEF")


class Kind(Enum):
    """Which part of the cloud a request was for."""

    API = "api"
    TOKEN = "token"  # noqa: S105 - the name of an endpoint, not a secret
    MEDIA = "media"
    WEBHOOK = "webhook"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Request:
    """
    One HTTP request, wholly received.

    `target` is the request line's, undecoded; header names are in lower case. `too_large` says that the body went
    over the limit and was dropped.
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    too_large: bool = False

    @property
    def media_type(self) -> str:
        """The Content-Type in lower case, without its parameters."""
        value = self.headers.get("content-type", "")
        return value if value == "application/json" else value.partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One HTTP reply and how it is to travel.

    `delay` is seconds to wait before the first byte. `status` 0 means that no status line is sent at all. `good` says
    that the API did what it was asked, which counts once the reply is out. `body_withheld` is for HEAD.
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
    """Return the JSON object of a body; None when it is none, is not UTF-8, or says something twice."""
    try:
        parsed: object = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", parsed) if isinstance(parsed, dict) else None


def split_target(target: str) -> tuple[str, str]:
    """Return the path and query of a request target, both undecoded; understands the absolute form too."""
    if not target.startswith("/"):
        _, separator, rest = target.partition("://")
        slash = rest.find("/")
        target = rest[slash:] if separator and slash >= 0 else target
    path, _, query = target.partition("?")
    return path, query


def decode_segment(segment: str) -> str | None:
    """
    Return one path segment decoded, or None when it does not name one thing under this path.

    Dot segments and encoded slashes are refused rather than resolved: what a proxy makes of them is anybody's guess.
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
