"""Three ledgers of one run, and what they must agree on: the server's log, the audit file and the output."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Line = dict[str, object]

NOT_SENT = frozenset({"cut_off", "connect_error", "connect_failed"})
"""Codes of attempts that may have ended before the request had left."""


@dataclass(frozen=True)
class Ledgers:
    """What a run has left behind."""

    output: bytes
    audit: bytes
    server: Sequence[Line]
    is_killed: bool
    """Ended by SIGKILL, which leaves the requests in flight without a record."""


@dataclass
class Findings:
    """What is wrong, and two counts of what a SIGKILL may cost."""

    violations: list[str] = field(default_factory=list)
    unrecorded: int = 0
    """Requests that the server saw and the audit trail does not have."""
    unwritten: int = 0
    """Media that were audited as successful and have no line in the output."""


def lines_of(data: bytes, name: str, violations: list[str]) -> list[Line]:
    """Return the lines of a file; one that is torn or no JSON is a violation."""
    lines: list[Line] = []
    *whole, rest = data.split(b"\n")
    if rest:
        violations.append(f"{name} ends in a torn line: {rest[-60:]!r}")
    for number, line in enumerate(whole, 1):
        try:
            lines.append(json.loads(line))
        except ValueError:
            violations.append(f"{name}, line {number}: no JSON: {line[:60]!r}")
    return lines


def examine(ledgers: Ledgers) -> Findings:
    """Return what the ledgers of a run disagree on."""
    findings = Findings()
    output = lines_of(ledgers.output, "the output", findings.violations)
    audit = lines_of(ledgers.audit, "the audit file", findings.violations)
    _check_repeats(output, findings)
    _check_recorded(output, audit, findings)
    _check_requests(audit, ledgers, findings)
    return findings


def _check_repeats(output: Iterable[Line], findings: Findings) -> None:
    told = Counter((line["file_id"], line.get("media_id")) for line in output)
    findings.violations += [f"told {count} times: {which}" for which, count in told.items() if count > 1]


def _check_recorded(output: Iterable[Line], audit: Iterable[Line], findings: Findings) -> None:
    """Check that each line of a URL has its audit record, for the medium where an id has several."""
    recorded = {line["file_id"] for line in audit if line.get("outcome") == "success"}
    told = {line.get("media_id") or line["file_id"] for line in output if line.get("url")}
    findings.violations += [f"told and not recorded: {each}" for each in told - recorded]
    media = {
        line["file_id"]
        for line in audit
        if line.get("outcome") == "success" and str(line["action"]).endswith((".result", "download_url"))
    }
    findings.unwritten = len(media - told)


def _check_requests(audit: Iterable[Line], ledgers: Ledgers, findings: Findings) -> None:
    """Check that the server saw each attempt, and that each request it saw was recorded."""
    attempts = [line for line in audit if line.get("attempt") and not str(line["action"]).endswith(".result")]
    requests = [line for line in ledgers.server if line["kind"] == "api"]
    seen = Counter(line["correlation_id"] for line in requests if line["correlation_id"])
    claimed = Counter(line["correlation_id"] for line in attempts if line["correlation_id"])
    findings.violations += [f"recorded and not seen by the server: {each}" for each in claimed - seen]
    sure = sum(line.get("code") not in NOT_SENT for line in attempts)
    if sure > len(requests):
        findings.violations.append(f"{sure} attempts recorded, {len(requests)} requests seen by the server")
    findings.unrecorded = max(0, len(requests) - len(attempts))
    if findings.unrecorded and not ledgers.is_killed:
        findings.violations.append(f"{findings.unrecorded} requests without an audit record")
