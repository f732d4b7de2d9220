"""How a request travels; every transport is one class with one method, see `Transport`."""

from .base import LONGEST_REPLY, HttpReply, HttpRequest, Transport
from .direct import DirectTransport
from .httpx import HttpxTransport

__all__ = ["LONGEST_REPLY", "DirectTransport", "HttpReply", "HttpRequest", "HttpxTransport", "Transport"]
