"""One HTTP/1.1 connection: writes a request, and hands what comes back to llhttp until the reply is whole."""

from __future__ import annotations

import asyncio
import math
import select
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

MAX_HEAD = 64 * 1024
"""Bytes a reply may spend on anything but its body: interim replies, its head, chunk extensions and trailers."""

MAX_HEADERS = 256
MAX_NAMES = 256
"""Header names that are kept decoded, or a reply's more: a server's replies have the same ones again and again."""

PIECE = 64 * 1024
"""Bytes of a request that are written at once where somebody waits for the peer to take them."""

READ_AHEAD = 256 * 1024
"""Bytes of a streamed body that may wait to be taken before the peer is made to wait."""

TRUSTED_IDLE = 1.0
"""Seconds for which an idle connection is believed to be alive without asking the operating system."""

_SWITCHING_PROTOCOLS = 101
_FIRST_STATUS = 100
_FIRST_FINAL_STATUS = 200
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_SWITCHES = "The server switches to another protocol, which was not asked for"


class TooLarge(httpx.RemoteProtocolError):
    """The body of a reply is longer than its caller allows."""

    def __init__(self, longest: float, status: int) -> None:
        super().__init__(f"The reply has more than {longest} bytes")
        self.status = status


class Connection(asyncio.BufferedProtocol):
    """
    Carries one exchange at a time; that there is only one is up to its owner.

    The caller begins, waits, and finds in `failure` what went wrong, or in `status`, `headers` and `chunks` what came;
    the reply is whole once `complete` is set. A streamed one has a `reason` and a `version`, too, and in place of
    `headers` the `raw_headers`, names and values as they came. Bytes that nobody asked for close the connection, so
    that they cannot be taken for the next caller's.

    What arrives is read into `buffer` and parsed at once, so all connections of an event loop share one.
    """

    __slots__ = (
        "_buffer",
        "_fields",
        "_gone",
        "_head_left",
        "_head_only",
        "_on_gone",
        "_on_lost",
        "_parser",
        "_reading_paused",
        "_received",
        "_streamed",
        "_transport",
        "_waiter",
        "_writing_paused",
        "_written",
        "chunks",
        "complete",
        "deadline",
        "failure",
        "headers",
        "idle_since",
        "keep_alive",
        "longest",
        "now",
        "raw_headers",
        "reason",
        "retire_at",
        "sending",
        "sent",
        "status",
        "version",
    )

    def __init__(
        self,
        buffer: memoryview,
        *,
        now: Callable[[], float],
        on_gone: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self._buffer = buffer
        self.now = now
        self._on_gone = on_gone
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._gone = False
        self._writing_paused = False
        self._reading_paused = False
        self._head_only = False
        self._received = 0
        self._written = 0
        self._head_left = MAX_HEAD
        self._fields: dict[bytes, bytes] = {}
        self.longest: float = 0
        self.deadline = math.inf
        self.idle_since = 0.0
        self.retire_at = math.inf
        self.failure: httpx.TransportError | None = None
        self.complete = True
        self.keep_alive = True
        self.sending = False
        self.sent = True
        self.status = 0
        self.reason = b""
        self.version = ""
        self.headers: dict[str, str] = {}
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self._listen(streamed=False)

    # What the owner asks.

    @property
    def is_open(self) -> bool:
        """Whether a request may be written, as far as the event loop knows."""
        return not self._gone and not self._transport.is_closing()

    @property
    def answered(self) -> bool:
        """Whether the head of the reply is here, or none will come."""
        return self.failure is not None or self.status >= _FIRST_FINAL_STATUS

    def is_fresh(self, now: float) -> bool:
        """Whether an idle connection can be used again; one that rested for long is asked whether its peer left."""
        if now >= self.deadline or self._gone or self._transport.is_closing():
            return False
        return now - self.idle_since <= TRUSTED_IDLE or not self._has_something_to_read()

    def is_reusable(self) -> bool:
        """Whether a reply has come to its end with both sides ready for another, and the request was taken whole."""
        return (
            self.complete
            and self.keep_alive
            and self.sent
            and not self._gone
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
            # Over TLS that does not count what has been encrypted.
            and (self._written <= PIECE or self._takes_more())
        )

    def _has_something_to_read(self) -> bool:
        socket = self._transport.get_extra_info("socket")
        return socket is not None and _is_ready(socket, to_write=False)

    def _takes_more(self) -> bool:
        socket = self._transport.get_extra_info("socket")
        return socket is None or _is_ready(socket, to_write=True)

    # What the caller does.

    def begin(
        self, data: bytes, deadline: float, longest: float, *, head_only: bool, streamed: bool = False
    ) -> asyncio.Future[None]:
        """
        Write a request, or the first part of it, and return what is done as soon as there is news.

        Who has more to write says so by `sending`, and by `sent` when it was not all.

        News is a whole reply or a failure; if the reply is streamed, then also its head and every piece of its body.
        A body of more than `longest` bytes is a failure; what is streamed waits at its sender instead.
        """
        if streamed or self._streamed or self._head_only:
            self._listen(streamed=streamed)
        self.deadline = deadline
        self.longest = longest
        self._head_only = head_only
        self._head_left = MAX_HEAD
        self._received = 0
        self.status = 0
        self.chunks.clear()
        self.complete = False
        self._written = len(data)
        waiter = self.news()
        self._transport.write(data)
        return waiter

    def write(self, data: bytes) -> None:
        """Write another part of a request."""
        if self.is_open:
            self._written += len(data)
            self._transport.write(data)

    @property
    def may_write(self) -> bool:
        """Whether the peer keeps up with what is written."""
        return not self._writing_paused

    def news(self) -> asyncio.Future[None]:
        """Return what is done at the next news; for one caller at a time."""
        # What the loop's `create_future` makes too, in three times the time.
        waiter: asyncio.Future[None] = asyncio.Future()
        self._waiter = waiter
        return waiter

    def take(self) -> list[bytes]:
        """Return the pieces of a streamed body that have come, and let more come."""
        chunks, self.chunks, self._received = self.chunks, [], 0
        if self._reading_paused:
            self._reading_paused = False
            if self.is_open:
                self._transport.resume_reading()
        return chunks

    def expire(self) -> None:
        """End what takes longer than its deadline allows."""
        if self.complete:
            self.close()
        elif self.sending:
            self.fail(httpx.WriteTimeout("The request was not taken in time."))
        else:
            self.fail(httpx.ReadTimeout("The reply did not come in time."))

    def fail(self, error: httpx.TransportError) -> None:
        """End the connection, and tell the caller why, unless the reply is whole already."""
        if not self.complete and self.failure is None:
            self.failure = error
        self.abort()
        self._tell()

    def close(self) -> None:
        """Close politely where nothing is under way; what was not yet sent is not worth waiting for."""
        if self._gone:
            return
        if self.complete and not self._transport.get_write_buffer_size():
            self._transport.close()
        else:
            self._transport.abort()
        self._leave()

    def forsake(self) -> None:
        """Carry nothing more, since the event loop is closed."""
        self._gone = True
        if not self.complete and self.failure is None:
            self.failure = httpx.CloseError("The event loop was closed before the reply was complete")

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()
        self._leave()

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            self._on_gone(self)

    def _tell(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Say where to put what arrives."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived."""
        if self.complete:
            self.abort()
            return
        pieces = len(self.chunks)
        if not self._streamed:
            self._received += nbytes
        try:
            if self.status or (nbytes <= self._head_left and not self._head_only):
                self._parser.feed_data(self._buffer[:nbytes])
            else:
                self._feed_head(self._buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self.fail(httpx.RemoteProtocolError(_SWITCHES))
        except httptools.HttpParserError as error:
            self._mistrust(error)
        if not self.complete:
            self._go_on(0 if len(self.chunks) > pieces else nbytes)

    def _go_on(self, overhead: int) -> None:
        """See to what an unfinished reply has come to, with so many more bytes that are no body."""
        if overhead:
            self._head_left -= overhead
            if self._head_left <= 0:
                self.fail(httpx.RemoteProtocolError(f"The reply's head has more than {MAX_HEAD} bytes"))
        elif self._streamed:
            # Of a stream that lasts, the sizes of the chunks add up to any number of bytes.
            self._head_left = MAX_HEAD
        if self._streamed:
            self._tell()
        elif self._is_too_large():
            self.fail(TooLarge(self.longest, self.status))

    def eof_received(self) -> None:
        """End a reply that lasts until the connection is closed; any other is cut off."""
        self._end(None)
        # The event loop would wait, without end, until the peer takes the rest.
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the caller, if it is not yet known."""
        self._end(exc)
        self._on_lost(self)
        # It holds this object's methods, as this object holds it.
        del self._parser

    def pause_writing(self) -> None:
        """Let the caller wait before it writes more."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Let the caller write on; it is told by a future, since nobody may close a transport from in here."""
        self._writing_paused = False
        self._tell()

    # What llhttp tells.

    def _listen(self, *, streamed: bool) -> None:
        """
        Have a parser that tells what is wanted of a reply.

        A call from C to Python for each header is dear: where order and repetition do not matter, a dict takes them.
        """
        self._streamed = streamed
        told = SimpleNamespace(
            on_message_begin=self._on_message_begin,
            on_headers_complete=self._on_headers_complete,
            on_message_complete=self._on_message_complete,
            on_header=self._fields.__setitem__,
            on_body=self.chunks.append,
        )
        if streamed:
            self.reason, self.raw_headers, self.chunks = b"", [], []
            told.on_status, told.on_header, told.on_body = self._on_status, self._on_header, self._on_body
        self._parser = httptools.HttpResponseParser(told)

    def _on_message_begin(self) -> None:
        """Stop at what follows a whole reply."""
        if self.complete:
            raise httptools.HttpParserError("There is more than one reply")
        self._fields.clear()

    def _on_status(self, reason: bytes) -> None:
        """Take the reason phrase, which may come in pieces."""
        self.reason += reason

    def _on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but no trailer."""
        if not self.status:
            self.raw_headers.append((name, value))

    def _on_headers_complete(self) -> None:
        """Take the head; what is told of headers later are trailers."""
        self.status = self._parser.get_status_code()
        fields: dict[bytes, bytes] | list[tuple[bytes, bytes]] = self._fields
        if self._streamed:
            self.version = self._parser.get_http_version()
            fields = self.raw_headers
        else:
            self.headers = decoded(self._fields)
        if len(fields) > MAX_HEADERS:
            self.fail(httpx.RemoteProtocolError(f"The reply has more than {MAX_HEADERS} headers"))
        elif self.status < _FIRST_STATUS:
            self.fail(httpx.RemoteProtocolError(f"The reply has the status {self.status:03}, which there is not"))
        elif self._head_only and self.status >= _FIRST_FINAL_STATUS:
            self._finish()

    def _on_body(self, body: bytes) -> None:
        """Take a piece of a streamed body, and let the peer wait if there is much."""
        self.chunks.append(body)
        self._received += len(body)
        if self._received > READ_AHEAD and not self._reading_paused and self.is_open:
            self._reading_paused = True
            self._transport.pause_reading()

    def _on_message_complete(self) -> None:
        """Finish, unless this was only an interim reply."""
        if self.complete:
            return
        if self.status >= _FIRST_FINAL_STATUS:
            self._finish()
        elif self.status == _SWITCHING_PROTOCOLS:
            self.fail(httpx.RemoteProtocolError(_SWITCHES))
        else:
            self.status = 0
            self.reason = b""
            self.raw_headers.clear()

    def _finish(self) -> None:
        if self._received > self.longest and self._is_too_large():
            self.fail(TooLarge(self.longest, self.status))
            return
        self.complete = True
        self.keep_alive = self._parser.should_keep_alive()
        self._tell()

    def _is_too_large(self) -> bool:
        return self._received > self.longest and sum(map(len, self.chunks)) > self.longest

    def _feed_head(self, data: memoryview) -> None:
        """
        Feed a head that may be too long, or that is all there is of a reply.

        llhttp cannot be told that no body follows a head, so where it ends has to be found out byte by byte.
        """
        step = 1 if self._head_only else self._head_left
        for start in range(0, len(data), step):
            if self.complete:
                self.abort()
                break
            self._parser.feed_data(data[start : start + step])
            if not self._head_only and not self.status:
                break

    def _mistrust(self, error: httptools.HttpParserError) -> None:
        """Give up a connection whose peer does not speak HTTP; what it sent before that stays good."""
        self.fail(httpx.RemoteProtocolError(f"The server does not keep to HTTP ({error})"))

    def _end(self, error: Exception | None) -> None:
        if not self.complete:
            if error is None and self.status and not self._has_length():
                self.complete = True
            elif self.failure is None:
                self.failure = self._cut_off(error)
        self._leave()
        self._tell()

    def _has_length(self) -> bool:
        return any(name.lower() in _FRAMING for name in (dict(self.raw_headers) if self._streamed else self._fields))

    def _cut_off(self, error: Exception | None) -> httpx.TransportError:
        if self.sending:
            return httpx.WriteError(f"The connection broke while the request was sent ({error or 'closed'})")
        if error is not None:
            return httpx.ReadError(f"The connection broke before the reply was complete ({error})")
        return httpx.RemoteProtocolError("The server closed the connection before the reply was complete")


def _is_ready(socket: socket, *, to_write: bool) -> bool:
    """Ask the operating system whether a socket can be read, or written to, without waiting."""
    if not hasattr(select, "poll"):
        readable, writable, _ = select.select([] if to_write else [socket], [socket] if to_write else [], [], 0)
        return bool(readable or writable)
    poll = select.poll()
    poll.register(socket, select.POLLOUT if to_write else select.POLLIN)
    return bool(poll.poll(0))


def decoded(fields: dict[bytes, bytes]) -> dict[str, str]:
    """Return headers by their names in lower case; the values are UTF-8 or else Latin-1, as httpx has it."""
    try:
        return {_NAMES[name]: value.decode() for name, value in fields.items()}
    except (KeyError, UnicodeDecodeError):
        if len(_NAMES) >= MAX_NAMES:
            _NAMES.clear()
        _NAMES.update((name, name.decode("latin-1").lower()) for name in fields)
    try:
        return {_NAMES[name]: value.decode() for name, value in fields.items()}
    except UnicodeDecodeError:
        return {_NAMES[name]: value.decode("latin-1") for name, value in fields.items()}


_NAMES: dict[bytes, str] = {}
