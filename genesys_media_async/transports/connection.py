"""One HTTP/1.1 connection: it writes requests, and feeds what arrives to llhttp until the reply is complete."""

from __future__ import annotations

import asyncio
import math
import select
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, ClassVar, NoReturn, cast

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HEAD_SIZE = 64 * 1024
"""Bytes of a reply that are not its body: interim replies, its head, chunk extensions and trailers."""

MAX_HEADERS = 256
"""
Headers of one reply. No more names are kept decoded, for the next reply with the same, so a reply with more headers
always has one that is not known, and is noticed by that.
"""

MAX_WRITE_SIZE = 64 * 1024
"""Bytes of a request that are written at once when the peer has to take them before more is written."""

TRUSTED_IDLE = 1.0
"""Seconds for which an idle connection counts as alive without a look at its socket."""

_SWITCHING_PROTOCOLS = 101
_FIRST_STATUS = 100
FIRST_FINAL_STATUS = 200
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_NOTHING_AT_ONCE = -1
"""The budget of a reply of which no byte goes straight to the parser."""

_WITH_CARE = -2
"""The allowance of a reply that was parsed with care, and of one that is complete."""

_BEGINNING_AND_END = (None, None)
_PARSER_ERRORS = (httptools.HttpParserError, httptools.HttpParserUpgrade)


class ReplyTooLarge(httpx.RemoteProtocolError):
    """Error for a reply whose body is longer than its caller allows."""

    def __init__(self, max_size: float, status: int) -> None:
        super().__init__(f"The reply has more than {max_size} bytes")
        self.status = status


class StaleConnection(httpx.RemoteProtocolError):
    """Error for a connection that had carried other requests and was closed before any byte of this reply."""


