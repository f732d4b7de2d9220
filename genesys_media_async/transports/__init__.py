"""How a request travels: every transport is a class with one method, see `Transport`."""

from .base import MAX_REPLY_SIZE, HttpReply, HttpRequest, Transport
from .direct import DirectTransport
from .httpx_transport import HttpxTransport

__all__ = ["MAX_REPLY_SIZE", "DirectTransport", "HttpReply", "HttpRequest", "HttpxTransport", "Transport"]
