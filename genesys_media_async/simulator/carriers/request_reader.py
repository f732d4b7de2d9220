"""
The parsing of HTTP/1.1 requests from the bytes of one connection, within the limits of head and body.

The reader has no socket: bytes go in by `feed`, and what they contain comes out through a `RequestConsumer`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import httptools

from ..messages import MAX_BODY_BYTES, Request

MAX_HEAD_BYTES = 64 * 1024
MAX_DRAINED_BYTES = 8 * MAX_BODY_BYTES
"""Bytes of an oversized body that are read and dropped, so that its sender can read the 413."""


class RequestConsumer(Protocol):
    """The receiver of what a `RequestReader` has parsed."""

    def on_request(self, request: Request, *, keep_alive: bool) -> None:
        """Take a request; without `keep_alive` it is the connection's last."""
        ...

    def on_refusal(self, status: HTTPStatus) -> None:
        """Take the status for bytes that are no acceptable request; nothing follows."""
        ...

    def on_continue_expected(self) -> None:
        """Learn that a client waits for `100 Continue` before it sends its body."""
        ...


class RequestReader:
    """
    Parses the requests of one connection.

    `finished` is true once no further request can follow; later bytes are ignored. `continue_expected` is true while a
    client waits for `100 Continue`.
    """

    def __init__(self, consumer: RequestConsumer) -> None:
        self.finished = False
        self.continue_expected = False
        self._consumer = consumer
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = False
        self._began_in_this_read = False
        self._has_delivered = False
        self._start_message()

    def __repr__(self) -> str:
        return f"<RequestReader{': finished' if self.finished else ''}>"

    def feed(self, data: bytes) -> None:
        """Parse bytes and hand every complete request to the consumer."""
        if self.finished:
            return
        self._began_in_this_read = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.finished = True
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        if self._in_head and not self._began_in_this_read:
            self._head_reads += len(data)
        if self._in_head:
            self._check_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._start_message()
        self._in_head = True
        self._began_in_this_read = True

    def on_url(self, url: bytes) -> None:
        """Add a piece of the target."""
        self._target += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; the values of a repeated one are joined with commas."""
        self._head_bytes += len(name) + len(value)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Check the size of the head, and answer a client that expects `100 Continue`."""
        self._in_head = False
        self._check_head()
        expectation = self._headers.get("expect")
        if expectation is None or self.finished or expectation.lower() != "100-continue":
            return
        length = self._headers.get("content-length", "")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            self._too_large = True
            self._deliver(keep_alive=False)
            return
        self.continue_expected = True
        self._consumer.on_continue_expected()

    def on_body(self, body: bytes) -> None:
        """Add a piece of the body, or drop it beyond the limit."""
        self.continue_expected = False
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._chunks.append(body)
            return
        self._too_large = True
        self._chunks.clear()
        if self._body_bytes > MAX_DRAINED_BYTES and not self.finished:
            self._deliver(keep_alive=False)

    def on_message_complete(self) -> None:
        """Hand over a complete request."""
        self.continue_expected = False
        if self._parser.should_upgrade():
            # The parser has passed over the body, so the request cannot be answered as if it had asked for no upgrade.
            self._refuse(HTTPStatus.NOT_IMPLEMENTED)
        if not self.finished:
            self._deliver(keep_alive=self._parser.should_keep_alive())

    def _start_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        # Two lower bounds of the head's size: what the parser has reported, and the reads that contained nothing else.
        self._head_bytes = 0
        self._head_reads = 0
        self._too_large = False

    def _deliver(self, *, keep_alive: bool) -> None:
        chunks = self._chunks
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._target.decode("latin-1"),
            self._headers,
            chunks[0] if len(chunks) == 1 else b"".join(chunks),
            self._too_large,
            self._has_delivered,
        )
        self._has_delivered = True
        self.finished = not keep_alive
        self._consumer.on_request(request, keep_alive=keep_alive)

    def _check_head(self) -> None:
        if max(self._head_bytes, self._head_reads) > MAX_HEAD_BYTES:
            self._in_head = False
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refuse(self, status: HTTPStatus) -> None:
        if not self.finished:
            self.finished = True
            self._consumer.on_refusal(status)
