"""
The endpoint itself: whether a request for a file's download URL is right, and the reply when it is.

Authentication, quota and faults are decided before; here it is only about the path, the body and the file.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

from .errors import JSON_TYPE, correlation_header, error_reply
from .messages import (
    Headers,
    Kind,
    Reply,
    Request,
    decode_segment,
    json_bytes,
)
from .settings import FILE_ID_FIELD, LONGEST_URL_LIFE
from .signing import content_type_of
from .storage import signed_target

if TYPE_CHECKING:
    from .settings import SimulatorSettings
    from .signing import Signer

MISSING_PREFIX = "missing-"
FORBIDDEN_PREFIX = "forbidden-"
PERMISSION = "media:storage:view"

_FIELDS = frozenset({"fileId", "expiresIn", "accessLevel"})
_LIFE_RANGE = f"1 to {LONGEST_URL_LIFE}"


class DownloadUrlEndpoint:
    """Hands out pre-signed URLs to requests that are right in every part."""

    def __init__(self, settings: SimulatorSettings, signer: Signer) -> None:
        self._settings = settings
        self._signer = signer
        self._before, _, self._after = settings.path_template.partition(FILE_ID_FIELD)

    def __repr__(self) -> str:
        return f"<DownloadUrlEndpoint {self._settings.path_template}>"

    def file_id_in(self, path: str) -> str | None:
        """Return the file id of an undecoded path, or None when the path is not exactly this endpoint's."""
        if not (path.startswith(self._before) and path.endswith(self._after)):
            return None
        return decode_segment(path[len(self._before) : len(path) - len(self._after)])

    def answer(
        self, request: Request, file_id: str, origin: str, wall: float, headers: Headers, correlation_id: str
    ) -> Reply:
        """Return a URL under `origin`, or the first thing that is wrong; `headers` go on every reply."""
        if request.media_type != "application/json":
            return error_reply("unsupported.media.type", correlation_id, headers=headers)
        if request.too_large:
            return error_reply("request.entity.too.large", correlation_id, headers=headers)
        asked = _parse(request.body)
        problem = _problem(asked, file_id)
        if problem is not None or asked is None:
            code, *parameters = problem or ("bad.request",)
            return error_reply(code, correlation_id, *parameters, headers=headers)
        if file_id.startswith(MISSING_PREFIX) or file_id in self._settings.unknown_file_ids:
            return error_reply("not.found", correlation_id, headers=headers)
        if file_id.startswith(FORBIDDEN_PREFIX):
            return error_reply("missing.permissions", correlation_id, PERMISSION, headers=headers)
        body = self._grant(asked, file_id, origin, wall)
        return Reply(
            200,
            (JSON_TYPE, correlation_header(correlation_id), *headers),
            json_bytes(body),
            Kind.API,
            file_id,
            good=True,
        )

    def _grant(self, asked: dict[str, object], file_id: str, origin: str, wall: float) -> dict[str, object]:
        life = cast("int", asked.get("expiresIn", self._settings.url_life_default))
        life = min(life, self._settings.url_life_max)
        content_type = content_type_of(file_id, self._settings.content_types)
        file_name, target = signed_target(self._signer, file_id, content_type, math.ceil(wall) + life)
        granted: dict[str, object] = {
            "url": origin + target,
            "expiresIn": life,
            "fileName": file_name,
            "contentType": content_type,
        }
        if "accessLevel" in asked:
            granted["accessLevel"] = asked["accessLevel"]
        return granted


def _parse(body: bytes) -> dict[str, object] | None:
    """Return the JSON object of a body; None when it is none, is not UTF-8, or says something twice."""
    try:
        parsed: object = _DECODER.decode(body.decode())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", parsed) if isinstance(parsed, dict) else None


def _problem(asked: dict[str, object] | None, file_id: str) -> tuple[str, ...] | None:
    """Return the error code and its parameters, or None when the body is right."""
    if asked is None or asked.get("fileId") != file_id or not asked.keys() <= _FIELDS:
        return ("bad.request",)
    if "expiresIn" in asked:
        life = asked["expiresIn"]
        # A bool is an int to Python and not to JSON.
        if not isinstance(life, int) or isinstance(life, bool) or not 1 <= life <= LONGEST_URL_LIFE:
            return ("invalid.value", json.dumps(life), "integer", _LIFE_RANGE)
    if "accessLevel" in asked:
        level = asked["accessLevel"]
        if not isinstance(level, str) or not level:
            return ("invalid.value", json.dumps(level), "string", "a non-empty access level")
    return None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
