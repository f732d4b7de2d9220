"""The findings of an examination, for people and for programs, and the exit code. Pure."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from ...errors import escaped
from ..exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Verdict = Literal["ok", "warning", "problem"]

WIDTH: Final = 100
VERDICT_WIDTH: Final = 9
CHECK_WIDTH: Final = 18

BY_SEVERITY: Final = (ExitCode.CONFIGURATION, ExitCode.PERMANENT_FAILURES, ExitCode.RETRYABLE_FAILURES)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    The result of one check; unless it is `ok` it has a repair.

    `code` is the exit code for a problem. `suggested` are environment variables that would be right.
    """

    check: str
    verdict: Verdict
    message: str
    repair: str = ""
    code: ExitCode = ExitCode.CONFIGURATION
    suggested: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings of an examination."""

    findings: Sequence[Finding]

    @property
    def exit_code(self) -> ExitCode:
        """0 without a problem; of several problems the most severe decides."""
        codes = {each.code for each in self.findings if each.verdict == "problem"}
        return next((code for code in BY_SEVERITY if code in codes), ExitCode.ALL_RETRIEVED)

    @property
    def suggested(self) -> dict[str, str]:
        """The environment variables that would be right, with their values."""
        return {name: value for each in self.findings for name, value in each.suggested.items()}

    def for_people(self) -> str:
        """Return rows of at most 100 columns, in ASCII apart from quoted names."""
        lines = [line for each in self.findings for line in _rows(each)]
        if self.suggested:
            lines += ["", "Suggested:", *(f"  export {name}={text}" for name, text in self.suggested.items())]
        return "\n".join(map(escaped, lines))

    def for_programs(self) -> str:
        """Return one JSON object in a line, in ASCII."""
        findings = [
            {"check": each.check, "verdict": each.verdict, "message": each.message, "repair": each.repair or None}
            for each in self.findings
        ]
        report = {"exit_code": self.exit_code.value, "findings": findings, "suggested": self.suggested}
        return json.dumps(report, separators=(",", ":"))


def _rows(finding: Finding) -> list[str]:
    head = f"{finding.verdict:<{VERDICT_WIDTH}}{finding.check:<{CHECK_WIDTH}}"
    margin = " " * len(head)
    rows = textwrap.wrap(finding.message, WIDTH, initial_indent=head, subsequent_indent=margin)
    if finding.repair:
        rows += textwrap.wrap(finding.repair, WIDTH, initial_indent=f"{margin}-> ", subsequent_indent=f"{margin}   ")
    return rows
