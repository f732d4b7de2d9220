"""The head of a request as bytes, with nothing in it that could smuggle in another request."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import httpx

from .connection import MAX_WRITE_SIZE
from .connection_pool import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .base import RequestHead

    _Field = tuple[bytes, bytes, bytes]

MAX_REMEMBERED = 64
"""How many beginnings of URLs and how many heads are kept to save work."""

is_plain_path = re.compile(r'/[!"$-~]*').fullmatch
"""Only printable ASCII characters follow the slash, without the space, and without the one that begins a fragment."""

_PORTS = {"http": 80, "https": 443}
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class EncodedHead:
    """
    A checked head as bytes, for every request with one `RequestHead`; it may hold secrets.

    `with_body` takes the path, the length of the body, and the body; `without_body` takes the path. Before the path
    goes `start`. An exchange with a body of more than `longest` bytes needs more care; with a head that is unusual,
    because it `closes` the connection or is HEAD's, every exchange does.
    """

    origin: Origin
    start: str
    with_body: bytes = field(repr=False)
    without_body: bytes = field(repr=False)
    closes: bool
    is_head_only: bool
    longest: int

    def checked_path(self, path: str) -> str:
        """Return a path that is not plain as it is sent; raises if it has something that could end it early."""
        path, _, _ = path.partition("#")
        if not self.start and not path.startswith("/"):
            if path and path[0] != "?":
                raise httpx.InvalidURL("The path does not begin with a slash")
            path = f"/{path}"
        _check_target(self.start + path)
        return path


class RequestEncoder(dict["RequestHead", EncodedHead]):
    """
    Turns heads of requests into bytes: `encoder[head]` makes what is missing, and remembers those made last.

    The whole request is one of the two forms of its `EncodedHead`, filled in.
    """

    def __init__(self, *, max_remembered: int = MAX_REMEMBERED) -> None:
        super().__init__()
        self._max_remembered = max_remembered
        # An origin lives as long as it has connections, or is remembered here.
        self._origins: WeakValueDictionary[tuple[str, bytes], Origin] = WeakValueDictionary()
        self._prefixes: dict[str, Origin] = {}

    def __missing__(self, head: RequestHead) -> EncodedHead:
        method, base = head.method, head.base
        slash = base.find("/", 8)
        prefix, start = (base, "") if slash < 0 else (base[:slash], base[slash:])
        origin = self._prefixes.get(prefix)
        if origin is None:
            origin, start = self._locate(base, prefix, start)
        start, fragment, _ = start.partition("#")
        _check_method(method)
        _check_target(start or "/")
        lines, closes = _encoded_lines(head.headers, origin)
        # A fragment is not sent; with this precision nothing is left of the path that belongs to it.
        rest = b"%.0b" if fragment else b"%b"
        begin = f"{method} {start}".replace("%", "%%").encode() + rest + b" HTTP/1.1\r\n" + lines.replace(b"%", b"%%")
        length = b"content-length: 0\r\n" if method in _BODY_EXPECTED else b""
        encoded = self[head] = EncodedHead(
            origin=origin,
            start=start,
            with_body=begin + b"content-length: %d\r\n\r\n%b",
            without_body=begin + length + b"\r\n",
            closes=closes,
            is_head_only=method == "HEAD",
            longest=-1 if closes or method == "HEAD" else MAX_WRITE_SIZE,
        )
        return encoded

    def __setitem__(self, head: RequestHead, encoded: EncodedHead) -> None:
        if len(self) >= self._max_remembered:
            self.clear()
        super().__setitem__(head, encoded)

    def _locate(self, base: str, prefix: str, start: str) -> tuple[Origin, str]:
        """Parse a base whose beginning is not remembered; return its origin, and the beginning of the target."""
        try:
            parsed = httpx.URL(base)
        except UnicodeEncodeError:
            raise httpx.InvalidURL("The URL has characters that have no encoding") from None
        origin = self.origin_of(parsed)
        if "?" in prefix or "#" in prefix:
            return origin, parsed.raw_path.decode("ascii") + ("#" if "#" in base else "")
        if len(self._prefixes) >= self._max_remembered:
            self._prefixes.clear()
        self._prefixes[prefix] = origin
        return origin, start

    def origin_of(self, url: httpx.URL) -> Origin:
        """Return the one origin for all URLs with the same scheme, host and port."""
        key = url.scheme, url.netloc
        origin = self._origins.get(key)
        if origin is None:
            if url.scheme not in _PORTS:
                raise httpx.UnsupportedProtocol("The URL has to begin with http:// or https://")
            if not url.host:
                raise httpx.UnsupportedProtocol("The URL names no host")
            host = url.raw_host.decode("ascii")
            port = _PORTS[url.scheme] if url.port is None else url.port
            origin = Origin(host, port, url.scheme == "https", url.netloc)
            self._origins[key] = origin
        return origin


@dataclass(frozen=True, slots=True)
class StreamedRequest:
    """
    A request of httpx's: its head, whether it is the last of its connection, and how its body is sent.

    `body` is set only if the body is at hand and small. With no `length` the body goes in chunks.
    """

    head: bytes = field(repr=False)
    closes: bool
    length: int | None
    body: bytes | None = field(repr=False)


def _encoded_lines(headers: Mapping[str, str], origin: Origin) -> tuple[bytes, bool]:
    try:
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    except UnicodeEncodeError:
        raise httpx.LocalProtocolError("A header has characters that HTTP has no bytes for") from None
    fields, framing = _encoded(raw)
    if b"transfer-encoding" in framing:
        raise httpx.LocalProtocolError("A request that is sent whole has no Transfer-Encoding; leave it out")
    lines = [line for name, _, line in fields if name != b"content-length"]
    if b"host" not in framing:
        lines.insert(0, b"Host: %b\r\n" % origin.authority)
    return b"".join(lines), _closes(fields)


def _closes(fields: list[_Field]) -> bool:
    """Return whether a request asks for the end of its connection (RFC 9112, 9.6)."""
    return any(
        key == b"connection" and b"close" in map(bytes.strip, value.lower().split(b",")) for key, value, _ in fields
    )


def _check_target(target: str) -> None:
    """Raise if anything in a target could end it early."""
    if not (target and target.isascii() and target.isprintable()) or " " in target:
        raise httpx.LocalProtocolError(
            "The request's target has spaces, control characters or letters beyond ASCII; percent-encode them"
        )


def _check_method(method: str) -> None:
    if method not in _METHODS:
        if method == "CONNECT":
            raise httpx.LocalProtocolError("CONNECT is for proxies, which this transport does not use")
        if not method.isascii() or not _TOKEN.fullmatch(method.encode()):
            raise httpx.LocalProtocolError("The request's method is not an HTTP token")


def _encoded(raw: Iterable[tuple[bytes, bytes]]) -> tuple[list[_Field], dict[bytes, bytes]]:
    """
    Return the lower-case name, the value and the line of each header, and the values of those that frame the request.

    Raises if anything in a header could end it early or begin another.
    """
    fields: list[_Field] = []
    framing: dict[bytes, bytes] = {}
    for name, value in raw:
        if not _TOKEN.fullmatch(name):
            raise httpx.LocalProtocolError("A header's name is not an HTTP token")
        if _NOT_IN_A_VALUE.search(value):
            raise httpx.LocalProtocolError(f"The value of the header {name.decode()} has control characters")
        key = name.lower()
        if key in _FRAMING:
            if key in framing:
                raise httpx.LocalProtocolError(f"The header {name.decode()} is there twice")
            framing[key] = value
        elif key == b"upgrade":
            raise httpx.LocalProtocolError("This transport cannot change to another protocol; leave out Upgrade")
        fields.append((key, value, b"%b: %b\r\n" % (name, value)))
    return fields, framing


def encode_httpx_request(request: httpx.Request, origin: Origin) -> StreamedRequest:
    """Encode a request of httpx's; raises `TypeError` if its body is a synchronous stream."""
    stream = request.stream
    body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else None
    if body is None and not isinstance(stream, AsyncIterable):
        raise TypeError("Under an AsyncClient a request's body has to be an async stream.")
    target: bytes = request.extensions.get("target", request.url.raw_path)
    _check_method(request.method)
    _check_target(target.decode("latin-1"))
    fields, framing = _encoded(request.headers.raw)
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), target)]
    if b"host" not in framing:
        lines.append(b"Host: %b\r\n" % origin.authority)
    lines += [line for _, _, line in fields]
    length = _body_length(framing, body)
    if length is None:
        body = None
        if b"transfer-encoding" not in framing:
            lines.append(b"Transfer-Encoding: chunked\r\n")
    elif b"content-length" not in framing and (body or request.method in _BODY_EXPECTED):
        lines.append(b"Content-Length: %d\r\n" % length)
    lines.append(b"\r\n")
    if body is not None and len(body) > MAX_WRITE_SIZE:
        body = None
    return StreamedRequest(b"".join(lines), _closes(fields), length, body)


def _body_length(framing: dict[bytes, bytes], body: bytes | None) -> int | None:
    """Return the length of a body from its headers or else from itself; without one it has to go in chunks."""
    coding, stated = framing.get(b"transfer-encoding"), framing.get(b"content-length")
    if coding is not None:
        if stated is not None or coding.lower() != b"chunked":
            raise httpx.LocalProtocolError("A request has either a Content-Length or Transfer-Encoding: chunked")
        return None
    if stated is None:
        return None if body is None else len(body)
    if not stated.isdigit() or (body is not None and len(body) != int(stated)):
        raise httpx.LocalProtocolError("The request's Content-Length is not the length of its body")
    return int(stated)
