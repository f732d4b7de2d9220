"""The body of a reply: bounded, and without a Content-Encoding."""

from __future__ import annotations

import zlib
from typing import Final

from ..errors import InvalidResponseError, sanitized

_UNDERSTOOD: Final = frozenset({"gzip", "x-gzip", "deflate"})
_FIRST_ERROR: Final = 300

# For zlib: gzip or zlib's own format, whichever the first bytes announce; and deflate without any frame.
_FRAMED, _BARE = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS


def decoded(body: bytes, encoding: str, status: int, max_size: int) -> bytes:
    """
    Undo a Content-Encoding that was not asked for: a server may apply one all the same (RFC 9110, section 12.5.3).

    Understood are gzip and deflate (section 8.4.1). What comes out is bounded by `max_size` bytes, too, and no more is
    inflated. Raises `InvalidResponseError`, which is not retryable for an encoding that is not understood: the next
    reply would have it again. An error keeps its status, and only loses a body that cannot be read.
    """
    codings = [coding for each in encoding.split(",") if (coding := each.strip().lower()) not in {"", "identity"}]
    if not codings or not body:
        return body
    is_understood = len(codings) == 1 and codings[0] in _UNDERSTOOD
    inflated = _inflated(body, max_size + 1, may_be_bare=codings[0] == "deflate") if is_understood else None
    if inflated is not None:
        return bounded(inflated, status, max_size)
    if status >= _FIRST_ERROR:
        return b""
    raise _damaged(status) if is_understood else _not_understood(encoding, status)


def bounded(body: bytes, status: int, max_size: int) -> bytes:
    """Return a body of at most `max_size` bytes; that of an error is cut. Raises `InvalidResponseError`."""
    if len(body) > max_size and status < _FIRST_ERROR:
        raise InvalidResponseError(
            f"The reply has more than {max_size} bytes.", code="reply_too_large", status_code=status
        )
    return body[:max_size]


def _inflated(body: bytes, max_length: int, *, may_be_bare: bool) -> bytes | None:
    """Return at most `max_length` bytes of what was compressed, or None if it is damaged."""
    inflated = b""
    try:
        # gzip's format is one or more members, one after the other (RFC 1952, section 2.2).
        while body and len(inflated) < max_length:
            member = zlib.decompressobj(_FRAMED)
            inflated += member.decompress(body, max_length - len(inflated))
            if not member.eof and len(inflated) < max_length:
                return None
            body = member.unused_data
    except zlib.error:
        return _inflated_bare(body, max_length) if may_be_bare and not inflated else None
    return inflated


def _inflated_bare(body: bytes, max_length: int) -> bytes | None:
    bare = zlib.decompressobj(_BARE)
    try:
        inflated = bare.decompress(body, max_length)
    except zlib.error:
        return None
    return inflated if bare.eof or len(inflated) >= max_length else None


def _damaged(status: int) -> InvalidResponseError:
    return InvalidResponseError(
        "The reply is compressed, and cut off or damaged.", code="reply_damaged", status_code=status
    )


def _not_understood(encoding: str, status: int) -> InvalidResponseError:
    return InvalidResponseError(
        f"The reply is compressed ({sanitized(encoding, 40)}), although that was not asked for.",
        code="reply_compressed",
        status_code=status,
        retryable=False,
        advice="Something between here and Genesys compresses the replies; only gzip and deflate are understood.",
    )
