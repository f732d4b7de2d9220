"""
The simulated organization: its conversations and their recordings, each computed on demand.

Only the changes of a test are stored, so a million recordings cost no more than one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from .family_settings import MAX_RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    from .family_settings import Media, OrganizationSettings
    from .seeded_ids import IdKind, SeededIds

FileState = Literal["AVAILABLE", "ARCHIVED", "DELETED", "RESTORED", "RESTORING", "UPLOADING", "ERROR"]
"""The states of a recording's file, by Genesys's names."""

MIN_CONVERSATION_SECONDS = 30.0
MAX_CONVERSATION_SECONDS = 600.0
"""But for the long ones, see `OrganizationSettings.long_share`."""

DAY = 86400.0
INBOUND_SHARE = 0.75

USERS = 6
FLOWS = 3
WRAP_UP_CODES = 4
LANGUAGES = 2
CUSTOMERS = 40
SERVICE_NUMBERS = ("tel:+498000000001", "tel:+498000000002", "tel:+498000000003")
WRAP_UP_SHARE = 0.8
LANGUAGE_SHARE = 0.5

_PLAYABLE = frozenset({"AVAILABLE", "RESTORED"})
_PER_CONVERSATION = MAX_RECORDINGS + 1


@dataclass(frozen=True, slots=True)
class Conversation:
    """
    One conversation: its ids, its times (epoch seconds), and the medium and number of its recordings.

    `communication_id` belongs to the agent's communication, which analytics and recordings call the session.
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
class Handling:
    """
    Who handled a conversation, and how it came in, by the names of analytics; None where it has no such value.

    Only a call has numbers, only an inbound conversation came through a flow, and not every agent sets a wrap-up code.
    """

    user_id: str
    ani: str | None
    dnis: str | None
    wrap_up_code: str | None
    flow_id: str | None
    language_id: str | None


