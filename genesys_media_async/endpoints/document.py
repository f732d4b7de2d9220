"""Documents of the content management: the URL of their content, once it is prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from ..errors import InvalidResponseError
from .base import MISSING_ID, Endpoint, Probe, read_json
from .polled_get import TIMEOUT, NotReady, get_when_ready, or_raise, validated
from .polling import check_timeout

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
    The URL of a document's content by `GET /api/v2/contentmanagement/documents/{documentId}/content`.

    While the content is being prepared it is polled, for up to `timeout` seconds. `content_type` is the type to convert
    the content to; `disposition` is what the URL makes a browser do with it. Raises `SettingsError` for a `timeout`
    that is not positive.
    """

    action = "document"
    id_formats = ("documentId",)
    permission = "the permissions of the content management, and access to the document's workspace"
    probe = Probe("GET", f"/api/v2/contentmanagement/documents/{MISSING_ID}/content")

    def __init__(
        self,
        *,
        content_type: str | None = None,
        disposition: Literal["attachment", "inline"] = "attachment",
        timeout: float = TIMEOUT,
    ) -> None:
        wanted = {"disposition": disposition} | ({} if content_type is None else {"contentType": content_type})
        self._query = urlencode(wanted)
        self._content_type = content_type
        self._timeout = check_timeout(timeout)

    def __repr__(self) -> str:
        return f"<Document {self._query}>"

    async def retrieve(self, requests: tuple[MediaRequest, ...], context: EndpointContext) -> None:
        """Retrieve the URL of one document."""
        (request,) = requests

        def read(reply: HttpReply, sent_at: float) -> DownloadUrl | NotReady:
            body = read_json(_REPLY, reply)
            if body.contentLocationUri is not None and body.state != "Running":
                url = body.contentLocationUri
                return or_raise(validated(url, request, context.rule, sent_at, content_type=self._content_type))
            if body.state == "Completed":
                raise InvalidResponseError(
                    "The document is prepared, but the reply has no URL of its content.",
                    code="no_content_location",
                    retryable=False,
                )
            return NotReady()

        path = f"/api/v2/contentmanagement/documents/{request.file_id}/content?{self._query}"
        result = await get_when_ready(self, context, request, path, read, timeout=self._timeout)
        await context.report(request, result)
