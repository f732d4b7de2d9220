"""Media storage: one POST for one pre-signed URL."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, NotRequired

from msgspec import Meta, MsgspecError, Struct, convert
from msgspec.json import Decoder
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


class _Reply(Struct, rename="camel", gc=False):
    """
    The JSON body of a reply; unknown members are ignored, wrong types are not.

    `expires_in` is in seconds.
    """

    url: Annotated[str, Meta(min_length=1)]
    expires_in: Annotated[int, Meta(gt=0, lt=_MAX_LIFETIME)]
    file_name: str | None = None
    content_type: str | None = None
    access_level: str | None = None


@with_config(ConfigDict(strict=True, hide_input_in_errors=True))
class _Agreed(TypedDict):
    """The same shape for pydantic, whose words say what is wrong with a reply."""

    url: Annotated[str, Field(min_length=1)]
    expiresIn: Annotated[int, Field(gt=0, lt=_MAX_LIFETIME)]
    fileName: NotRequired[str | None]
    contentType: NotRequired[str | None]
    accessLevel: NotRequired[str | None]


_decode: Callable[[bytes], _Reply] = Decoder(_Reply).decode
_validate: Callable[[bytes], _Agreed] = TypeAdapter(_Agreed).validator.validate_json


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
        file_id = request.file_id
        # No character of an id or an access level needs quoting.
        path = f"{self._before}{file_id}{self._after}"
        body = f'{{"fileId":"{file_id}",{_rest_of_body(request.expires_in, request.access_level)}'.encode()
        read = partial(read_reply, request, context.rule)
        await context.report(request, await context.call(Call("POST", path, body, file_id, self.action, read)))


@lru_cache(maxsize=16)
def _rest_of_body(expires_in: int, access_level: str | None) -> str:
    """Return what the bodies of a run have in common."""
    level = "" if access_level is None else f',"accessLevel":"{access_level}"'
    return f'"expiresIn":{expires_in}{level}}}'


def read_reply(request: MediaRequest, rule: ValidationRule, reply: HttpReply, sent_at: float) -> DownloadUrl:
    """
    Return the validated URL in a reply to a request sent at `sent_at` (seconds since 1970, UTC).

    Raises `InvalidResponseError` for a reply that is not the agreed JSON, and `UrlRejectedError` for a URL that breaks
    the rule.
    """
    body = reply.body if reply.headers.get("content-type") in JSON_CONTENT_TYPES else require_json(reply)
    try:
        agreed = _decode(body)
    # The last one is for members that are nested too deeply.
    except (MsgspecError, UnicodeError, RecursionError):
        agreed = _read_again(body)
    lifetime = agreed.expires_in
    url = DownloadUrl(
        agreed.url, sent_at + lifetime, lifetime, agreed.file_name, agreed.content_type, agreed.access_level
    )
    if (refused := check(url, request, rule)) is not None:
        raise refused
    return url


def _read_again(body: bytes) -> _Reply:
    """Read what msgspec refused: it may have a fault that is repaired; pydantic's words are the messages."""
    try:
        fields = _validate(body)
    except ValidationError as error:
        fields = read_repaired(_validate, body, error)
    return convert(fields, _Reply)