@dataclass(frozen=True, slots=True)
class Recording:
    """
    One recording of a conversation.

    `parts` is the number of its media files. A batch job omits a `sensitive` recording for clients without the
    permission. `batch_error` is the errorMsg of a batch job in place of a URL. `transcode_seconds` overrides the
    settings.
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
        """True when its media can be served now."""
        return self.file_state in _PLAYABLE and self.parts > 0


class Traits(TypedDict, total=False):
    """The fields of a recording that a test can change."""

    media: Media
    parts: int
    file_state: FileState
    sensitive: bool
    batch_error: str | None
    transcode_seconds: float | None


class Organization:
    """
    All conversations, recordings and other objects of the simulated organization, in a fixed order.

    Ids are UUIDs that depend only on the seed and the position in that order.
    """

    def __init__(self, settings: OrganizationSettings, seeded_ids: SeededIds, now: float) -> None:
        self.id = seeded_ids.id("organization", 0)
        self.division_id = seeded_ids.id("division", 0)
        self._settings = settings
        self._seeded_ids = seeded_ids
        until = settings.until if settings.until is not None else now
        self._length = settings.days * DAY
        self._begins = until - MAX_CONVERSATION_SECONDS - self._length
        self.longest_seconds = max(MAX_CONVERSATION_SECONDS, settings.long_days * DAY if settings.long_share else 0.0)
        self._queue_ids = [seeded_ids.id("queue", number) for number in range(settings.queues)]
        self._user_ids = [seeded_ids.id("user", number) for number in range(USERS)]
        self._wrap_up_codes = [seeded_ids.id("wrap-up-code", number) for number in range(WRAP_UP_CODES)]
        self._flow_ids = [seeded_ids.id("flow", number) for number in range(FLOWS)]
        self._language_ids = [seeded_ids.id("language", number) for number in range(LANGUAGES)]
        self._changes: dict[str, Traits] = {}

    def __repr__(self) -> str:
        return f"<Organization of {len(self)} conversations>"

    def __len__(self) -> int:
        """Return the number of conversations."""
        return self._settings.conversations

    def conversations(self) -> Iterator[Conversation]:
        """Return an iterator over every conversation, in the order of their starts."""
        return (self.conversation_at(index) for index in range(len(self)))

    def conversation_at(self, index: int) -> Conversation:
        """Return the conversation at a position in the order."""
        conversation_id = self._seeded_ids.id("conversation", index)
        start, length, queue, medium, direction, count, *_ = self._seeded_ids.chances("conversation", conversation_id)
        started_at = self._begins + (index + start) * self._length / len(self)
        fewest, most = self._settings.recordings
        media = self._settings.media
        return Conversation(
            index,
            conversation_id,
            self._seeded_ids.id("communication", index),
            self._queue_ids[int(queue * len(self._queue_ids))],
            media[int(medium * len(media))],
            "inbound" if direction < INBOUND_SHARE else "outbound",
            started_at,
            started_at + self._seconds(conversation_id, length),
            fewest + int(count * (most - fewest + 1)),
        )

    def handling_of(self, conversation: Conversation) -> Handling:
        """Return who handled a conversation, and how it came in."""
        chances = self._seeded_ids.chances("handling", conversation.id)
        user, customer, service, code, coded, flow, language, spoken = chances
        numbers = f"tel:+49301000{int(customer * CUSTOMERS):03}", SERVICE_NUMBERS[int(service * len(SERVICE_NUMBERS))]
        is_inbound = conversation.direction == "inbound"
        ani, dnis = numbers if is_inbound else reversed(numbers)
        is_call = conversation.media in ("audio", "screen")
        return Handling(
            self._user_ids[int(user * USERS)],
            ani if is_call else None,
            dnis if is_call else None,
            self._wrap_up_codes[int(code * WRAP_UP_CODES)] if coded < WRAP_UP_SHARE else None,
            self._flow_ids[int(flow * FLOWS)] if is_inbound else None,
            self._language_ids[int(language * LANGUAGES)] if spoken < LANGUAGE_SHARE else None,
        )

    def conversation(self, conversation_id: str) -> Conversation | None:
        """Return the conversation with an id, or None."""
        index = self._seeded_ids.number("conversation", conversation_id)
        return self.conversation_at(index) if index is not None and index < len(self) else None

    def indexes_started_between(self, begin: float, end: float) -> range:
        """Return the positions of the conversations that started in an interval, and at most two others."""
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
        """Return the recording with an id, or None when this conversation has no such recording."""
        number = self._seeded_ids.number("recording", recording_id)
        conversation = self.conversation(conversation_id)
        if number is None or conversation is None:
            return None
        index, place = divmod(number, _PER_CONVERSATION)
        if index != conversation.index or place >= conversation.recording_count:
            return None
        return self._recording(conversation, place)

    def orphan(self, orphan_id: str) -> Recording | None:
        """Return the orphan recording with an id, whose conversation does not exist; None for an unknown id."""
        number = self._seeded_ids.number("orphan", orphan_id)
        if number is None or number >= self._settings.orphans:
            return None
        lost = self._seeded_ids.id("conversation", len(self) + number)
        communication_id = self._seeded_ids.id("communication", len(self) + number)
        ended_at = self._begins + MIN_CONVERSATION_SECONDS
        recording = Recording(orphan_id, lost, communication_id, "audio", self._begins, ended_at)
        return self._changed(recording)

    def change(self, recording_id: str, **traits: Unpack[Traits]) -> None:
        """
        Change fields of a recording or an orphan recording for a test; the other fields stay.

        Raises ValueError for an id of no recording and for an unknown file state.
        """
        if not self._is_recording(recording_id):
            raise ValueError(f"{recording_id!r} is no recording or orphan recording of this organization")
        if traits.get("file_state", "AVAILABLE") not in get_args(FileState):
            raise ValueError(f"file_state must be one of {', '.join(get_args(FileState))}")
        self._changes[recording_id] = {**self._changes.get(recording_id, Traits()), **traits}

    def queue_ids(self) -> list[str]:
        """Return the ids of all queues."""
        return list(self._queue_ids)

    def document_ids(self) -> list[str]:
        """Return the ids of all documents."""
        return [self._seeded_ids.id("document", number) for number in range(self._settings.documents)]

    def platform_download_ids(self) -> list[str]:
        """Return the ids of all platform downloads."""
        return [self._seeded_ids.id("platform-download", number) for number in range(self._settings.platform_downloads)]

    def orphan_ids(self) -> list[str]:
        """Return the ids of all orphan recordings."""
        return [self._seeded_ids.id("orphan", number) for number in range(self._settings.orphans)]

    def has_document(self, document_id: str) -> bool:
        """Return whether a document with this id exists."""
        return self._is_one_of("document", document_id, self._settings.documents)

    def has_platform_download(self, download_id: str) -> bool:
        """Return whether a platform download with this id exists."""
        return self._is_one_of("platform-download", download_id, self._settings.platform_downloads)

    def message_media_id(self, conversation: Conversation) -> str:
        """Return the id of the media file in a conversation's messages; every conversation has one."""
        return self._seeded_ids.id("message-media", conversation.index)

    def participant_id(self, conversation: Conversation) -> str:
        """Return the id of a conversation's agent as participant."""
        return self._seeded_ids.id("participant", conversation.index)

    def _seconds(self, conversation_id: str, length: float) -> float:
        """Return how long a conversation lasts; `length` is from 0 up to 1."""
        share = self._settings.long_share
        if share:
            chance, extent, *_ = self._seeded_ids.chances("long conversation", conversation_id)
            if chance < share:
                return MAX_CONVERSATION_SECONDS + (self.longest_seconds - MAX_CONVERSATION_SECONDS) * extent
        return MIN_CONVERSATION_SECONDS + (MAX_CONVERSATION_SECONDS - MIN_CONVERSATION_SECONDS) * length

    def _recording(self, conversation: Conversation, place: int) -> Recording:
        recording_id = self._seeded_ids.id("recording", conversation.index * _PER_CONVERSATION + place)
        settings = self._settings
        two_parts, archived, sensitive, failing, *_ = self._seeded_ids.chances("recording", recording_id)
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
        number = self._seeded_ids.number("recording", recording_id)
        if number is None or number // _PER_CONVERSATION >= len(self):
            return False
        return number % _PER_CONVERSATION < self.conversation_at(number // _PER_CONVERSATION).recording_count

    def _is_one_of(self, kind: IdKind, text: str, count: int) -> bool:
        number = self._seeded_ids.number(kind, text)
        return number is not None and number < count
