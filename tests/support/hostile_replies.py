"""What servers and gateways answer, or could: a table of behaviours with their outcome."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    Behave = Callable[[asyncio.StreamWriter], Awaitable[None]]

OK = "ok"
CUT, JSON, SHAPE = "connection_error", "reply_not_json", "reply_shape"
"""The codes of a connection that broke or did not keep to HTTP, of another content type, and of another shape."""

FIELDS: dict[str, object] = {"url": "https://media.example.com/a.wav", "expiresIn": 3_600, "contentType": "audio/wav"}
GOOD = json.dumps(FIELDS).encode()
JSON_TYPE = b"content-type: application/json\r\n"
PAGE = b"<html><title>Blocked</title></html>"
SECOND = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(GOOD.replace(b"media.", b"evil.")),
    GOOD.replace(b"media.", b"evil."),
)

ROUNDS, PAUSE = 50, 0.02
"""How long a slow server lasts, in pieces and in seconds between them."""


@dataclass(frozen=True)
class Case:
    """
    What one server does with a request; `by_httpx` is the outcome over httpx if that differs.

    It may close the connection when that is done, or be so `slow` that a timeout ends it.
    """

    name: str
    behaviour: bytes | Behave
    outcome: str
    by_httpx: str | None = None
    closes: bool = False
    slow: bool = False

    def expected(self, transport: str) -> str:
        return self.by_httpx if transport == "httpx" and self.by_httpx is not None else self.outcome


def whole(body: bytes = GOOD, status: bytes = b"200 OK", headers: bytes = JSON_TYPE) -> bytes:
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def head(headers: bytes, body: bytes = GOOD, status_line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"%b\r\n%b%b\r\n%b" % (status_line, JSON_TYPE, headers, body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return head(b"transfer-encoding: chunked\r\n", b"".join(chunks) + end)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def fields(**changes: object) -> bytes:
    return whole(json.dumps(FIELDS | changes).encode())


def written(text: str) -> bytes:
    """A good reply with one more member, which is written like this."""
    return whole(GOOD[:-1] + f', "x": {text}}}'.encode(errors="surrogatepass"))


def endless(beginning: bytes, piece: bytes) -> Behave:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return behave


def slow(beginning: bytes, piece: bytes = b"") -> Behave:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        # As nothing else notices that the client has left, this ends by itself, after its timeout.
        for _ in range(ROUNDS):
            writer.write(piece)
            await asyncio.sleep(PAUSE)

    return behave


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def half_closed(writer: asyncio.StreamWriter) -> None:
    writer.write(whole())
    writer.write_eof()


def status_lines() -> Iterator[Case]:
    for name, line, outcome, by_httpx in (
        ("HTTP/1.0", b"HTTP/1.0 200 OK", OK, OK),
        ("no reason", b"HTTP/1.1 200", OK, OK),
        ("a space for a reason", b"HTTP/1.1 200 ", OK, OK),
        ("a reason beyond ASCII", "HTTP/1.1 200 Größe".encode("latin-1"), OK, OK),
        ("escapes for a reason", b"HTTP/1.1 200 \x1b[2J", OK, OK),
        ("a reason of 200 kB", b"HTTP/1.1 200 " + b"x" * 200_000, CUT, CUT),
        ("a NUL in the reason", b"HTTP/1.1 200 O\x00K", OK, CUT),
        ("two spaces", b"HTTP/1.1  200 OK", CUT, CUT),
        ("two digits", b"HTTP/1.1 20 OK", CUT, CUT),
        ("four digits", b"HTTP/1.1 2000 OK", CUT, CUT),
        ("letters", b"HTTP/1.1 abc OK", CUT, CUT),
        ("a minus", b"HTTP/1.1 -20 OK", CUT, CUT),
        ("lower case", b"http/1.1 200 OK", CUT, CUT),
        ("HTTP/1.2", b"HTTP/1.2 200 OK", CUT, OK),
        ("HTTP/2.0", b"HTTP/2.0 200 OK", OK, OK),
        ("HTTP/9.9", b"HTTP/9.9 200 OK", CUT, OK),
        ("Icecast", b"ICY 200 OK", CUT, CUT),
    ):
        yield Case(f"status line: {name}", head(b"content-length: %d\r\n" % len(GOOD), GOOD, line), outcome, by_httpx)
    for name, raw in (
        ("HTTP/0.9", GOOD),
        ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("HTTP/2 settings", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
        ("TLS alert", b"\x15\x03\x01\x00\x02\x02\x28"),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("mail", b"220 mail.example.com ESMTP\r\n"),
        ("a request", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("noise", bytes(range(256)) * 8),
        ("nothing", b""),
    ):
        yield Case(f"protocol: {name}", raw, CUT, closes=True)


def statuses() -> Iterator[Case]:
    outcomes = {
        **dict.fromkeys((201, 202, 203, 206, 226, 299), OK),
        **dict.fromkeys((300, 301, 302, 303, 305, 307, 308, 399), "unexpected_status"),
        **dict.fromkeys(
            (400, 402, 403, 404, 405, 407, 408, 409, 410, 413, 418, 421, 426, 431, 451, 499), "not_from_genesys"
        ),
        401: "token_rejected",
        **dict.fromkeys((500, 501, 502, 503, 504, 505, 507, 511, 520, 522, 529, 599), "internal_server_error"),
        **dict.fromkeys((600, 777, 999), "not_from_genesys"),
    }
    for status, outcome in outcomes.items():
        body = GOOD if status < 300 else PAGE
        headers = JSON_TYPE if status < 300 else b"content-type: text/html\r\nlocation: https://evil.example.com/\r\n"
        yield Case(f"status {status}", whole(body, b"%d X" % status, headers), outcome)
    for status in (0, 42, 99):
        yield Case(f"status {status:03}", whole(status=b"%03d X" % status), CUT)
    yield Case("204 with a body", whole(status=b"204 No Content"), SHAPE)
    yield Case("205 with a body", whole(status=b"205 Reset Content"), OK)
    yield Case("304 with a body", whole(status=b"304 Not Modified"), "unexpected_status")
    yield Case("interim replies", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3 + whole(), OK)
    yield Case("199 before the reply", b"HTTP/1.1 199 X\r\n\r\n" + whole(), OK)
    yield Case(
        "101 without being asked", b"HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n" + whole(), CUT
    )
    yield Case(
        "interim replies for ever", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500), CUT, "timeout", slow=True
    )


def heads() -> Iterator[Case]:
    length = b"content-length: %d\r\n" % len(GOOD)
    for name, headers, outcome, by_httpx in (
        ("a header without a colon", length + b"nonsense\r\n", CUT, CUT),
        ("a header without a name", length + b": x\r\n", CUT, CUT),
        ("a header without a value", length + b"x:\r\n", OK, OK),
        ("a space before the colon", length + b"x : y\r\n", CUT, CUT),
        ("a NUL in a header", length + b"x: a\x00b\r\n", CUT, CUT),
        ("a bare CR in a header", length + b"x: a\rb\r\n", CUT, CUT),
        ("an escape in a header", length + b"inin-correlation-id: a\x1b[31mb\r\n", CUT, OK),
        ("bytes beyond ASCII in a header", length + b"x: \xff\xfe\xc3\xa4\r\n", OK, OK),
        ("a folded header", length + b"x: a\r\n b\r\n", CUT, OK),
        ("a header of 300 kB", length + b"x: " + b"y" * 300_000 + b"\r\n", CUT, CUT),
        ("a name of 300 kB", length + b"x" * 300_000 + b": y\r\n", CUT, CUT),
        ("200 headers", length + b"".join(b"x-%d: y\r\n" % n for n in range(200)), OK, OK),
        ("20,000 headers", length + b"".join(b"x-%d: y\r\n" % n for n in range(20_000)), CUT, CUT),
        ("5,000 equal headers", length + b"set-cookie: a=b; path=/\r\n" * 5_000, CUT, OK),
        ("two equal lengths", length * 2, CUT, OK),
        ("two lengths", length + b"content-length: 3\r\n", CUT, CUT),
        ("two equal lengths in one", b"content-length: %d, %d\r\n" % (len(GOOD), len(GOOD)), CUT, OK),
        ("a negative length", b"content-length: -1\r\n", CUT, CUT),
        ("a length with a plus", b"content-length: +%d\r\n" % len(GOOD), CUT, CUT),
        ("a hexadecimal length", b"content-length: 0x50\r\n", CUT, CUT),
        ("a length that is no number", b"content-length: many\r\n", CUT, CUT),
        ("a length of 30 digits", b"content-length: " + b"9" * 30 + b"\r\n", CUT, CUT),
        ("a length of 10 GB", b"content-length: 9999999999\r\n", CUT, CUT),
        ("a length and chunks", length + b"transfer-encoding: chunked\r\n", CUT, CUT),
        ("gzip as a transfer coding", length + b"transfer-encoding: gzip\r\n", CUT, CUT),
        ("an unknown transfer coding", length + b"transfer-encoding: xchunked\r\n", CUT, CUT),
        ("the connection is closed", length + b"connection: close\r\n", OK, OK),
        ("an upgrade is offered", length + b"upgrade: h2c\r\n", OK, OK),
        ("another clock", length + b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", OK, OK),
    ):
        yield Case(f"head: {name}", head(headers), outcome, by_httpx, closes=True)
    yield Case("head: line feeds only", whole().replace(b"\r\n", b"\n"), CUT, OK, closes=True)
    yield Case("head: carriage returns only", whole().replace(b"\r\n", b"\r"), CUT, closes=True)
    yield Case("head: empty lines before it", b"\r\n\r\n" + whole(), OK, CUT, closes=True)
    yield Case("head: cut off", whole()[:60], CUT, closes=True)
    yield Case("head: never ends", endless(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 500), CUT)
    yield Case("head: one line that never ends", endless(b"HTTP/1.1 200 OK\r\nx: ", b"y" * 5_000), CUT)


def framings() -> Iterator[Case]:
    yield Case("chunks: one", chunked(chunk(GOOD)), OK)
    yield Case("chunks: of one byte", chunked(*(chunk(GOOD[at : at + 1]) for at in range(len(GOOD)))), OK)
    yield Case("chunks: with extensions and trailers", chunked(chunk(GOOD), end=b"0;a=b\r\nx: y\r\n\r\n"), OK)
    yield Case("chunks: trailers that frame", chunked(chunk(GOOD), end=b"0\r\ncontent-length: 3\r\n\r\n"), CUT, OK)
    for name, raw in (
        ("no size", b"\r\n" + GOOD),
        ("a size that is no number", b"zz\r\n" + GOOD),
        ("a negative size", b"-5\r\n" + GOOD),
        ("a size of 64 digits", b"f" * 64 + b"\r\n" + GOOD),
        ("a wrong size", b"5\r\n" + GOOD + b"\r\n0\r\n\r\n"),
        ("an extension of 300 kB", b"5;" + b"x" * 300_000 + b"\r\n" + GOOD),
        ("trailers of 300 kB", chunk(GOOD) + b"0\r\nx: " + b"y" * 300_000),
        ("none but the connection's end", chunk(GOOD)),
        ("half of one", chunk(GOOD)[:20]),
    ):
        yield Case(f"chunks: {name}", chunked(raw, end=b""), CUT, closes=True)
    yield Case("chunks: without end", endless(chunked(end=b""), chunk(b"x" * 5_000)), "reply_too_large")
    yield Case("body: until the connection's end", head(b""), OK, closes=True)
    yield Case("body: cut off", whole()[:-1], CUT, closes=True)
    yield Case("body: empty", whole(b""), SHAPE)
    yield Case("body: more than announced", whole() + b"and more", OK)
    yield Case("body: an empty line after it", whole() + b"\r\n", OK)
    yield Case("body: a second reply after it", whole() + SECOND, OK)
    yield Case("body: a second reply after chunks", chunked(chunk(GOOD)) + SECOND, OK)
    yield Case("body: a second reply after an error", whole(b"{}", b"404 X") + SECOND, "not_found")
    yield Case("body: 200 kB", whole(b" " * 200_000 + GOOD), "reply_too_large")
    yield Case("body: without end", endless(head(b"", b""), b" " * 50_000), "reply_too_large")
    yield Case("body: half closed after it", half_closed, OK)
    yield Case("time: nothing comes", slow(b""), "timeout", slow=True)
    yield Case("time: the head drips", slow(b"HTTP/1.1 200 OK\r\nx: ", b"y"), "timeout", slow=True)
    yield Case("time: the body drips", slow(head(b"content-length: 9999\r\n", b""), b" "), "timeout", slow=True)
    yield Case("time: reset", reset, CUT)


def documents() -> Iterator[Case]:
    for name, raw, outcome in (
        ("a byte order mark", whole(b"\xef\xbb\xbf" + GOOD), OK),
        ("UTF-16", whole(GOOD.decode().encode("utf-16")), SHAPE),
        ("half a surrogate pair, escaped", written(r'"\ud83d"'), OK),
        ("half a surrogate pair, as bytes", written('"\ud83d"'), OK),
        ("Latin-1", whole(GOOD[:-1] + b', "fileName": "M\xfcller.wav"}'), OK),
        ("NaN", written("NaN"), OK),
        ("infinity", written("-Infinity"), OK),
        ("a number beyond floats", written("1e999"), OK),
        ("a number of 5,000 digits", written("9" * 5_000), OK),
        ("10,000 levels", written("[" * 10_000 + "]" * 10_000), SHAPE),
        ("10,000 levels in a level", whole(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), SHAPE),
        ("a text of 60 kB", written(f'"{"x" * 60_000}"'), OK),
        ("a member twice", whole(b'{"url": "https://evil.example.com/", ' + GOOD[1:]), OK),
        ("a list", whole(b"[" + GOOD + b"]"), SHAPE),
        ("a text", whole(json.dumps(GOOD.decode()).encode()), SHAPE),
        ("null", whole(b"null"), SHAPE),
        ("blanks", whole(b" \r\n "), SHAPE),
        ("a NUL at the end", whole(GOOD + b"\x00"), SHAPE),
        ("two of them", whole(GOOD * 2), SHAPE),
        ("half of it", whole(GOOD[:40]), SHAPE),
        ("a comma too many", whole(GOOD[:-1] + b",}"), SHAPE),
        ("a comment", whole(b"/**/" + GOOD), SHAPE),
        ("single quotes", whole(GOOD.replace(b'"', b"'")), SHAPE),
        ("a prefix against hijacking", whole(b")]}',\n" + GOOD), SHAPE),
    ):
        yield Case(f"JSON: {name}", raw, outcome)
    urls: list[object] = [None, 7, True, [], {}, "", ["https://media.example.com/a.wav"]]
    for value in urls:
        yield Case(f"JSON: url {value!r}", fields(url=value), SHAPE)
    lifetimes: list[object] = [None, "3600", 3600.5, True, 0, -1, 10**12, 10**400, float("nan"), []]
    for value in lifetimes:
        yield Case(f"JSON: expiresIn {str(value)[:5]} of {len(str(value))}", fields(expiresIn=value), SHAPE)
    for member in ("fileName", "contentType", "accessLevel"):
        for value in (7, [], {}):
            yield Case(f"JSON: {member} {value!r}", fields(**{member: value}), SHAPE)
    for url, code in (
        ("/relative", "url_malformed"),
        ("https://", "url_malformed"),
        ("https://../x", "url_malformed"),
        ("https://%65vil.com/", "url_malformed"),
        ("https://media.example.com/a b", "url_malformed"),
        ("https://media.example.com/\u202e", "url_malformed"),
        ("javascript:alert(1)", "url_malformed"),
        ("http://media.example.com/", "url_not_https"),
        ("https://user@media.example.com/", "url_user_info"),
        ("https://media.example.com/" + "x" * 20_000, "url_too_long"),
    ):
        yield Case(f"URL {url[:30]!r}", fields(url=url), code)
    yield Case("content type refused", fields(contentType="text/html\x1b[2J"), "content_type_refused")


def labels() -> Iterator[Case]:
    for kind, outcome in (
        ("application/json; charset=utf-16", OK),
        ("application/problem+json", OK),
        ("text/json;a=b", OK),
        ("", OK),
        ("text/html", JSON),
        ("text/plain", JSON),
        ("application/octet-stream", JSON),
        ("application/json, text/html", JSON),
        ("nonsense \xff", JSON),
        ("x" * 20_000, JSON),
    ):
        headers = f"content-type: {kind}\r\n".encode("latin-1")
        yield Case(f"labelled {kind[:30]!r}", whole(headers=headers), outcome)
    yield Case("labelled not at all", whole(headers=b""), OK)
    yield Case("a page with 200", whole(PAGE, headers=b"content-type: text/html\r\n"), JSON)
    yield Case("a page with 200 and no label", whole(PAGE, headers=b""), SHAPE)
    packed, bare = gzip.compress(GOOD), zlib.compressobj(wbits=-15)
    for encoding, body, outcome in (
        ("gzip", packed, OK),
        ("x-gzip, identity", packed, OK),
        ("deflate", zlib.compress(GOOD), OK),
        ("deflate", bare.compress(GOOD) + bare.flush(), OK),
        ("identity", GOOD, OK),
        ("gzip", GOOD, "reply_damaged"),
        ("gzip", packed[:-4], "reply_damaged"),
        ("gzip", packed + b"more", "reply_damaged"),
        ("gzip", gzip.compress(b" " * 20_000_000), "reply_too_large"),
        ("gzip", gzip.compress(b" " * 60_000) * 500, "reply_too_large"),
        ("gzip", gzip.compress(packed), SHAPE),
        ("gzip, gzip", gzip.compress(packed), "reply_compressed"),
        ("br", GOOD, "reply_compressed"),
        ("zstd", GOOD, "reply_compressed"),
        ("nonsense " * 99, GOOD, "reply_compressed"),
    ):
        headers = JSON_TYPE + f"content-encoding: {encoding}\r\n".encode()
        name = f"encoded {encoding[:20]!r}: {len(body)} bytes from {body[:4].hex()} to {body[-4:].hex()}"
        yield Case(name, whole(body, headers=headers), outcome)
    for status, code in (
        (b"403 X", "not_from_genesys"),
        (b"503 X", "internal_server_error"),
    ):
        yield Case(f"{status.decode()} of 500 kB", whole(PAGE + b"x" * 500_000, status, b""), code)
    yield Case("429 in Brotli", whole(b"x", b"429 X", b"content-encoding: br\r\n"), "rate_limited")


CASES = [*status_lines(), *statuses(), *heads(), *framings(), *documents(), *labels()]
