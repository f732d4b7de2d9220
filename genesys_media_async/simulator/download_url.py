"""
The endpoint itself: whether a request for a file's download URL is right, and the reply when it is.

Authentication, quota and faults are decided before; here it is only about the path, the body and the file.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, cast

from .family_settings import DEFAULT_URL_STYLE
from .messages import decode_segment
from .operations import Call, Operation
from .settings import FILE_ID_FIELD, MAX_URL_LIFE
from .signing import content_type_of, file_name_of, media_path

if TYPE_CHECKING:
    from .family_settings import UrlStyle
    from .messages import Reply
    from .settings import SimulatorSettings
    from .signing import Signer

NAME = "postMediaStorageFileDownloadUrl"
MISSING_PREFIX = "missing-"
FORBIDDEN_PREFIX = "forbidden-"
PERMISSION = "media:storage:view"

_FIELDS = frozenset({"fileId", "expiresIn", "accessLevel"})
_LIFE_RANGE = f"1 to {MAX_URL_LIFE}"


class DownloadUrlEndpoint:
    """Hands out pre-signed URLs to requests that are right in every part."""

    def __init__(self, settings: SimulatorSettings, signer: Signer) -> None:
        self._settings = settings
        self._signer = signer
        self._style: UrlStyle = settings.url_styles.get("media-storage", DEFAULT_URL_STYLE)
        self._before, _, self._after = settings.path_template.partition(FILE_ID_FIELD)

    def __repr__(self) -> str:
        return f"<DownloadUrlEndpoint {self._settings.path_template}>"

    def file_id_in(self, path: str) -> str | None:
        """Return the file id of an undecoded path, or None when the path is not exactly this endpoint's."""
        if not (path.startswith(self._before) and path.endswith(self._after)):
            return None
        return decode_segment(path[len(self._before) : len(path) - len(self._after)])

    @property
    def operation(self) -> Operation:
        """What `answer` is to the rules that come before it."""
        path = self._settings.path_template
        return Operation(NAME, "POST", path, "media-storage", self.answer, all_of=(PERMISSION,))

    def answer(self, call: Call) -> Reply:
        """Return a URL, or the first thing that is wrong."""
        (file_id,) = call.ids
        asked = call.json_object()
        problem = _problem(asked, file_id)
        if problem is not None:
            return call.error(*problem)
        if file_id.startswith(MISSING_PREFIX) or file_id in self._settings.unknown_file_ids:
            return call.error("not.found")
        if file_id.startswith(FORBIDDEN_PREFIX):
            return call.error("missing.permissions", PERMISSION)
        return call.reply(self._grant(asked, file_id, call))

    def _grant(self, asked: dict[str, object], file_id: str, call: Call) -> dict[str, object]:
        life = cast("int", asked.get("expiresIn", self._settings.url_life_default))
        life = min(life, self._settings.url_life_max)
        content_type = content_type_of(file_id, self._settings.content_types)
        file_name = file_name_of(file_id, content_type)
        path = media_path(file_id, file_name)
        target = self._signer.sign(path, math.ceil(call.wall) + life, style=self._style, life=life)
        granted: dict[str, object] = {
            "url": call.origin + target,
            "expiresIn": life,
            "fileName": file_name,
            "contentType": content_type,
        }
        if "accessLevel" in asked:
            granted["accessLevel"] = asked["accessLevel"]
        return granted


def _problem(asked: dict[str, object], file_id: str) -> tuple[str, ...] | None:
    """Return the error code and its parameters, or None when the body is right."""
    if asked.get("fileId") != file_id or not asked.keys() <= _FIELDS:
        return ("bad.request",)
    if "expiresIn" in asked:
        life = asked["expiresIn"]
        # A bool is an int to Python and not to JSON.
        if not isinstance(life, int) or isinstance(life, bool) or not 1 <= life <= MAX_URL_LIFE:
            return ("invalid.value", json.dumps(life), "integer", _LIFE_RANGE)
    if "accessLevel" in asked:
        level = asked["accessLevel"]
        if not isinstance(level, str) or not level:
            return ("invalid.value", json.dumps(level), "string", "a non-empty access level")
    return None
