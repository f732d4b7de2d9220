"""One HTTP/1.1 connection: it writes requests, and feeds what arrives to llhttp until the reply is complete."""

from __future__ import annotations

import asyncio
import math
import select
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, NoReturn, cast

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

MAX_HEAD_SIZE = 64 * 1024
"""Bytes of a reply that are not its body: interim replies, its head, chunk extensions and trailers."""

MAX_HEADERS = 256
MAX_NAMES = 256
"""Header names that are kept decoded, besides those of one reply: a server sends the same names again and again."""

MAX_WRITE_SIZE = 64 * 1024
"""Bytes of a request that are written at once when the peer has to take them before more is written."""

TRUSTED_IDLE = 1.0
"""Seconds for which an idle connection counts as alive without a look at its socket."""

_SWITCHING_PROTOCOLS = 101
_FIRST_STATUS = 100
_FIRST_FINAL_STATUS = 200
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_SWITCHES = "The server switches to another protocol, which was not asked for"


class ReplyTooLarge(httpx.RemoteProtocolError):
    """Error for a reply whose body is longer than its caller allows; `encoding` is its Content-Encoding."""

    def __init__(self, max_size: float, status: int, encoding: str) -> None:
        super().__init__(f"The reply has more than {max_size} bytes")
        self.status = status
        self.encoding = encoding


class StaleConnection(httpx.RemoteProtocolError):
    """Error for a connection that had carried other requests and was closed before any byte of this reply."""


