"""Masks the secrets of a retriever wherever a server echoes them."""

from __future__ import annotations

import base64
import html
import json
import re
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote, quote_plus, unquote, urlsplit
from urllib.request import getproxies

from msgspec.structs import replace

from ..errors import GenesysMediaError
from ..settings.checked import secret_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..settings.settings import Settings
    from ..transports.base import HttpReply

ErrorT = TypeVar("ErrorT", bound=GenesysMediaError)

MIN_SECRET: Final = 8
"""Characters below which a secret is not masked: it would be found in words that are none."""

MASK: Final = "…"

# What Go, Gson, .NET and others escape in JSON, so that it is safe in HTML.
_HTML_SAFE: Final = [
    str.maketrans({each: f"\\u{ord(each):04x}" for each in escaped})
    for escaped in ("<>&", "<>&'=", "<>&'=+", "<>&'=+/")
]

_HEX: Final = re.compile(r"(%|\\u00)([0-9A-Fa-f]{2})")


class Mask:
    """
    The secrets of one retriever, in each spelling in which a server may echo them.

    These are the text as it is, percent-encoded, escaped for JSON or HTML, and in Base64 at any offset. They are made
    when something is masked for the first time, so a run without failures pays nothing. No repr shows them.
    """

    def __init__(self, secrets: Iterable[str], tokens: tuple[str, ...] = ()) -> None:
        self._fixed = tuple(secret for secret in secrets if len(secret) >= MIN_SECRET)
        self._tokens = tokens

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets as they are, for a look at what is seldom one."""
        return (*self._fixed, *(token for token in self._tokens if len(token) >= MIN_SECRET))

    @classmethod
    def of(cls, settings: Settings) -> Mask:
        """Return the mask of the client secret, the access token, Basic credentials and the passwords of proxies."""
        secrets = [secret_text(each) for each in (settings.client_secret, settings.access_token) if each is not None]
        if settings.client_secret is not None:
            secrets.append(basic_credentials(settings))
        proxies = [*getproxies().values(), *([] if settings.proxy is None else [secret_text(settings.proxy)])]
        return cls([*secrets, *chain.from_iterable(map(_secrets_of_proxy, proxies))])

    def __repr__(self) -> str:
        return f"<Mask of {len(self.secrets)} secrets>"

    def including(self, token: str) -> Mask:
        """Return the mask for a new token, and for the one before, which requests in flight still have."""
        return Mask(self._fixed, (*self._tokens[-1:], token))

    def text(self, text: str) -> str:
        """Return the text without secrets, and without the beginning of one where the text was cut."""
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)
        return self._without_beginnings(text) if MASK in text else text

    def reply(self, reply: HttpReply) -> HttpReply:
        """Return a reply whose headers and body hold no secret."""
        body = reply.body
        everything = b"\n".join((body, *(value.encode(errors="replace") for value in reply.headers.values())))
        found = [spelling for spelling in self._spellings if spelling.encode() in everything]
        if not found:
            return reply
        for spelling in found:
            body = body.replace(spelling.encode(), MASK.encode())
        return replace(reply, headers={name: self.text(value) for name, value in reply.headers.items()}, body=body)

    def error(self, error: ErrorT) -> ErrorT:
        """Remove the secrets from the words of an error, and return it."""
        for name, value in vars(error).items():
            if isinstance(value, str):
                setattr(error, name, self.text(value))
        error.args = tuple(self.text(each) if isinstance(each, str) else each for each in error.args)
        return error

    @cached_property
    def _spellings(self) -> tuple[str, ...]:
        """The spellings of all secrets, the longest first: one may be a part of another."""
        found = {spelling for secret in self.secrets for spelling in _spelt(secret)}
        return tuple(sorted((spelling for spelling in found if len(spelling) >= MIN_SECRET), key=len, reverse=True))

    def _without_beginnings(self, text: str) -> str:
        """Mask what is left of a secret before the mark that a text was cut there."""
        head, mark, tail = text.rpartition(MASK)
        for spelling in self._spellings:
            begins_at = head.rfind(spelling[:MIN_SECRET], max(0, len(head) - len(spelling)))
            if begins_at >= 0 and spelling.startswith(head[begins_at:]):
                return f"{head[:begins_at]}{mark}{tail}"
        return text


def basic_credentials(settings: Settings) -> str:
    """Return the client's id and secret as HTTP Basic has them (RFC 7617)."""
    secret = secret_text(settings.client_secret) if settings.client_secret is not None else ""
    return _base64(f"{settings.client_id or ''}:{secret}")


def _secrets_of_proxy(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return [password, _base64(f"{user}:{password}")] if password else []


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _spelt(secret: str) -> Iterator[str]:
    in_json = json.dumps(secret)[1:-1]
    html_safe = [in_json.translate(table) for table in _HTML_SAFE]
    yield from (secret, in_json, in_json.replace("/", r"\/"), html.escape(secret))
    for encoded in (*html_safe, quote(secret), quote(secret, safe=""), quote_plus(secret)):
        # Hexadecimal digits come in both cases.
        yield from (
            _HEX.sub(lambda found: found[1] + found[2].upper(), encoded),
            _HEX.sub(lambda found: found[1] + found[2].lower(), encoded),
        )
    for offset in range(3):
        # What comes before and after the secret only changes the characters at its ends.
        bits = 8 * offset, 8 * (offset + len(secret.encode()))
        inner = base64.b64encode(bytes(offset) + secret.encode()).decode()[-(-bits[0] // 6) : bits[1] // 6]
        yield from (inner, inner.replace("+", "-").replace("/", "_"), quote(inner, safe=""))
