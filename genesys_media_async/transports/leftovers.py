"""Bytes that follow a reply over httpcore: nobody asked for them, so they must not answer the next request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import ssl

    import httpx


class _State(Protocol):
    """What is used of `h11.Connection`."""

    @property
    def trailing_data(self) -> tuple[bytes, bool]: ...

    def send_failed(self) -> None: ...


def close_if_more_follows(response: httpx.Response) -> None:
    """
    Have httpcore close the connection of a reply that was read to its end, if more bytes are there already.

    It would keep them, and take them for the reply to the next request. Call this before the response is closed, which
    frees the connection for others. It works under httpx's own transports, directly or in a client; what comes later
    over a plain connection is noticed by httpcore itself. HTTP/2 has no such bytes.
    """
    # httpcore has no public way to the connection of a response, and keeps the same names since its version 0.17.
    stream: object = response.stream
    for name in ("_stream", "_httpcore_stream", "_stream"):
        stream = getattr(stream, name, stream)
    state = cast("_State | None", getattr(getattr(stream, "_connection", None), "_h11_state", None))
    if state is not None and (state.trailing_data[0] or _has_more_records(response)):
        # A connection whose request could not be sent whole is not used again.
        state.send_failed()


def _has_more_records(response: httpx.Response) -> bool:
    """Return whether TLS holds bytes that nobody has read, decrypted or not."""
    network_stream: object = response.extensions.get("network_stream")
    tls = getattr(network_stream, "_stream", None)
    ssl_object: ssl.SSLObject | None = getattr(tls, "_ssl_object", None)
    incoming: ssl.MemoryBIO | None = getattr(tls, "_read_bio", None)
    return bool(ssl_object is not None and ssl_object.pending()) or bool(incoming is not None and incoming.pending)
