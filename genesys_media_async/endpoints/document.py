"""Documents of the content management: where their content can be had, once it is prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import InvalidResponseError
from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import TIMEOUT, NotReady, get, or_raise, validated
from .polling import check_patience

if TYPE_CHECKING:
    from ..models import DownloadUrl, MediaRequest
    from ..transports.base import HttpReply
    from .base import EndpointContext


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)

    contentLocationUri: str | None = Field(default=None, repr=False)  # noqa: N815
    state: str | None = None


_REPLY = TypeAdapter(_Reply)


class Document(Endpoint):
    """
    Asks `GET /api/v2/contentmanagement/documents/{documentId}/content`, again while it is being prepared.

    The OAuth client needs the content management's permissions and access to the document's workspace. `content_type`
    is what the content is to be converted to, `disposition` what the URL tells a browser to do with it. `patience` is
    in seconds. Raises `SettingsError` for a patience that is none.
    """

    action = "document"
    id_formats = ("documentId",)
    permission = "the permissions of the content management, and access to the document's workspace"
    probe = Probe("GET", f"/api/v2/contentmanagement/documents/{MISSING_ID}/content")
    batch_size = 1

    def __init__(
        self,
        *,
        content_type: str | None = None,
        disposition: Literal["attachment", "inline"] = "attachment",
        patience: float = TIMEOUT,
    ) -> None:
        wanted = {"disposition": disposition} | ({} if content_type is None else {"contentType": content_type})
        self._query = urlencode(wanted)
        self._content_type = content_type
        self._patience = check_patience(patience)

    def __repr__(self) -> str:
        return f"<Document {self._query}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Ask for the content of one document."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl | NotReady:
            said = read_json(_REPLY, reply)
            if said.contentLocationUri is not None and said.state != "Running":
                url = said.contentLocationUri
                return or_raise(validated(url, request, context.rule, sent_at, content_type=self._content_type))
            if said.state == "Completed":
                raise InvalidResponseError(
                    "The document is prepared, and the reply does not say where it is.",
                    code="no_content_location",
                    retryable=False,
                )
            return NotReady()

        path = f"/api/v2/contentmanagement/documents/{request.file_id}/content?{self._query}"
        permission = "the permissions of the content management, and access to the document's workspace"
        answer = await get(context, request, path, self.action, read, permission=permission, patience=self._patience)
        await context.report(request, answer)
