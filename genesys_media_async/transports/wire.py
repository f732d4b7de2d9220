"""What goes out: the head of a request as bytes, with nothing in it that could smuggle another."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import httpx

from .connection import PIECE
from .connections import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .base import HttpRequest

    _Field = tuple[bytes, bytes, bytes]

MAX_REMEMBERED = 64
"""How many beginnings of URLs and header mappings are kept to save work, each."""

_PORTS = {"http": 80, "https": 443}
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_A_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _Lines:
    """A header mapping as it goes out to an origin, to which all URLs lead that begin with `prefix`."""

    headers: Mapping[str, str]
    origin: Origin
    prefix: str
    path_at: int
    encoded: bytes
    closes: bool


class Encoder:
    """Turns requests into bytes, and remembers what many of them have in common."""

    def __init__(self) -> None:
        # One lives as long as there are connections to it, or anything else here remembers it.
        self._origins: WeakValueDictionary[tuple[str, bytes], Origin] = WeakValueDictionary()
        self._prefixes: dict[str, Origin] = {}
        self._lines: dict[int, _Lines] = {}

    def encode(self, request: HttpRequest) -> tuple[Origin, bool, bytes]:
        """Return where a request goes, whether it is the last of its connection, and all its bytes."""
        url, method, body, headers = request.url, request.method, request.body, request.headers
        lines = self._lines.get(id(headers))
        if lines is not None and lines.headers is headers and url.startswith(lines.prefix):
            path = url[lines.path_at :]
        else:
            lines, path = self._lines_of(headers, url)
        if "#" in path:
            path = path[: path.index("#")]
        _check_start(method, path)
        length = f"content-length: {len(body)}\r\n\r\n" if body or method in _BODY_EXPECTED else "\r\n"
        start = f"{method} {path} HTTP/1.1\r\n"
        return lines.origin, lines.closes, b"".join((start.encode(), lines.encoded, length.encode(), body))

    def _lines_of(self, headers: Mapping[str, str], url: str) -> tuple[_Lines, str]:
        """Return a header mapping's lines, and the URL's path, remembering what other requests may share."""
        slash = url.find("/", 8)
        origin = self._prefixes.get(url[:slash]) if slash > 0 else None
        if origin is None:
            origin, path = self._located(url)
        else:
            path = url[slash:]
        lines = _Lines(headers, origin, url[: slash + 1], slash, *_encoded_lines(headers, origin))
        if slash > 0 and url[:slash] in self._prefixes:
            if len(self._lines) >= MAX_REMEMBERED:
                self._lines.clear()
            self._lines[id(headers)] = lines
        return lines, path

    def _located(self, url: str) -> tuple[Origin, str]:
        """Parse a URL whose beginning was not yet seen, or that has no path."""
        try:
            parsed = httpx.URL(url)
        except UnicodeEncodeError:
            raise httpx.InvalidURL("The URL has characters that have no encoding") from None
        origin = self.origin_of(parsed)
        slash = url.find("/", 8)
        prefix = url[:slash]
        if slash < 0 or "?" in prefix or "#" in prefix:
            return origin, parsed.raw_path.decode("ascii")
        if len(self._prefixes) >= MAX_REMEMBERED:
            self._prefixes.clear()
        self._prefixes[prefix] = origin
        return origin, url[slash:]

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
    """Tell whether a request asks for the end of its connection (RFC 9112, 9.6)."""
    return any(
        key == b"connection" and b"close" in map(bytes.strip, value.lower().split(b",")) for key, value, _ in fields
    )


def _check_start(method: str, target: str) -> None:
    """Refuse a first line with anything in it that could end it early."""
    if not (target and target.isascii() and target.isprintable()) or " " in target:
        raise httpx.LocalProtocolError(
            "The request's target has spaces, control characters or letters beyond ASCII; percent-encode them"
        )
    if method not in _METHODS:
        if method == "CONNECT":
            raise httpx.LocalProtocolError("CONNECT is for proxies, which this transport does not speak to")
        if not method.isascii() or not _TOKEN.fullmatch(method.encode()):
            raise httpx.LocalProtocolError("The request's method is no HTTP token")


def _encoded(raw: Iterable[tuple[bytes, bytes]]) -> tuple[list[_Field], dict[bytes, bytes]]:
    """
    Return the lower-case name, the value and the line of each header, and those that say how the request is framed.

    Nothing may be in a header that could end it early or begin another.
    """
    fields: list[_Field] = []
    framing: dict[bytes, bytes] = {}
    for name, value in raw:
        if not _TOKEN.fullmatch(name):
            raise httpx.LocalProtocolError("A header's name is no HTTP token")
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


def httpx_head(request: httpx.Request, origin: Origin) -> tuple[bytes, int | None, bytes | None, bool]:
    """
    Return the head of a request of httpx's, the length of its body, the body, and if this is its connection's last.

    Without a length the body goes in chunks; it is returned only where it is at hand and small.
    """
    stream = request.stream
    body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else None
    if body is None and not isinstance(stream, AsyncIterable):
        raise TypeError("Under an AsyncClient a request's body has to be an async stream.")
    target: bytes = request.extensions.get("target", request.url.raw_path)
    _check_start(request.method, target.decode("latin-1"))
    fields, framing = _encoded(request.headers.raw)
    lines = [b"%b %b HTTP/1.1\r\n" % (request.method.encode(), target)]
    if b"host" not in framing:
        lines.append(b"Host: %b\r\n" % origin.authority)
    lines += [line for _, _, line in fields]
    coding, said = framing.get(b"transfer-encoding"), framing.get(b"content-length")
    if coding is not None:
        if said is not None or coding.lower() != b"chunked":
            raise httpx.LocalProtocolError("A request has either a Content-Length or Transfer-Encoding: chunked")
        length = body = None
    elif said is not None:
        if not said.isdigit() or (body is not None and len(body) != int(said)):
            raise httpx.LocalProtocolError("The request's Content-Length is not the length of its body")
        length = int(said)
    elif body is None:
        lines.append(b"Transfer-Encoding: chunked\r\n")
        length = None
    else:
        length = len(body)
        if body or request.method in _BODY_EXPECTED:
            lines.append(b"Content-Length: %d\r\n" % length)
    lines.append(b"\r\n")
    if body is not None and len(body) > PIECE:
        body = None
    return b"".join(lines), length, body, _closes(fields)
