"""Media storage: one POST for one pre-signed URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ..api import Call
from ..errors import SettingsError
from ..models import DownloadUrl
from ..validation import check
from .base import not_as_agreed, require_json

if TYPE_CHECKING:
    from ..models import MediaRequest
    from ..settings import ValidationRule
    from ..transports import HttpReply
    from .base import Assignment

PATH_TEMPLATE = "/api/v2/media/storage/files/{file_id}/download-url"


class MediaStorage:
    """
    Asks `POST /api/v2/media/storage/files/{file_id}/download-url`.

    This is a gateway's contract: no official Genesys SDK has the operation. Another gateway may have another
    `path_template`; it begins with a slash and names `{file_id}` once.
    """

    action = "media_storage.download_url"
    forms = ("fileId",)
    batch_size = 1

    def __init__(self, path_template: str = PATH_TEMPLATE) -> None:
        self._before, found, self._after = path_template.partition("{file_id}")
        if not found or not path_template.startswith("/") or "{" in self._before + self._after:
            raise SettingsError(
                f"path_template: {path_template!r} does not fit.",
                advice="It begins with a slash and names {file_id} once, as in " + PATH_TEMPLATE,
            )

    def __repr__(self) -> str:
        return f"<MediaStorage {self._before}{{file_id}}{self._after}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], assignment: Assignment) -> None:
        """Ask for the URL of one file."""
        (request,) = requests
        rule = assignment.rule

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            return _read(reply, sent_at, request, rule)

        # An id has none of the characters that would need quoting.
        path = f"{self._before}{request.file_id}{self._after}"
        answer = await assignment.ask(Call("POST", path, request.payload(), request.file_id, self.action, read))
        await assignment.tell(request, answer)


def _read(reply: HttpReply, sent_at: float, request: MediaRequest, rule: ValidationRule) -> DownloadUrl:
    try:
        url = DownloadUrl.from_reply(require_json(reply), sent_at=sent_at)
    except ValidationError as error:
        raise not_as_agreed(error) from None
    refused = check(url, request, rule)
    if refused is not None:
        raise refused
    return url