class Reply:
    """
    Parses replies, one after the other, and keeps each until the next request begins.

    `status` is 0 until the head of a final reply is parsed; then `headers` and `keep_alive` are set, too. `chunks` are
    the pieces of the body. With `head_only` (for HEAD) a reply ends with its head, whatever its headers claim.
    `keep_alive` means that the server keeps the connection open; it is unset when that is closed.

    Of a reply that is taken whole, as many bytes as the `allowance` can break no bound, so they go straight to the
    parser. Anything else goes through `parse_with_care`, which has the exact rules. `Connection.begin` makes it ready
    for the next reply.
    """

    __slots__ = (
        "_head_left",
        "_head_only",
        "_max_head_size",
        "_received",
        "allowance",
        "budget",
        "chunks",
        "due",
        "error",
        "fields",
        "headers",
        "is_full",
        "keep_alive",
        "max_size",
        "parser",
        "status",
    )

    is_streamed: ClassVar[bool] = False

    def __init__(self, max_head_size: int = MAX_HEAD_SIZE, *, head_only: bool = False) -> None:
        self._max_head_size = max_head_size
        self._head_only = head_only
        self._head_left = 0
        self._received = 0
        self.max_size: float = -1
        self.allowance: float = _NOTHING_AT_ONCE
        self.budget: float = _NOTHING_AT_ONCE
        self.due: list[None] = []
        self.fields: dict[bytes, bytes] = {}
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.keep_alive = True
        self.is_full = False
        self.error: httpx.TransportError | None = None
        self.parser = httptools.HttpResponseParser(self._callbacks())

    def limit(self, max_size: float) -> None:
        """Bound the bodies of this reply and the next ones."""
        self.max_size = max_size
        if not self._head_only and not self.is_streamed:
            self.budget = min(max_size, self._max_head_size - 1)

    @property
    def complete(self) -> bool:
        """Whether no more bytes are expected, and what came keeps to all bounds."""
        return not self.due and self.error is None

    @property
    def has_begun(self) -> bool:
        """Whether any byte of this reply is here."""
        return self.allowance != self.budget

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of this reply."""
        return self.status > 0 and not any(name.lower() in _FRAMING for name in self.fields)

    def parse_with_care(self, data: memoryview) -> None:
        """Parse what may break a bound; raises `HttpParserError`, for a bound of ours with an `error`."""
        if not self.due:
            raise httptools.HttpParserError("There is more than the reply")
        if self.allowance != _WITH_CARE:
            self._received = int(self.budget - self.allowance)
            self._head_left = self._max_head_size - self._received + sum(map(len, self.chunks))
            self.allowance = _WITH_CARE
        pieces = len(self.chunks)
        self._received += len(data)
        if self.status or (len(data) <= self._head_left and not self._head_only):
            self.parser.feed_data(data)
        else:
            self._parse_head(data)
        self._check_sizes(0 if len(self.chunks) > pieces else len(data))

    def forget_parser(self) -> None:
        """End the circle of references: the parser holds this object's methods, as this object holds the parser."""
        with suppress(AttributeError):
            del self.parser

    def _callbacks(self) -> SimpleNamespace:
        """
        Return what llhttp calls.

        A call from C to Python for each header is slow, so where order and repetition do not matter a dict takes them.
        `due` has one element for the beginning of the one reply, and one for its end. For a second reply it has none:
        `pop` raises, and parsing stops.
        """
        return SimpleNamespace(
            on_message_begin=self.due.pop,
            on_header=self.fields.__setitem__,
            on_headers_complete=self._on_headers_complete,
            on_body=self.chunks.append,
            on_message_complete=self.due.pop,
        )

    def _on_headers_complete(self) -> None:
        """Take the head; headers that follow later are trailers."""
        parser, fields = self.parser, self.fields
        self.status = status = parser.get_status_code()
        # The parser forgets this with the end of the reply.
        self.keep_alive = parser.should_keep_alive()
        try:
            self.headers = dict(zip(map(_name_of, fields), map(_decode, fields.values())))  # noqa: B905 - of one dict
        except (KeyError, UnicodeDecodeError):
            self._check_number(len(fields))
            self.headers = _decoded(fields)
        if status < FIRST_FINAL_STATUS:
            self._skip_interim_reply()

    def _skip_interim_reply(self) -> None:
        """Expect another head after this one, unless no such reply is allowed."""
        if self.status < _FIRST_STATUS:
            self._refuse(httpx.RemoteProtocolError(f"The reply has the status {self.status:03}, which does not exist"))
        if self.status == _SWITCHING_PROTOCOLS:
            self._refuse(httpx.RemoteProtocolError("The server switches to another protocol, which was not asked for"))
        self.status = 0
        self.fields.clear()
        self.due += _BEGINNING_AND_END

    def _check_number(self, headers: int) -> None:
        if headers > MAX_HEADERS:
            self._refuse(httpx.RemoteProtocolError(f"The reply has more than {MAX_HEADERS} headers"))

    def _parse_head(self, data: memoryview) -> None:
        """
        Parse a head that may be too long, or that is all there is of a reply.

        llhttp has no switch for a reply without a body, so the end of its head is found byte by byte.
        """
        step = 1 if self._head_only else self._head_left
        for start in range(0, len(data), step):
            if not self.due:
                raise httptools.HttpParserError("There is more than the head")
            self.parser.feed_data(data[start : start + step])
            if self._head_only and self.status:
                self.due.clear()
            elif not self._head_only and not self.status:
                break

    def _check_sizes(self, overhead: int) -> None:
        """Refuse a reply that is too large; `overhead` is the number of new bytes if none are body."""
        self._head_left -= overhead
        if self.due and self._head_left <= 0:
            self._refuse(httpx.RemoteProtocolError(f"The reply's head has more than {self._max_head_size} bytes"))
        if self._received > self.max_size and sum(map(len, self.chunks)) > self.max_size:
            self._refuse(ReplyTooLarge(self.max_size, self.status))

    def _refuse(self, error: httpx.TransportError) -> NoReturn:
        """Stop parsing for a reason of ours."""
        self.error = error
        raise httptools.HttpParserError(str(error))


