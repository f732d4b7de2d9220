"""The permissions that more than one service requires."""

from __future__ import annotations

VIEW_PERMISSIONS = (
    "recording:recording:view",
    "recording:recordingSegment:view",
    "recording:snippetRecording:view",
    "recording:screenRecording:view",
)
"""Any one of them lets a client see recordings."""

SENSITIVE_PERMISSION = "recording:recording:viewSensitiveData"
