"""A reply whose body is taken while it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .connection import FIRST_FINAL_STATUS, MAX_HEAD_SIZE, Reply

if TYPE_CHECKING:
    from types import SimpleNamespace

READ_AHEAD = 256 * 1024
"""Bytes of a streamed body that may wait to be taken before the peer is made to wait."""


class StreamedReply(Reply):
    """
    Parses one reply whose body is taken piece by piece.

    It has a `reason` and a `version`, and in place of `headers` the `raw_headers`: names and values as they came.
    Its body may be of any length: it `is_full` while more than `read_ahead` bytes of it wait to be taken.
    """

    __slots__ = ("_read_ahead", "_untaken", "raw_headers", "reason", "version")

    is_streamed: ClassVar[bool] = True

    def __init__(
        self, *, head_only: bool = False, max_head_size: int = MAX_HEAD_SIZE, read_ahead: int = READ_AHEAD
    ) -> None:
        super().__init__(max_head_size, head_only=head_only)
        self._read_ahead = read_ahead
        self._untaken = 0
        self.reason = b""
        self.version = ""
        self.raw_headers: list[tuple[bytes, bytes]] = []

    def take(self) -> list[bytes]:
        """Return the pieces of the body that have come, and make room for more."""
        chunks, self.chunks, self._untaken, self.is_full = self.chunks, [], 0, False
        return chunks

    def _callbacks(self) -> SimpleNamespace:
        callbacks = super()._callbacks()
        callbacks.on_status, callbacks.on_header, callbacks.on_body = self._on_status, self._on_header, self._on_body
        return callbacks

    def _on_status(self, reason: bytes) -> None:
        """Take the reason phrase, which may come in pieces."""
        self.reason += reason

    def _on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but no trailer."""
        if not self.status:
            self.raw_headers.append((name, value))
            self.fields[name] = value

    def _on_headers_complete(self) -> None:
        self.status = self.parser.get_status_code()
        self.keep_alive = self.parser.should_keep_alive()
        self.version = self.parser.get_http_version()
        self._check_number(len(self.raw_headers))
        if self.status < FIRST_FINAL_STATUS:
            self._skip_interim_reply()

    def _on_body(self, body: bytes) -> None:
        self.chunks.append(body)
        self._untaken += len(body)
        self.is_full = self._untaken > self._read_ahead

    def _skip_interim_reply(self) -> None:
        super()._skip_interim_reply()
        self.reason = b""
        self.raw_headers.clear()

    def _check_sizes(self, overhead: int) -> None:
        if not overhead:
            # In a stream that lasts, the sizes of the chunks add up to any number of bytes.
            self._head_left = self._max_head_size
        super()._check_sizes(overhead)
