"""The permissions that services require, as the documentation of the official .NET SDK 270 names them."""

from __future__ import annotations

VIEW_PERMISSIONS = (
    "recording:recording:view",
    "recording:recordingSegment:view",
    "recording:snippetRecording:view",
    "recording:screenRecording:view",
)
"""Any one of them lets a client see recordings."""

CONVERSATION_DETAIL_PERMISSION = "analytics:conversationDetail:view"
DETAIL_PERMISSIONS = (CONVERSATION_DETAIL_PERMISSION, "analytics:agentConversationDetail:view")
"""Any one of them lets a client query conversation details, and run jobs for them."""

MESSAGE_MEDIA_PERMISSIONS = ("conversation:message:view", "conversation:webmessaging:view")
"""Any one of them lets a client see a media file in a message."""

SENSITIVE_PERMISSION = "recording:recording:viewSensitiveData"
