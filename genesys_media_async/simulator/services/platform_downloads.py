"""Platform downloads: a redirect to a signed URL, or that URL in a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import correlation_header
from ..messages import Kind, Reply
from ..operations import Call, Operation, Refused

if TYPE_CHECKING:
    from ..organization import Organization
    from ..settings import SimulatorSettings
    from .storage import MediaUrls

PATH = "/api/v2/downloads/{downloadId}"
CONTENT_TYPE = "application/pdf"
LOGIN_PATH = "/oauth/authorize"


class PlatformDownloads:
    """Redirects to the signed URLs of platform downloads."""

    def __init__(self, settings: SimulatorSettings, organization: Organization, urls: MediaUrls) -> None:
        self._settings = settings.platform_download
        self._organization = organization
        self._urls = urls

    def __repr__(self) -> str:
        return "<PlatformDownloads>"

    def operations(self) -> tuple[Operation, ...]:
        """Return the family's operation."""
        return (
            Operation(
                "getDownload", "GET", PATH, "platform-download", self._download, unauthenticated=self._unauthenticated
            ),
        )

    def _download(self, call: Call) -> Reply:
        (download_id,) = call.ids
        call.flag("redirectToAuth", default=True)
        redirects = call.flag("issueRedirect", default=True)
        if not self._organization.has_platform_download(download_id):
            raise Refused("not.found")
        url = self._urls.url("platform-download", call.origin, download_id, CONTENT_TYPE, signed_at=call.wall)
        return self._redirect(call, url) if redirects else call.reply({"url": url})

    def _redirect(self, call: Call, url: str) -> Reply:
        status = self._settings.redirect_status
        if self._settings.redirect_to == "nowhere":
            return call.empty(status)
        if self._settings.redirect_to == "itself":
            url = call.origin + call.request.target
        return call.empty(status, (b"Location", url.encode()))

    def _unauthenticated(self, call: Call) -> Reply | None:
        """Redirect a call without a valid token to the login, if the settings and the call allow it."""
        if not self._settings.login_redirect or call.text("redirectToAuth", "true").lower() == "false":
            return None
        login = (b"Location", (call.origin + LOGIN_PATH).encode())
        return Reply(self._settings.redirect_status, (login, correlation_header(call.correlation_id)), kind=Kind.API)
