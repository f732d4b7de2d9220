"""The content of documents: its location, once it is prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..operations import Call, Operation, Refused

if TYPE_CHECKING:
    from ..messages import Reply
    from ..organization import Organization
    from ..settings import SimulatorSettings
    from .storage import MediaUrls
    from .transcoding import Transcoder

PATH = "/api/v2/contentmanagement/documents/{documentId}"
CONTENT_TYPE = "application/pdf"


class Documents:
    """Serves the content locations of documents of the content management."""

    def __init__(
        self, settings: SimulatorSettings, organization: Organization, urls: MediaUrls, preparation: Transcoder
    ) -> None:
        self._settings = settings.document
        self._organization = organization
        self._urls = urls
        self._preparation = preparation

    def __repr__(self) -> str:
        return "<Documents>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operation."""
        name = "getContentmanagementDocumentContent"
        return (Operation(name, "GET", f"{PATH}/content", "document", self._content),)

    def _content(self, call: Call) -> Reply:
        (document_id,) = call.ids
        call.choice("disposition", ("attachment", "inline"), "attachment")
        content_type = call.text("contentType", CONTENT_TYPE)
        if not self._organization.has_document(document_id):
            raise Refused("not.found")
        work = f"{document_id} {content_type}"
        described = {"id": document_id, "selfUri": PATH.format(documentId=document_id)}
        if self._preparation.remaining(work, self._settings.preparing_seconds, call.now) > 0:
            if self._settings.preparing_reply == "accepted":
                return call.empty(202)
            return call.reply({**described, "state": "Running"})
        url = self._urls.url("document", call.origin, document_id, content_type, signed_at=call.wall)
        return call.reply({**described, "contentLocationUri": url, "state": "Completed"})
