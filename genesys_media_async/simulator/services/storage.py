"""
The object store behind the pre-signed URLs: the bytes of a file, or an S3-style XML error.

The store authorizes by the URL alone. A bearer token is a second mechanism and is refused, which reveals a client that
forwards its token to a foreign host.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING

from ..errors import JSON_TYPE, correlation_header
from ..family_settings import DEFAULT_URL_STYLE
from ..messages import Headers, Kind, Reply, Request, decode_segment, json_bytes
from ..signing import (
    MEDIA_PREFIX,
    Verdict,
    content_type_of,
    content_type_of_name,
    file_name_of,
    media_path,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..family_settings import Family, UrlStyle
    from ..settings import SimulatorSettings
    from ..signing import Signer

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class MediaStorage:
    """Answers GET and HEAD of signed media URLs, with the whole file or one byte range."""

    def __init__(self, settings: SimulatorSettings, signer: Signer) -> None:
        self._settings = settings
        self._signer = signer

    def __repr__(self) -> str:
        return f"<MediaStorage of {self._settings.media_bytes} byte files>"

    def answer(self, request: Request, path: str, query: str, wall: float, correlation_id: str) -> Reply:
        """Return the file's bytes, or the error."""
        if request.method not in ("GET", "HEAD"):
            refusal = _xml_error(405, "MethodNotAllowed", "The method is not allowed", correlation_id)
            return _with_headers(refusal, (b"Allow", b"GET, HEAD"))
        names = [decode_segment(segment) for segment in path.removeprefix(MEDIA_PREFIX).split("/")]
        if len(names) != 2 or names[0] is None or names[1] is None:
            return _xml_error(404, "NoSuchKey", "The specified key does not exist.", correlation_id)
        file_id, file_name = names[0], names[1]
        if "authorization" in request.headers:
            message = "Only one auth mechanism allowed"
            return _xml_error(403, "InvalidArgument", message, correlation_id)
        verdict = self._signer.check(media_path(file_id, file_name), query, wall)
        if verdict is not Verdict.GOOD:
            return _refused(verdict, correlation_id)
        return self._serve(request, file_id, file_name, correlation_id)

    def _serve(self, request: Request, file_id: str, file_name: str, correlation_id: str) -> Reply:
        content_type = content_type_of_name(file_name) or content_type_of(file_id, self._settings.content_types)
        content = media_bytes(file_id, self._settings.media_bytes)
        if content_type == JSON_TYPE[1].decode():
            content = json_bytes({"id": file_id, "content": content.hex()})
        size = len(content)
        headers: Headers = (
            (b"Content-Type", content_type.encode()),
            (b"Accept-Ranges", b"bytes"),
            correlation_header(correlation_id),
        )
        wanted = _byte_range(request.headers.get("range", ""), size)
        if wanted is None:
            return Reply(200, headers, content, Kind.MEDIA, file_id, good=True)
        if not wanted:
            refusal = _xml_error(416, "InvalidRange", "The requested range is not satisfiable", correlation_id)
            return _with_headers(refusal, (b"Content-Range", b"bytes */%d" % size))
        position = (b"Content-Range", b"bytes %d-%d/%d" % (wanted.start, wanted.stop - 1, size))
        part = content[wanted.start : wanted.stop]
        return Reply(206, (*headers, position), part, Kind.MEDIA, file_id, good=True)


class MediaUrls:
    """Signs the URLs of all families, each in its own style."""

    def __init__(self, settings: SimulatorSettings, signer: Signer) -> None:
        self._styles: Mapping[Family, UrlStyle] = settings.url_styles
        self._signer = signer

    def __repr__(self) -> str:
        return "<MediaUrls>"

    def style_of(self, family: Family) -> UrlStyle:
        """Return the style of a family's URLs."""
        return self._styles.get(family, DEFAULT_URL_STYLE)

    def url(
        self,
        family: Family,
        origin: str,
        file_id: str,
        content_type: str,
        *,
        signed_at: float,
        minutes: int = 60,
        name: str | None = None,
    ) -> str:
        """Return the URL of a file, signed at an epoch time for some minutes; `name` is without its extension."""
        lifetime = minutes * 60
        path = media_path(file_id, file_name_of(name or file_id, content_type.partition(";")[0]))
        style = self.style_of(family)
        return origin + self._signer.sign(path, math.floor(signed_at) + lifetime, style=style, lifetime=lifetime)


def media_bytes(file_id: str, size: int) -> bytes:
    """Return a file's content, always the same for one id and different for every other."""
    return hashlib.shake_128(file_id.encode()).digest(size)


def _byte_range(header: str, size: int) -> range | None:
    """Return the requested byte range; None for the whole file, an empty range beyond its end."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1 if last else size, size))


def _refused(verdict: Verdict, correlation_id: str) -> Reply:
    if verdict is Verdict.EXPIRED:
        return _xml_error(403, "AccessDenied", "Request has expired", correlation_id)
    if verdict is Verdict.UNSIGNED:
        return _xml_error(403, "AccessDenied", "Access Denied", correlation_id)
    message = "The request signature we calculated does not match the signature you provided."
    return _xml_error(403, "SignatureDoesNotMatch", message, correlation_id)


def _xml_error(status: int, code: str, message: str, correlation_id: str) -> Reply:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{correlation_id}</RequestId></Error>"
    )
    headers = ((b"Content-Type", b"application/xml"), correlation_header(correlation_id))
    return Reply(status, headers, body.encode(), Kind.MEDIA)


def _with_headers(reply: Reply, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(reply.status, (*reply.headers, *headers), reply.body, reply.kind)
