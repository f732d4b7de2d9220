"""How a request travels; every transport is one class with one method, see `Transport`."""

from .base import LONGEST_REPLY, HttpReply, HttpRequest, Transport
from .httpx import HttpxTransport

__all__ = ["LONGEST_REPLY", "HttpReply", "HttpRequest", "HttpxTransport", "Transport"]