class Reply:
    """
    Parses replies, one after the other, and keeps each until the next request begins.

    `status` is 0 until the head of a final reply is parsed; then `headers` are set, too. `chunks` are the pieces of
    the body. `complete` means that no more bytes are expected. After a parser error, `error` is the reason if it
    is not one of HTTP's grammar. With `head_only` (for HEAD) a reply ends with its head, whatever its headers claim.
    """

    __slots__ = (
        "_fields",
        "_head_left",
        "_head_only",
        "_max_head_size",
        "_max_size",
        "_parser",
        "_received",
        "_yet_to_begin",
        "chunks",
        "complete",
        "error",
        "headers",
        "is_full",
        "keep_alive",
        "status",
    )

    is_streamed: ClassVar[bool] = False

    def __init__(self, max_head_size: int = MAX_HEAD_SIZE, *, head_only: bool = False) -> None:
        self._max_head_size = max_head_size
        self._head_only = head_only
        self._max_size: float = 0
        self._head_left = 0
        self._received = 0
        self._yet_to_begin: list[None] = []
        self._fields: dict[bytes, bytes] = {}
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.complete = True
        self.keep_alive = True
        self.is_full = False
        self.error: httpx.TransportError | None = None
        self._parser = httptools.HttpResponseParser(self._callbacks())

    def expect(self, max_size: float) -> None:
        """Prepare for the next reply; a body of more than `max_size` bytes is an error."""
        self._max_size = max_size
        self._head_left = self._max_head_size
        self._received = 0
        self._yet_to_begin.append(None)
        self._fields.clear()
        self.status = 0
        self.chunks.clear()
        self.complete = False

    def feed(self, data: memoryview) -> None:
        """Parse what has arrived; raises `HttpParserError` or `HttpParserUpgrade` for anything but a reply."""
        pieces = len(self.chunks)
        self._received += len(data)
        if self.status or (len(data) <= self._head_left and not self._head_only):
            self._parser.feed_data(data)
        else:
            self._feed_head(data)
        if not self.complete:
            self._check_sizes(0 if len(self.chunks) > pieces else len(data))

    @property
    def has_begun(self) -> bool:
        """Whether any byte of this reply is here."""
        return self._received > 0

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of this reply."""
        return self.status > 0 and not any(name.lower() in _FRAMING for name in self._fields)

    def forget_parser(self) -> None:
        """End the circle of references: the parser holds this object's methods, as this object holds the parser."""
        with suppress(AttributeError):
            del self._parser

    def _callbacks(self) -> SimpleNamespace:
        """
        Return what llhttp calls.

        A call from C to Python for each header is slow, so where order and repetition do not matter a dict takes them.
        `_yet_to_begin` has one element for the one reply that may begin; at a second, `pop` raises and parsing stops.
        """
        return SimpleNamespace(
            on_message_begin=self._yet_to_begin.pop,
            on_header=self._fields.__setitem__,
            on_headers_complete=self._on_headers_complete,
            on_body=self.chunks.append,
            on_message_complete=self._on_message_complete,
        )

    def _on_headers_complete(self) -> None:
        """Take the head; headers that follow later are trailers."""
        fields = self._fields
        self.status = status = self._parser.get_status_code()
        try:
            self.headers = {_NAMES[name]: value.decode() for name, value in fields.items()}
        except (KeyError, UnicodeDecodeError):
            self.headers = _decoded(fields)
        if self._head_only or status < _FIRST_FINAL_STATUS or len(fields) > MAX_HEADERS:
            self._check_head(len(fields))

    def _on_message_complete(self) -> None:
        """End the reply, unless it was an interim one."""
        if self.complete:
            return
        if self.status < _FIRST_FINAL_STATUS:
            self._end_interim_reply()
        elif self._received > self._max_size and self._is_too_large():
            self._refuse(self._too_large())
        else:
            self.complete = True
            self.keep_alive = self._parser.should_keep_alive()

    def _end_interim_reply(self) -> None:
        if self.status == _SWITCHING_PROTOCOLS:
            self._refuse(httpx.RemoteProtocolError(_SWITCHES))
        self.status = 0
        self._fields.clear()
        self._yet_to_begin.append(None)

    def _feed_head(self, data: memoryview) -> None:
        """
        Feed a head that may be too long, or that is all there is of a reply.

        llhttp has no switch for a reply without a body, so the end of its head is found byte by byte.
        """
        step = 1 if self._head_only else self._head_left
        for start in range(0, len(data), step):
            if self.complete:
                raise httptools.HttpParserError("There is more than the head")
            self._parser.feed_data(data[start : start + step])
            if not self._head_only and not self.status:
                break

    def _check_sizes(self, overhead: int) -> None:
        """Set `error` if an unfinished reply is too large; `overhead` is the number of new bytes if none are body."""
        self._head_left -= overhead
        if self._head_left <= 0:
            self.error = httpx.RemoteProtocolError(f"The reply's head has more than {self._max_head_size} bytes")
        elif self._is_too_large():
            self.error = self._too_large()

    def _is_too_large(self) -> bool:
        return self._received > self._max_size and sum(map(len, self.chunks)) > self._max_size

    def _too_large(self) -> ReplyTooLarge:
        return ReplyTooLarge(self._max_size, self.status, self.headers.get("content-encoding", ""))

    def _check_head(self, headers: int) -> None:
        """Refuse an impossible head, and end a reply that has nothing else."""
        if headers > MAX_HEADERS:
            self._refuse(httpx.RemoteProtocolError(f"The reply has more than {MAX_HEADERS} headers"))
        if self.status < _FIRST_STATUS:
            self._refuse(httpx.RemoteProtocolError(f"The reply has the status {self.status:03}, which does not exist"))
        if self._head_only and self.status >= _FIRST_FINAL_STATUS:
            self._on_message_complete()

    def _refuse(self, error: httpx.TransportError) -> NoReturn:
        """Stop parsing for a reason of ours."""
        self.error = error
        raise httptools.HttpParserError(str(error))


