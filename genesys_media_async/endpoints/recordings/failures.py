"""The errors for a recording without a URL, with what to do about them. Pure."""

from __future__ import annotations

import copy

from ...errors import (
    APIStatusError,
    DeadlineExceededError,
    GenesysMediaError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    sanitized,
)

NOT_THE_SUBMITTER = "batch_download_permission_denied"
"""Genesys's code for a 403 about a batch job of another OAuth client."""

_RESTORE = (
    "Restore it by PUT /api/v2/conversations/{conversationId}/recordings/{recordingId} with a later archiveDate, which "
    "needs the permission recording:recording:restore; then try again."
)

_FILE_STATES = {
    "ARCHIVED": ("archived", False, _RESTORE),
    "DELETED": ("deleted", False, "It cannot be restored: remove it from the input."),
    "UPLOADING": ("still being uploaded", True, "Try again in some minutes."),
    "RESTORING": ("still being restored from the archive", True, "Try again later; it can take hours."),
    "ERROR": ("broken", False, "Give Genesys's support the ids of the conversation and of the recording."),
}


def without_media(file_state: str | None) -> GenesysMediaError:
    """Error for a recording that exists but has no media, by its `fileState`."""
    if file_state in _FILE_STATES:
        words, retryable, advice = _FILE_STATES[file_state]
        code = f"recording_{file_state.lower()}"
        return APIStatusError(f"The recording is {words}.", code=code, retryable=retryable, advice=advice)
    return NotFoundError(
        f"The recording has no playable media (its state is {sanitized(file_state or 'unknown', 40)}).",
        code="no_playable_media",
        advice="Chats, messages and e-mails need download=True; an empty recording has no media.",
    )


def without_url(where: str) -> InvalidResponseError:
    """Error for a result with neither a URL nor an error."""
    return InvalidResponseError(f"{where} has no URL.", code="no_url", advice="Try again later.")


def no_recordings() -> NotFoundError:
    """Error for a conversation whose list of recordings is empty."""
    return NotFoundError(
        "The conversation has no recordings.",
        code="no_recordings",
        advice="It was not recorded, its recordings are deleted, or the OAuth client may not see their division.",
    )


def never_transcoded(timeout: float) -> DeadlineExceededError:
    """Error for a transcoding that did not finish in time."""
    return DeadlineExceededError(
        f"The recording was not transcoded within {timeout:g} s.",
        code="never_transcoded",
        advice="Try again later, allow a longer timeout, or request NONE, the format it was recorded in.",
    )


def failed_in_batch(words: str) -> APIStatusError:
    """Error for a batch job's result with an errorMsg; Genesys does not document the messages."""
    if "archiv" in words.lower():
        return APIStatusError(f"Genesys reports: {sanitized(words)}.", code="recording_archived", advice=_RESTORE)
    return APIStatusError(
        f"Genesys reports: {sanitized(words)}.",
        code="recording_failed",
        advice="Retrieve this recording by the endpoint `Recording`, whose reply is more precise.",
    )


def not_in_batch(job_id: str) -> NotFoundError:
    """Error for a request without a result in a completed batch job."""
    return NotFoundError(
        f"The batch job {job_id} was completed without a result for it.",
        code="recording_not_in_batch",
        advice=(
            "There is no such recording, it is archived, or it holds sensitive data, for which the OAuth client "
            "needs the permission recording:recording:viewSensitiveData."
        ),
    )


def never_completed(job_id: str, status: str | None, timeout: float) -> DeadlineExceededError:
    """Error for a batch job that did not finish in time."""
    return DeadlineExceededError(
        f"The batch job {job_id} was not completed within {timeout:g} s; "
        f"its status is {sanitized(status or 'unknown', 40)}.",
        code="batch_never_completed",
        advice="Retrieve these ids again later, which makes a new job, or allow a longer timeout.",
    )


def submission_unknown(error: GenesysMediaError, *, resubmit: bool) -> GenesysMediaError:
    """
    Error for a submission that Genesys may have accepted, though the id of the job never arrived.

    With `resubmit` it is of the same kind as `error`, so that it is retried like that; otherwise of a kind that is not.
    """
    message = f"Genesys may have made a batch job whose id never arrived. {error.message}"
    if resubmit:
        unknown = copy.copy(error)
        unknown.message, unknown.retryable = message, True
        unknown.advice = "Retrieve these ids again, which makes another job; the first one does no harm."
    else:
        unknown = GenesysMediaError(
            message,
            status_code=error.status_code,
            correlation_id=error.correlation_id,
            advice="It is not submitted again, as requested: retrieve these ids again if a second job does no harm.",
        )
    unknown.code = "batch_submission_unknown"
    return unknown


def unknown_state(job_id: str, status: str | None) -> InvalidResponseError:
    """Error for a batch job whose state Genesys does not document, and which did not change for a while."""
    return InvalidResponseError(
        f"The batch job {job_id} is in no known state: its status is {sanitized(status or 'unknown', 40)}, and it has "
        "no result for this id.",
        code="batch_state_unknown",
        advice="Retrieve these ids again later, which makes a new job; if it persists, tell Genesys's support.",
    )


def poll_failed(error: GenesysMediaError | None) -> GenesysMediaError:
    """Error for a batch job that cannot be polled any more."""
    if isinstance(error, PermissionDeniedError) and error.code == NOT_THE_SUBMITTER:
        error.advice = "Only the OAuth client that submitted a job may read its results: use the same one for both."
    elif isinstance(error, NotFoundError):
        error.retryable = True
        error.advice = "The job is lost, as after a restart of the service. Retrieve these ids again, in a new job."
    return error or InvalidResponseError("There was no reply.")
