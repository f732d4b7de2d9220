"""Job faults: pure functions from the correct reply to a batch submission, or status of a job, to the faulty one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import error_reply
from ..fault_kinds import Fault, JobFault
from ..messages import Kind, Reply

if TYPE_CHECKING:
    from ..messages import Headers

UNKNOWN_STATUS = "Suspended"

JobResult = dict[str, str | None]


def reply_to_submission(reply: Reply, fault: JobFault | None, headers: Headers, correlation_id: str) -> Reply:
    """Return the reply to a submission that was accepted; for some faults, the job's id never arrives."""
    match fault:
        case JobFault.REPLY_LOST:
            return Reply(0, kind=Kind.API, fault=Fault.RESET_BEFORE_REPLY)
        case JobFault.REPLY_HANGS:
            return Reply(0, kind=Kind.API, fault=Fault.HANG)
        case JobFault.REPLY_CUT:
            return replace(reply, fault=Fault.TRUNCATED_BODY, good=False)
        case JobFault.REPLY_503:
            unavailable = error_reply("service.unavailable", correlation_id, kind=Kind.API, headers=headers)
            return replace(unavailable, fault=Fault.SERVER_ERROR_503)
        case _:
            return reply


def spoil_status(body: dict[str, object], results: list[JobResult], fault: JobFault | None) -> dict[str, object]:
    """Return the status of a job with its visible results as its fault spoils it."""
    completed = body["status"] == "Completed"
    match fault:
        case JobFault.UNKNOWN_STATUS if completed:
            return {**body, "status": UNKNOWN_STATUS}
        case JobFault.NO_STATUS:
            return {name: value for name, value in body.items() if name != "status"}
        case JobFault.NULL_RESULTS:
            return {**body, "results": None}
        case JobFault.WRONG_TYPES:
            counts = {name: str(value) for name, value in body.items() if isinstance(value, int)}
            return {**body, **counts, "results": [*results, None, "result"], "region": {"name": 5}}
        case JobFault.NO_CONVERSATION_IDS:
            return {**body, "results": [{**result, "conversationId": None} for result in results]}
        case _:
            return body
