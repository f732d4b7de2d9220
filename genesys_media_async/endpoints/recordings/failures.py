"""Why there is no URL for a recording, and what to do about it. Pure."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from ...errors import (
    APIConnectionError,
    APIStatusError,
    ConnectError,
    DeadlineExceededError,
    GenesysMediaError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    sanitized,
)

if TYPE_CHECKING:
    from ...api.calls import CallResult

_RESTORE = (
    "Have it restored: PUT /api/v2/conversations/{conversationId}/recordings/{recordingId} with a later archiveDate, "
    "which needs the permission recording:recording:restore; then ask again."
)

_FILE_STATES = {
    "ARCHIVED": ("archived", False, _RESTORE),
    "DELETED": ("deleted", False, "It is gone for good: remove it from the input."),
    "UPLOADING": ("still being uploaded", True, "Ask again in some minutes."),
    "RESTORING": ("still being restored from the archive", True, "Ask again later; it can take hours."),
    "ERROR": ("broken", False, "Give Genesys's support the ids of the conversation and of the recording."),
}


VIEW_PERMISSION = (
    "one of the permissions recording:recording:view, recording:recordingSegment:view, "
    "recording:snippetRecording:view and recording:screenRecording:view"
)
"""What the OAuth client needs to see recordings."""


def without_media(file_state: str | None) -> GenesysMediaError:
    """Return what it means that a recording is there and has no media, by its `fileState`."""
    if file_state in _FILE_STATES:
        words, retryable, advice = _FILE_STATES[file_state]
        code = f"recording_{file_state.lower()}"
        return APIStatusError(f"The recording is {words}.", code=code, retryable=retryable, advice=advice)
    return NotFoundError(
        f"The recording has nothing to play (its state is {sanitized(file_state or 'not told', 40)}).",
        code="no_playable_media",
        advice="Chats, messages and e-mails may only be had with download=True; an empty recording has no media.",
    )


def without_url(where: str) -> InvalidResponseError:
    """Return what it means that there is neither a URL nor an error."""
    return InvalidResponseError(f"{where} has no URL.", code="no_url", advice="Ask again later.")


def no_recordings() -> NotFoundError:
    """Return what it means that a conversation's list of recordings is empty."""
    return NotFoundError(
        "The conversation has no recordings.",
        code="no_recordings",
        advice="It was not recorded, its recordings are deleted, or the OAuth client may not see their division.",
    )


def never_transcoded(patience: float) -> DeadlineExceededError:
    """Return what it means that a transcoding did not end in time."""
    return DeadlineExceededError(
        f"The recording was not transcoded within {patience:g} s.",
        code="never_transcoded",
        advice="Ask again later, allow more patience, or ask for NONE, the format it was recorded in.",
    )


def failed_in_batch(words: str) -> APIStatusError:
    """Return what the errorMsg of a batch job's result means; Genesys does not say which ones there are."""
    if "archiv" in words.lower():
        return APIStatusError(f"Genesys says: {sanitized(words)}.", code="recording_archived", advice=_RESTORE)
    return APIStatusError(
        f"Genesys says: {sanitized(words)}.",
        code="recording_failed",
        advice="Ask for this recording alone, by the endpoint `Recording`: its answer says more.",
    )


def not_in_batch(job_id: str) -> NotFoundError:
    """Return what it means that a batch job was completed and has no result for a request."""
    return NotFoundError(
        f"The batch job {job_id} was completed without a result for it.",
        code="recording_not_in_batch",
        advice=(
            "There is no such recording, it is archived, or it holds sensitive data, for which the OAuth client "
            "needs the permission recording:recording:viewSensitiveData."
        ),
    )


def never_completed(job_id: str, status: str | None, patience: float) -> DeadlineExceededError:
    """Return what it means that a batch job did not end in time."""
    return DeadlineExceededError(
        f"The batch job {job_id} was not completed within {patience:g} s; "
        f"its status is {sanitized(status or 'not known', 40)}.",
        code="batch_never_completed",
        advice="Ask for these ids again later, which makes a new job, or allow more patience.",
    )


def not_submitted(answer: CallResult[str]) -> GenesysMediaError:
    """Return what it means that a submission brought no job: another one may be made, unless there may be one."""
    error = answer.error or InvalidResponseError("There was no reply.")
    if not _may_have_been_accepted(error, sent=answer.latency > 0):
        return error
    unknown = copy.copy(error)
    unknown.message = f"Genesys may have made a batch job whose id never arrived. {error.message}"
    unknown.code = "batch_submission_unknown"
    unknown.retryable = False
    unknown.advice = "If another job does no harm, ask for these ids again; that was not done without being asked for."
    return unknown


def not_to_be_asked(error: GenesysMediaError | None) -> GenesysMediaError:
    """Return what it means that a batch job cannot be asked for its results any more."""
    if isinstance(error, PermissionDeniedError) and error.code == "batch.download.permission.denied":
        error.advice = "Only the OAuth client that submitted a job can ask for its results: let the same one do both."
    elif isinstance(error, NotFoundError):
        error.retryable = True
        error.advice = "The job is lost, as after a restart of the service. Ask for these ids again, in a new job."
    return error or InvalidResponseError("There was no reply.")


def _may_have_been_accepted(error: GenesysMediaError, *, sent: bool) -> bool:
    match error:
        case ConnectError():
            return False
        case APIConnectionError():
            return True
        case InvalidResponseError(status_code=status):
            return status is None or status < 300
        case APIStatusError(status_code=503, retry_after=float()):
            return False
        case APIStatusError(status_code=int() as status):
            return status == 408 or status >= 500
        case DeadlineExceededError():
            # An attempt before the last one would have been the last, had it not been certain that it was not or_raise.
            return sent
        case _:
            return False
