"""Downloads: a redirect to a signed URL, or that URL in a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import correlation_header
from .messages import Kind, Reply
from .operations import Call, Operation, Refused

if TYPE_CHECKING:
    from .organization import Organization
    from .settings import SimulatorSettings
    from .storage import MediaUrls

PATH = "/api/v2/downloads/{downloadId}"
CONTENT_TYPE = "application/pdf"
LOGIN_PATH = "/oauth/authorize"


class Downloads:
    """Redirects to the signed URLs of downloads."""

    def __init__(self, settings: SimulatorSettings, organization: Organization, urls: MediaUrls) -> None:
        self._settings = settings.download
        self._organization = organization
        self._urls = urls

    def __repr__(self) -> str:
        return "<Downloads>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operation."""
        return (Operation("getDownload", "GET", PATH, "download", self._download, stranger=self._stranger),)

    def _download(self, call: Call) -> Reply:
        (download_id,) = call.ids
        call.flag("redirectToAuth", default=True)
        redirects = call.flag("issueRedirect", default=True)
        if not self._organization.has_download(download_id):
            raise Refused("not.found")
        url = self._urls.url("download", call.origin, download_id, CONTENT_TYPE, signed_at=call.wall)
        return self._redirect(call, url) if redirects else call.reply({"url": url})

    def _redirect(self, call: Call, url: str) -> Reply:
        status = self._settings.redirect_status
        if self._settings.redirect_to == "nowhere":
            return call.empty(status)
        if self._settings.redirect_to == "itself":
            url = call.origin + call.request.target
        return call.empty(status, (b"Location", url.encode()))

    def _stranger(self, call: Call) -> Reply | None:
        """Send whoever has no good token to the login, if that is how it is and not declined."""
        if not self._settings.login_redirect or call.text("redirectToAuth", "true").lower() == "false":
            return None
        login = (b"Location", (call.origin + LOGIN_PATH).encode())
        return Reply(self._settings.redirect_status, (login, correlation_header(call.correlation_id)), kind=Kind.API)
