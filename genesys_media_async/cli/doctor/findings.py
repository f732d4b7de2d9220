"""What an examination found, for people or for programs, and the exit code. Pure."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ..exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Verdict = Literal["ok", "warning", "problem"]

WIDTH: Final = 100
VERDICT_WIDTH: Final = 9
CHECK_WIDTH: Final = 18

WORST_FIRST: Final = (ExitCode.CONFIGURATION, ExitCode.FAILED_FOR_GOOD, ExitCode.FAILED_FOR_NOW)


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at; what is not `ok` has a repair.

    `code` is what a problem tells the shell; of several the first of `WORST_FIRST` counts.
    """

    check: str
    verdict: Verdict
    said: str
    repair: str = ""
    code: ExitCode = ExitCode.CONFIGURATION


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings, and the environment variables that would be right."""

    findings: Sequence[Finding]
    suggested: Mapping[str, str]

    @property
    def exit_code(self) -> ExitCode:
        """What to tell the shell: 0 unless there is a problem."""
        codes = {each.code for each in self.findings if each.verdict == "problem"}
        return next((code for code in WORST_FIRST if code in codes), ExitCode.ALL_RETRIEVED)

    def for_people(self) -> str:
        """Return rows of at most 100 columns."""
        lines = [line for each in self.findings for line in _rows(each)]
        if self.suggested:
            lines += ["", "Suggested:", *(f"  export {name}={text}" for name, text in self.suggested.items())]
        return "\n".join(lines)

    def for_programs(self) -> str:
        """Return one JSON object in a line."""
        findings = [
            {"check": each.check, "verdict": each.verdict, "said": each.said, "repair": each.repair or None}
            for each in self.findings
        ]
        report = {"exit_code": self.exit_code.value, "findings": findings, "suggested": dict(self.suggested)}
        return json.dumps(report, ensure_ascii=False, separators=(",", ":"))


def _rows(finding: Finding) -> list[str]:
    head = f"{finding.verdict:<{VERDICT_WIDTH}}{finding.check:<{CHECK_WIDTH}}"
    margin = " " * len(head)
    rows = textwrap.wrap(finding.said, WIDTH, initial_indent=head, subsequent_indent=margin)
    if finding.repair:
        rows += textwrap.wrap(finding.repair, WIDTH, initial_indent=f"{margin}→ ", subsequent_indent=f"{margin}  ")
    return rows
