"""Media storage: one POST for one pre-signed URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from ..api.calls import Call
from ..errors import SettingsError
from ..models import DownloadUrl
from .base import JSON_CONTENT_TYPES, Endpoint, Probe, read_repaired, require_json
from .validation import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import MediaRequest
    from ..settings.policies import ValidationRule
    from ..transports.base import HttpReply
    from .base import EndpointContext

PATH_TEMPLATE = "/api/v2/media/storage/files/{file_id}/download-url"

MISSING_FILE = "missing-genesys-media-doctor"
"""An id that no organisation has, for the probe."""

# Seconds; an expiry further away may be beyond the year 9999, where `datetime` ends.
_MAX_LIFETIME = 200_000_000_000


@with_config(ConfigDict(strict=True, hide_input_in_errors=True))
class _Reply(TypedDict):
    """
    The JSON body of a reply; unknown members are ignored, wrong types are not.

    `expiresIn` is in seconds. It is a dict, since a model takes 1.5 times as long to make and read.
    """

    url: Annotated[str, Field(min_length=1)]
    expiresIn: Annotated[int, Field(gt=0, lt=_MAX_LIFETIME)]
    fileName: NotRequired[str | None]
    contentType: NotRequired[str | None]
    accessLevel: NotRequired[str | None]


_read_json: Callable[[bytes], _Reply] = TypeAdapter(_Reply).validator.validate_json


class MediaStorage(Endpoint):
    """
    One URL by `POST /api/v2/media/storage/files/{file_id}/download-url`; the default endpoint.

    This is the contract of a gateway: no official Genesys SDK has the operation. For another gateway pass its
    `path_template`, which begins with a slash and has `{file_id}` once. Raises `SettingsError` for any other template.
    """

    action = "media_storage.download_url"
    permission = "the permission that the owner of the gateway names"
    probe = Probe(
        "POST",
        PATH_TEMPLATE.format(file_id=MISSING_FILE),
        f'{{"fileId":"{MISSING_FILE}","expiresIn":60}}'.encode(),
        remark="an organisation without this gateway answers 404, too",
    )
    all_not_found = (
        "An organisation without this gateway answers 404 to every id: recordings come from --source recording-batch "
        "(RecordingBatch), other media from the other sources."
    )

    def __init__(self, path_template: str = PATH_TEMPLATE) -> None:
        self._before, found, self._after = path_template.partition("{file_id}")
        if not found or not path_template.startswith("/") or "{" in self._before + self._after:
            raise SettingsError(
                f"path_template: {path_template!r} is not a path with one {{file_id}}.",
                advice="It begins with a slash and has {file_id} once, as in " + PATH_TEMPLATE,
            )

    def __repr__(self) -> str:
        return f"<MediaStorage {self._before}{{file_id}}{self._after}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URL of one file."""
        (request,) = requests
        rule = context.rule

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl:
            return read_reply(reply, sent_at, request, rule)

        # No character of an id needs quoting.
        path = f"{self._before}{request.file_id}{self._after}"
        result = await context.call(Call("POST", path, payload(request), request.file_id, self.action, read))
        await context.report(request, result)


def payload(request: MediaRequest) -> bytes:
    """Return the JSON body of a request."""
    # No character of an id or an access level needs escaping.
    level = "" if request.access_level is None else f',"accessLevel":"{request.access_level}"'
    return f'{{"fileId":"{request.file_id}","expiresIn":{request.expires_in}{level}}}'.encode()


def read_reply(reply: HttpReply, sent_at: float, request: MediaRequest, rule: ValidationRule) -> DownloadUrl:
    """
    Return the validated URL in a reply to a request sent at `sent_at` (seconds since 1970, UTC).

    Raises `InvalidResponseError` for a reply that is not the agreed JSON, and `UrlRejectedError` for a URL that breaks
    the rule.
    """
    body = reply.body if reply.headers.get("content-type") in JSON_CONTENT_TYPES else require_json(reply)
    try:
        fields = _read_json(body)
    except ValidationError as error:
        fields = read_repaired(_read_json, body, error)
    lifetime = fields["expiresIn"]
    url = DownloadUrl(
        fields["url"],
        sent_at + lifetime,
        lifetime,
        fields.get("fileName"),
        fields.get("contentType"),
        fields.get("accessLevel"),
    )
    rejected = check(url, request, rule)
    if rejected is not None:
        raise rejected
    return url
