"""
The simulated organization: its conversations and their recordings, each worked out when it is asked for.

Nothing is kept but what a test has changed, so a million recordings cost no more than one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from .family_settings import MAX_RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from .derivation import Derivation, IdKind
    from .family_settings import Media, OrganizationSettings

FileState = Literal["AVAILABLE", "ARCHIVED", "DELETED", "RESTORED", "RESTORING", "UPLOADING", "ERROR"]
"""What Genesys calls the state of a recording's file."""

MIN_SECONDS = 30.0
MAX_SECONDS = 600.0
DAY = 86400.0
INBOUND_SHARE = 0.75

_PLAYABLE = frozenset({"AVAILABLE", "RESTORED"})
_PER_CONVERSATION = MAX_RECORDINGS + 1


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    One conversation: ids, when it was (epoch seconds), what of it was recorded and how many times.

    `communication_id` is that of the agent's communication, which analytics and recordings call the session.
    """

    index: int
    id: str
    communication_id: str
    queue_id: str
    media: Media
    direction: Literal["inbound", "outbound"]
    started_at: float
    ended_at: float
    recording_count: int


@dataclass(frozen=True, slots=True)
class Recording:
    """
    One recording of a conversation.

    `parts` media files belong to it. `sensitive` ones are left out of a batch for clients without the permission.
    `batch_error` is the errorMsg that a batch job gives instead of a URL. `transcode_seconds` overrides the settings'.
    """

    id: str
    conversation_id: str
    session_id: str
    media: Media
    started_at: float
    ended_at: float
    parts: int = 1
    file_state: FileState = "AVAILABLE"
    sensitive: bool = False
    batch_error: str | None = None
    transcode_seconds: float | None = None

    @property
    def playable(self) -> bool:
        """Whether there is media to be had now."""
        return self.file_state in _PLAYABLE and self.parts > 0


class Traits(TypedDict, total=False):
    """What can be changed of a recording."""

    media: Media
    parts: int
    file_state: FileState
    sensitive: bool
    batch_error: str | None
    transcode_seconds: float | None


class Organization:
    """
    Everything that the simulated organization has, in a fixed order.

    Ids are UUIDs that depend on the seed and the place in that order alone.
    """

    def __init__(self, settings: OrganizationSettings, derivation: Derivation, now: float) -> None:
        self.id = derivation.id("organization", 0)
        self.division_id = derivation.id("division", 0)
        self._settings = settings
        self._derivation = derivation
        until = settings.until if settings.until is not None else now
        self._length = settings.days * DAY
        self._begins = until - MAX_SECONDS - self._length
        self._queue_ids = [derivation.id("queue", number) for number in range(settings.queues)]
        self._changes: dict[str, Traits] = {}

    def __repr__(self) -> str:
        return f"<Organization of {len(self)} conversations>"

    def __len__(self) -> int:
        """How many conversations there are."""
        return self._settings.conversations

    def conversations(self) -> Iterator[Conversation]:
        """Yield every conversation, in the order in which they started."""
        return (self.conversation_at(index) for index in range(len(self)))

    def conversation_at(self, index: int) -> Conversation:
        """Return the conversation at a place in the order."""
        conversation_id = self._derivation.id("conversation", index)
        start, length, queue, medium, direction, count, *_ = self._derivation.chances("conversation", conversation_id)
        started_at = self._begins + (index + start) * self._length / len(self)
        least, most = self._settings.recordings
        media = self._settings.media
        return Conversation(
            index,
            conversation_id,
            self._derivation.id("communication", index),
            self._queue_ids[int(queue * len(self._queue_ids))],
            media[int(medium * len(media))],
            "inbound" if direction < INBOUND_SHARE else "outbound",
            started_at,
            started_at + MIN_SECONDS + (MAX_SECONDS - MIN_SECONDS) * length,
            least + int(count * (most - least + 1)),
        )

    def conversation(self, conversation_id: str) -> Conversation | None:
        """Return the conversation of an id, or None when there is none."""
        index = self._derivation.number("conversation", conversation_id)
        return self.conversation_at(index) if index is not None and index < len(self) else None

    def indexes_started_between(self, begin: float, end: float) -> range:
        """Return the places of the conversations that can have started in an interval, and hardly any others."""
        gap = self._length / max(1, len(self))
        first = int((begin - self._begins) // gap)
        last = int((end - self._begins) // gap)
        return range(max(0, min(first, len(self))), max(0, min(last + 1, len(self))))

    def recordings(self) -> Iterator[Recording]:
        """Yield every recording of every conversation."""
        for conversation in self.conversations():
            yield from self.recordings_of(conversation)

    def recordings_of(self, conversation: Conversation) -> list[Recording]:
        """Return the recordings of one conversation."""
        return [self._recording(conversation, place) for place in range(conversation.recording_count)]

    def recording(self, conversation_id: str, recording_id: str) -> Recording | None:
        """Return the recording of an id, or None when there is none in this conversation."""
        number = self._derivation.number("recording", recording_id)
        conversation = self.conversation(conversation_id)
        if number is None or conversation is None:
            return None
        index, place = divmod(number, _PER_CONVERSATION)
        if index != conversation.index or place >= conversation.recording_count:
            return None
        return self._recording(conversation, place)

    def orphan(self, orphan_id: str) -> Recording | None:
        """Return an orphan recording, which has a conversation id that leads nowhere; None when there is none."""
        number = self._derivation.number("orphan", orphan_id)
        if number is None or number >= self._settings.orphans:
            return None
        lost = self._derivation.id("conversation", len(self) + number)
        communication_id = self._derivation.id("communication", len(self) + number)
        recording = Recording(orphan_id, lost, communication_id, "audio", self._begins, self._begins + MIN_SECONDS)
        return self._changed(recording)

    def change(self, recording_id: str, **traits: Unpack[Traits]) -> None:
        """
        Make a recording, or an orphan, what a test needs it to be; what is not named stays.

        Raises ValueError for an id that is no recording's and for a file state that Genesys does not have.
        """
        if not self._is_recording(recording_id):
            raise ValueError(f"{recording_id!r} is no recording or orphan of this organization")
        if traits.get("file_state", "AVAILABLE") not in get_args(FileState):
            raise ValueError(f"file_state must be one of {', '.join(get_args(FileState))}")
        self._changes[recording_id] = {**self._changes.get(recording_id, Traits()), **traits}

    def queue_ids(self) -> list[str]:
        """Return the ids of all queues."""
        return list(self._queue_ids)

    def document_ids(self) -> list[str]:
        """Return the ids of all documents."""
        return [self._derivation.id("document", number) for number in range(self._settings.documents)]

    def download_ids(self) -> list[str]:
        """Return the ids of all downloads."""
        return [self._derivation.id("download", number) for number in range(self._settings.downloads)]

    def orphan_ids(self) -> list[str]:
        """Return the ids of all orphan recordings."""
        return [self._derivation.id("orphan", number) for number in range(self._settings.orphans)]

    def has_document(self, document_id: str) -> bool:
        """Say whether there is such a document."""
        return self._is_one_of("document", document_id, self._settings.documents)

    def has_download(self, download_id: str) -> bool:
        """Say whether there is such a download."""
        return self._is_one_of("download", download_id, self._settings.downloads)

    def message_media_id(self, conversation: Conversation) -> str:
        """Return the id of the media file that was sent in a conversation's messages; every conversation has one."""
        return self._derivation.id("message-media", conversation.index)

    def participant_id(self, conversation: Conversation) -> str:
        """Return the id of the agent's participant."""
        return self._derivation.id("participant", conversation.index)

    def _recording(self, conversation: Conversation, place: int) -> Recording:
        recording_id = self._derivation.id("recording", conversation.index * _PER_CONVERSATION + place)
        settings = self._settings
        two_parts, archived, sensitive, failing, *_ = self._derivation.chances("recording", recording_id)
        recording = Recording(
            recording_id,
            conversation.id,
            conversation.communication_id,
            conversation.media,
            conversation.started_at,
            conversation.ended_at,
            2 if conversation.media == "audio" and two_parts < settings.two_part_share else 1,
            "ARCHIVED" if archived < settings.archived_share else "AVAILABLE",
            sensitive < settings.sensitive_share,
            "The recording could not be processed" if failing < settings.failing_share else None,
        )
        return self._changed(recording)

    def _changed(self, recording: Recording) -> Recording:
        traits = self._changes.get(recording.id)
        return recording if traits is None else replace(recording, **traits)

    def _is_recording(self, recording_id: str) -> bool:
        if self.orphan(recording_id) is not None:
            return True
        number = self._derivation.number("recording", recording_id)
        if number is None or number // _PER_CONVERSATION >= len(self):
            return False
        return number % _PER_CONVERSATION < self.conversation_at(number // _PER_CONVERSATION).recording_count

    def _is_one_of(self, kind: IdKind, text: str, count: int) -> bool:
        number = self._derivation.number(kind, text)
        return number is not None and number < count
