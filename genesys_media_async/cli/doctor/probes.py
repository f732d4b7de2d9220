"""Harmless calls, one for each source: about what does not exist, so that none of them can hand anything out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOBODY: Final = "00000000-0000-4000-8000-000000000000"
NO_FILE: Final = "missing-genesys-media-doctor"

_VIEW: Final = (
    "one of the permissions recording:recording:view, recording:recordingSegment:view, "
    "recording:snippetRecording:view and recording:screenRecording:view"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask, and what the OAuth client needs for it; `remark` is what a good answer leaves open."""

    method: str
    path: str
    permission: str
    body: bytes = b""
    remark: str = ""


PROBES: Final = {
    "media-storage": Probe(
        "POST",
        f"/api/v2/media/storage/files/{NO_FILE}/download-url",
        "the permission that the gateway's owner names",
        body=f'{{"fileId":"{NO_FILE}","expiresIn":60}}'.encode(),
        remark="an organisation without this gateway answers 404, too",
    ),
    # Without an item no job is made.
    "recording-batch": Probe("POST", "/api/v2/recording/batchrequests", _VIEW, body=b'{"batchDownloadRequestList":[]}'),
    "recording": Probe("GET", f"/api/v2/conversations/{NOBODY}/recordings/{NOBODY}", _VIEW),
    "document": Probe(
        "GET",
        f"/api/v2/contentmanagement/documents/{NOBODY}/content",
        "the permissions of the content management, and access to the document's workspace",
    ),
    "download": Probe(
        "GET",
        f"/api/v2/downloads/{NOBODY}?issueRedirect=false&redirectToAuth=false",
        "the permission that the message names",
    ),
    "orphan-recording": Probe(
        "GET", f"/api/v2/orphanrecordings/{NOBODY}/media", "the permission recording:orphan:view"
    ),
    "transcript": Probe(
        "GET",
        f"/api/v2/speechandtextanalytics/conversations/{NOBODY}/communications/{NOBODY}/transcripturl",
        "the permissions recording:recording:view and speechAndTextAnalytics:data:view",
    ),
    "message-media": Probe(
        "GET",
        f"/api/v2/conversations/messages/{NOBODY}/communications/{NOBODY}/messages/media/{NOBODY}",
        "the permission that the message names",
    ),
}

DISCOVERY: Final = Probe(
    "GET",
    f"/api/v2/analytics/conversations/details/jobs/{NOBODY}",
    "the permission analytics:conversationDetail:view",
)
"""What `genesys-media discover` needs."""