class Connection(asyncio.BufferedProtocol):
    """
    Carries one exchange at a time; its owner makes sure that there is only one.

    The caller begins, awaits the future, and then finds in `failure` what went wrong or in `reply` what came. Bytes
    that no request asked for close the connection, so that they cannot be taken for the next caller's reply.

    What arrives is read into `buffer` and parsed at once, so all connections of an event loop share one buffer.
    """

    __slots__ = (
        "_buffer",
        "_gone",
        "_on_gone",
        "_on_lost",
        "_reading_paused",
        "_trusted_idle",
        "_waiter",
        "_whole_reply",
        "_writing_paused",
        "_written",
        "deadline",
        "failure",
        "idle_since",
        "now",
        "reply",
        "retire_at",
        "sending",
        "sent",
        "transport",
        "trusted_until",
    )

    def __init__(
        self,
        buffer: memoryview,
        *,
        now: Callable[[], float],
        on_gone: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        trusted_idle: float = TRUSTED_IDLE,
        max_head_size: int = MAX_HEAD_SIZE,
    ) -> None:
        self._buffer = buffer
        self.now = now
        self._on_gone = on_gone
        self._on_lost = on_lost
        self._trusted_idle = trusted_idle
        self.transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._gone = False
        self._writing_paused = False
        self._reading_paused = False
        self._written = 0
        self.deadline = math.inf
        self.idle_since = -math.inf
        self.trusted_until = 0.0
        self.retire_at = math.inf
        self.failure: httpx.TransportError | None = None
        self.sending = False
        self.sent = True
        self.reply = self._whole_reply = Reply(max_head_size)

    # For the owner.

    @property
    def is_open(self) -> bool:
        """Whether a request may be written, as far as the event loop knows."""
        return not self._gone and not self.transport.is_closing()

    @property
    def answered(self) -> bool:
        """Whether the head of the reply is here, or none will come."""
        return self.failure is not None or self.reply.status >= _FIRST_FINAL_STATUS

    def is_fresh(self, now: float) -> bool:
        """Whether an idle connection can be used again; after a long rest, its socket shows whether the peer left."""
        if now >= self.deadline or not self.is_open:
            return False
        return now < self.trusted_until or not self._has_something_to_read()

    def make_idle(self, timeout: float) -> bool:
        """
        Become idle for at most `timeout` seconds; return False if no other request can be sent.

        One can be if the reply is complete, both sides keep the connection open, and the request was taken whole.
        """
        transport, reply, now = self.transport, self.reply, self.now()
        if (
            not reply.complete
            or not reply.keep_alive
            or not self.sent
            or self._gone
            or now >= self.retire_at
            or transport.is_closing()
            or transport.get_write_buffer_size()
            # Over TLS, the write buffer does not count what has been encrypted.
            or (self._written > MAX_WRITE_SIZE and not self._takes_more())
        ):
            return False
        self.idle_since = now
        self.deadline = min(now + timeout, self.retire_at)
        self.trusted_until = min(now + self._trusted_idle, self.deadline)
        return True

    def _has_something_to_read(self) -> bool:
        socket = self.transport.get_extra_info("socket")
        return socket is not None and _is_ready(socket, to_write=False)

    def _takes_more(self) -> bool:
        socket = self.transport.get_extra_info("socket")
        return socket is None or _is_ready(socket, to_write=True)

    # For the caller.

    def begin(self, data: bytes, deadline: float, max_size: float, reply: Reply | None = None) -> asyncio.Future[None]:
        """
        Write a request, or its first part, and return the future of the next change; see `wait`.

        A caller with more to write sets `sending`, and unsets `sent` as long as that is not all written. A body of
        more than `max_size` bytes is a failure. Without a `reply` to parse into, the reply is kept whole.
        """
        self.reply = reply = reply or self._whole_reply
        reply.expect(max_size)
        self.deadline = deadline
        self._written = len(data)
        # The event loop's `create_future` makes the same in three times the time.
        waiter: asyncio.Future[None] = asyncio.Future()
        self._waiter = waiter
        self.transport.write(data)
        return waiter

    def write(self, data: bytes) -> None:
        """Write another part of a request."""
        if self.is_open:
            self._written += len(data)
            self.transport.write(data)

    @property
    def may_write(self) -> bool:
        """Whether the peer keeps up with what is written."""
        return not self._writing_paused

    def wait(self) -> asyncio.Future[None]:
        """
        Return a future that is done at the next change; for one caller at a time.

        A change is a complete reply or a failure; for a streamed reply, everything that arrives; and while a request
        is sent, that the peer has caught up.
        """
        waiter: asyncio.Future[None] = asyncio.Future()
        self._waiter = waiter
        return waiter

    def resume_reading(self) -> None:
        """Let more arrive."""
        if self._reading_paused:
            self._reading_paused = False
            if self.is_open:
                self.transport.resume_reading()

    def expire(self) -> None:
        """End an exchange that is past its deadline, or a rest that is."""
        if self.reply.complete:
            self.close()
        elif self.sending:
            self.fail(httpx.WriteTimeout("The request was not taken in time."))
        else:
            self.fail(httpx.ReadTimeout("The reply did not come in time."))

    def fail(self, error: httpx.TransportError) -> None:
        """Close the connection now; `error` becomes the failure of the exchange unless its reply is complete."""
        if not self.reply.complete and self.failure is None:
            self.failure = error
        self.abort()
        self._wake()

    def close(self) -> None:
        """Close the connection, with a TLS goodbye if nothing is under way; what is not yet sent is dropped."""
        if self._gone:
            return
        if self.reply.complete and not self.transport.get_write_buffer_size():
            self.transport.close()
        else:
            self.transport.abort()
        self._leave()

    def abandon(self) -> None:
        """Carry nothing more, since the event loop is closed."""
        self._gone = True
        if not self.reply.complete and self.failure is None:
            self.failure = httpx.CloseError("The event loop was closed before the reply was complete")

    def abort(self) -> None:
        """Close the connection now."""
        self.transport.abort()
        self._leave()

    def _leave(self) -> None:
        if not self._gone:
            self._gone = True
            self._on_gone(self)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where to put what arrives."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what has arrived."""
        reply = self.reply
        if reply.complete:
            self.abort()
            return
        try:
            reply.feed(self._buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self.fail(httpx.RemoteProtocolError(_SWITCHES))
        except httptools.HttpParserError as error:
            # What arrived before stays good if it was a complete reply.
            self.fail(reply.error or httpx.RemoteProtocolError(f"The server does not keep to HTTP ({error})"))
        else:
            if reply.error is not None:
                self.fail(reply.error)
            elif reply.is_streamed or reply.complete:
                if reply.is_full:
                    self._pause_reading()
                waiter = self._waiter
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)

    def eof_received(self) -> None:
        """End a reply that lasts until the connection is closed; any other is cut off."""
        self._end(None)
        # The event loop would wait, without end, until the peer takes the rest.
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        self._end(exc)
        self._on_lost(self)
        self.reply.forget_parser()
        self._whole_reply.forget_parser()

    def pause_writing(self) -> None:
        """Note that the peer does not keep up."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Wake the caller by its future: a transport must not be closed from in here."""
        self._writing_paused = False
        self._wake()

    def _pause_reading(self) -> None:
        """Make the peer wait, since enough has arrived that nobody took."""
        if not self._reading_paused and self.is_open:
            self._reading_paused = True
            self.transport.pause_reading()

    def _end(self, error: Exception | None) -> None:
        reply = self.reply
        if not reply.complete:
            if error is None and reply.ends_with_connection:
                reply.complete = True
            elif self.failure is None:
                self.failure = self._cut_off(error)
        self._leave()
        self._wake()

    def _cut_off(self, error: Exception | None) -> httpx.TransportError:
        if self.sending:
            return httpx.WriteError(f"The connection broke while the request was sent ({error or 'closed'})")
        if self.idle_since > -math.inf and not self.reply.has_begun:
            return StaleConnection("The server closed a reused connection before any byte of the reply")
        if error is not None:
            return httpx.ReadError(f"The connection broke before the reply was complete ({error})")
        return httpx.RemoteProtocolError("The server closed the connection before the reply was complete")


def _is_ready(socket: socket, *, to_write: bool) -> bool:
    """Return whether a socket can be read, or written to, without waiting."""
    if not hasattr(select, "poll"):
        readable, writable, _ = select.select([] if to_write else [socket], [socket] if to_write else [], [], 0)
        return bool(readable or writable)
    poll = select.poll()
    poll.register(socket, select.POLLOUT if to_write else select.POLLIN)
    return bool(poll.poll(0))


def _decoded(fields: dict[bytes, bytes]) -> dict[str, str]:
    """Return headers by their names in lower case; the values are UTF-8 or else Latin-1, as in httpx."""
    if len(_NAMES) >= MAX_NAMES:
        _NAMES.clear()
    _NAMES.update((name, name.decode("latin-1").lower()) for name in fields)
    try:
        return {_NAMES[name]: value.decode() for name, value in fields.items()}
    except UnicodeDecodeError:
        return {_NAMES[name]: value.decode("latin-1") for name, value in fields.items()}


_NAMES: dict[bytes, str] = {}
