"""Recordings of a simulator: their paths, and settings that make them predictable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genesys_media_async.simulator import OrganizationSettings, RecordingSettings

if TYPE_CHECKING:
    from genesys_media_async.simulator import Recording, Simulator

AUDIO = OrganizationSettings(recordings=(2, 2), media=("audio",), two_part_share=0.0)
AT_ONCE = RecordingSettings(transcode_seconds=0.0)
STEADY = RecordingSettings(transcode_seconds=4.0, spread=0.0)


def list_path(recording: Recording) -> str:
    return f"/api/v2/conversations/{recording.conversation_id}/recordings"


def path_of(recording: Recording) -> str:
    return f"{list_path(recording)}/{recording.id}"


def first(simulator: Simulator) -> Recording:
    return next(simulator.organization.recordings())
