"""What httpx and httpcore log of the requests of this package, with its secrets masked."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

LOGGERS: Final = ("httpx", *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")))

_SECRET = re.compile(r"\?[^\s'\"]*|(?<=receive_response_headers\.complete return_value=).*", re.DOTALL)
"""The query of a URL, such as a webhook's with a key, and the headers of a reply, such as a pre-signed Location."""

_is_ours: ContextVar[bool] = ContextVar("genesys_media_async_request", default=False)


class _SecretFilter(logging.Filter):
    """Masks the records of our requests, and leaves those of others alone."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass the record on, masked if it is about a request of ours."""
        if _is_ours.get():
            record.msg, record.args = _SECRET.sub("...", record.getMessage()), ()
        return True


_FILTER = _SecretFilter()


def install() -> None:
    """Make the loggers of httpx and httpcore mask what is logged inside `masked`; doing it again changes nothing."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


@contextmanager
def masked() -> Generator[None]:
    """Mask what the code in this block logs through httpx and httpcore."""
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