class Connection(asyncio.BufferedProtocol):
    """
    Carries one exchange at a time; its owner makes sure that there is only one.

    The caller begins, awaits the future, and then finds in `failure` what went wrong or in `reply` what came. Bytes
    that no request asked for close the connection, so that they cannot be taken for the next caller's reply.

    Until the time `ages_at` its owner need not call `make_idle` after an exchange, if the reply's `keep_alive` is set
    and nothing is left to be written: setting `trusted_until` is enough.

    What arrives is read into `buffer` and parsed at once, so all connections of an event loop share one buffer.
    """

    __slots__ = (
        "_buffer",
        "_gone",
        "_new_waiter",
        "_on_gone",
        "_on_lost",
        "_reading_paused",
        "_waiter",
        "_whole_reply",
        "_written",
        "ages_at",
        "deadline",
        "failure",
        "may_write",
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
        loop: asyncio.AbstractEventLoop,
        *,
        on_gone: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
        max_head_size: int = MAX_HEAD_SIZE,
    ) -> None:
        self._buffer = buffer
        self.now = loop.time
        # asyncio's own `create_future` makes the same in three times the time.
        self._new_waiter = partial(cast("type[asyncio.Future[None]]", asyncio.Future), loop=loop)
        self._on_gone = on_gone
        self._on_lost = on_lost
        self.transport: asyncio.Transport
        self._waiter: asyncio.Future[None] = self._new_waiter()
        self._gone = False
        self.may_write = True
        self._reading_paused = False
        self._written = 0
        self.deadline = math.inf
        self.trusted_until = -math.inf
        self.retire_at = math.inf
        self.ages_at = -math.inf
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
        return self.failure is not None or self.reply.status >= FIRST_FINAL_STATUS

    def is_fresh(self, now: float, more_rest: float) -> bool:
        """Whether an idle connection can be used again; after a long rest, its socket shows whether the peer left."""
        if now >= self.rests_until(more_rest) or not self.is_open:
            return False
        return now < self.trusted_until or not _is_ready(self.transport, to_write=False)

    def rests_until(self, more_rest: float) -> float:
        """Return when the rest of an idle connection ends; `more_rest` follows the time for which it is trusted."""
        return min(self.trusted_until + more_rest, self.retire_at)

    def make_idle(self, trusted_rest: float) -> bool:
        """
        Become idle, trusted for at most `trusted_rest` seconds; return False if no other request can be sent.

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
            or (self._written > MAX_WRITE_SIZE and not _is_ready(transport, to_write=True))
        ):
            return False
        if reply is not self._whole_reply:
            reply.forget_parser()
            self.reply = self._whole_reply
        self._written = 0
        self.trusted_until = min(now + trusted_rest, self.retire_at)
        return True

    # For the caller.

    def expect_unusual(self, written: int, reply: Reply | None = None, *, is_last: bool = False) -> None:
        """Prepare for a long request, a `reply` to parse into, or the last exchange: `make_idle` must follow it."""
        self.ages_at = -math.inf
        self._written = written
        if reply is not None:
            self.reply = reply
        if is_last:
            self.retire_at = -math.inf

    def begin(self, data: bytes, deadline: float, max_size: float) -> asyncio.Future[None]:
        """
        Write a request, or its first part, and return the future of the next change; see `wait`.

        A caller with more to write sets `sending`, and unsets `sent` as long as that is not all written. A body of
        more than `max_size` bytes is a failure.
        """
        reply = self.reply
        reply.fields.clear()
        reply.chunks.clear()
        reply.due += _BEGINNING_AND_END
        reply.status = 0
        if max_size != reply.max_size:
            reply.limit(max_size)
        reply.allowance = reply.budget
        self.deadline = deadline
        self._waiter = waiter = self._new_waiter()
        self.transport.write(data)
        return waiter

    def write(self, data: bytes) -> None:
        """Write another part of a request."""
        if self.is_open:
            self._written += len(data)
            self.transport.write(data)

    def wait(self) -> asyncio.Future[None]:
        """
        Return a future that is done at the next change; for one caller at a time.

        A change is a complete reply or a failure; for a streamed reply, everything that arrives; and while a request
        is sent, that the peer has caught up.
        """
        self._waiter = waiter = self._new_waiter()
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
        self._gone, self.reply.keep_alive = True, False
        if not self.reply.complete and self.failure is None:
            self.failure = httpx.CloseError("The event loop was closed before the reply was complete")

    def abort(self) -> None:
        """Close the connection now."""
        self.transport.abort()
        self._leave()

    def _leave(self) -> None:
        if not self._gone:
            self._gone, self.reply.keep_alive = True, False
            # Whatever still arrives is not for the parser.
            self.reply.allowance = _WITH_CARE
            self._on_gone(self)

    def _wake(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)

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
        if nbytes > reply.allowance:
            self._parse_with_care(reply, nbytes)
            return
        try:
            reply.parser.feed_data(self._buffer[:nbytes])
        except _PARSER_ERRORS as error:
            self._refuse(reply, error)
            return
        if reply.due:
            reply.allowance -= nbytes
            return
        reply.allowance = _WITH_CARE
        try:
            self._waiter.set_result(None)
        except asyncio.InvalidStateError:
            # Its caller is cancelled.
            return

    def _parse_with_care(self, reply: Reply, nbytes: int) -> None:
        """Parse what is more than a small whole reply, or was not asked for."""
        if self._gone:
            return
        try:
            reply.parse_with_care(self._buffer[:nbytes])
        except _PARSER_ERRORS as error:
            self._refuse(reply, error)
            return
        if reply.is_full and not reply.complete and not self._reading_paused and self.is_open:
            # The peer has to wait, since enough has arrived that nobody took.
            self._reading_paused = True
            self.transport.pause_reading()
        if reply.is_streamed or reply.complete:
            self._wake()

    def _refuse(self, reply: Reply, error: Exception) -> None:
        """End what does not keep to HTTP or to our bounds; what arrived before stays good if it was a whole reply."""
        self.fail(reply.error or httpx.RemoteProtocolError(f"The server does not keep to HTTP ({error})"))

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
        self.may_write = False

    def resume_writing(self) -> None:
        """Wake the caller by its future: a transport must not be closed from in here."""
        self.may_write = True
        if self.sending:
            self._wake()

    def _end(self, error: Exception | None) -> None:
        reply = self.reply
        if not reply.complete:
            if error is None and reply.ends_with_connection:
                reply.due.clear()
            elif self.failure is None:
                self.failure = self._cut_off(error)
        self._leave()
        self._wake()

    def _cut_off(self, error: Exception | None) -> httpx.TransportError:
        if self.sending:
            return httpx.WriteError(f"The connection broke while the request was sent ({error or 'closed'})")
        if self.trusted_until > -math.inf and not self.reply.has_begun:
            return StaleConnection("The server closed a reused connection before any byte of the reply")
        if error is not None:
            return httpx.ReadError(f"The connection broke before the reply was complete ({error})")
        return httpx.RemoteProtocolError("The server closed the connection before the reply was complete")


def _is_ready(transport: asyncio.Transport, *, to_write: bool) -> bool:
    """Return whether a socket can be read, or written to, without waiting; one that is not known can be written to."""
    socket = transport.get_extra_info("socket")
    if socket is None:
        return to_write
    if not hasattr(select, "poll"):
        readable, writable, _ = select.select([] if to_write else [socket], [socket] if to_write else [], [], 0)
        return bool(readable or writable)
    poll = select.poll()
    poll.register(socket, select.POLLOUT if to_write else select.POLLIN)
    return bool(poll.poll(0))


def _decoded(fields: dict[bytes, bytes]) -> dict[str, str]:
    """Return headers by their names in lower case; the values are UTF-8 or else Latin-1, as in httpx."""
    if len(_NAMES) + len(fields) > MAX_HEADERS:
        _NAMES.clear()
    _NAMES.update((name, name.decode("latin-1").lower()) for name in fields)
    try:
        return {_NAMES[name]: value.decode() for name, value in fields.items()}
    except UnicodeDecodeError:
        return {_NAMES[name]: value.decode("latin-1") for name, value in fields.items()}


_NAMES: dict[bytes, str] = {}
_name_of, _decode = _NAMES.__getitem__, bytes.decode
