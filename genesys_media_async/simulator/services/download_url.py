"""
The download-url endpoint of media storage: the checks of a request's path, body and file, and the reply.

Authentication, quota and faults are decided before.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

from ..family_settings import DEFAULT_URL_STYLE
from ..messages import decode_segment
from ..operations import Call, Operation
from ..settings import FILE_ID_FIELD, MAX_URL_LIFETIME
from ..signing import content_type_of, file_name_of, media_path

if TYPE_CHECKING:
    from ..family_settings import UrlStyle
    from ..messages import Reply
    from ..settings import SimulatorSettings
    from ..signing import Signer

NAME = "postMediaStorageFileDownloadUrl"
MISSING_PREFIX = "missing-"
FORBIDDEN_PREFIX = "forbidden-"
PERMISSION = "media:storage:view"

_FIELDS = frozenset({"fileId", "expiresIn", "accessLevel"})
_LIFETIME_RANGE = f"1 to {MAX_URL_LIFETIME}"


class DownloadUrlEndpoint:
    """Returns pre-signed URLs to correct requests."""

    def __init__(self, settings: SimulatorSettings, signer: Signer) -> None:
        self._settings = settings
        self._signer = signer
        self._style: UrlStyle = settings.url_styles.get("media-storage", DEFAULT_URL_STYLE)
        self._before, _, self._after = settings.path_template.partition(FILE_ID_FIELD)

    def __repr__(self) -> str:
        return f"<DownloadUrlEndpoint {self._settings.path_template}>"

    def file_id_in(self, path: str) -> str | None:
        """Return the file id in an undecoded path, or None unless the path is exactly this endpoint's."""
        if not (path.startswith(self._before) and path.endswith(self._after)):
            return None
        return decode_segment(path[len(self._before) : len(path) - len(self._after)])

    @property
    def operation(self) -> Operation:
        """The operation of this endpoint."""
        path = self._settings.path_template
        return Operation(NAME, "POST", path, "media-storage", self.answer, all_of=(PERMISSION,))

    def answer(self, call: Call) -> Reply:
        """Return a URL, or the first error."""
        (file_id,) = call.ids
        body = call.json_object()
        problem = _problem(body, file_id)
        if problem is not None:
            return call.error(*problem)
        if file_id.startswith(MISSING_PREFIX) or file_id in self._settings.unknown_file_ids:
            return call.error("not.found")
        if file_id.startswith(FORBIDDEN_PREFIX):
            return call.error("missing.permissions", PERMISSION)
        return call.reply(self._grant(body, file_id, call))

    def _grant(self, body: dict[str, object], file_id: str, call: Call) -> dict[str, object]:
        lifetime = cast("int", body.get("expiresIn", self._settings.default_url_lifetime))
        lifetime = min(lifetime, self._settings.max_url_lifetime)
        content_type = content_type_of(file_id, self._settings.content_types)
        file_name = file_name_of(file_id, content_type)
        path = media_path(file_id, file_name)
        target = self._signer.sign(path, math.ceil(call.wall) + lifetime, style=self._style, lifetime=lifetime)
        granted: dict[str, object] = {
            "url": call.origin + target,
            "expiresIn": lifetime,
            "fileName": file_name,
            "contentType": content_type,
        }
        if "accessLevel" in body:
            granted["accessLevel"] = body["accessLevel"]
        return granted


def _problem(body: dict[str, object], file_id: str) -> tuple[str, ...] | None:
    """Return the error code and its parameters, or None for a correct body."""
    if body.get("fileId") != file_id or not body.keys() <= _FIELDS:
        return ("bad.request",)
    if "expiresIn" in body:
        lifetime = body["expiresIn"]
        # A bool is an int to Python and not to JSON.
        if not isinstance(lifetime, int) or isinstance(lifetime, bool) or not 1 <= lifetime <= MAX_URL_LIFETIME:
            return ("invalid.value", json.dumps(lifetime), "integer", _LIFETIME_RANGE)
    if "accessLevel" in body:
        level = body["accessLevel"]
        if not isinstance(level, str) or not level:
            return ("invalid.value", json.dumps(level), "string", "a non-empty access level")
    return None
