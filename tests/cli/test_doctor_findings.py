"""The findings of `doctor` for people and programs, and their exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.cli.doctor.findings import WIDTH, Finding, Findings
from genesys_media_async.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence


class TestFindings:
    def test_fit_into_a_hundred_columns(self):
        text = "word " * 60
        findings = Findings(
            [
                Finding("x" * 17, "problem", text, text),
                Finding("short", "ok", "https://" + "x" * 70, suggested={"GENESYS_MEDIA_QUOTA": "300/60"}),
            ],
        )
        lines = findings.for_people().splitlines()
        assert max(map(len, lines)) <= WIDTH
        assert sum("->" in line for line in lines) == 1
        assert lines[-1] == "  export GENESYS_MEDIA_QUOTA=300/60"

    def test_are_one_object_for_a_program(self):
        findings = Findings(
            [Finding("DNS", "problem", "ü", "repair"), Finding("token", "ok", "x", suggested={"A": "b"})]
        )
        assert findings.for_programs().isascii()
        assert json.loads(findings.for_programs()) == {
            "exit_code": 3,
            "findings": [
                {"check": "DNS", "verdict": "problem", "message": "ü", "repair": "repair"},
                {"check": "token", "verdict": "ok", "message": "x", "repair": None},
            ],
            "suggested": {"A": "b"},
        }

    @pytest.mark.parametrize(
        ("codes", "expected"),
        [
            ((), 0),
            ((ExitCode.RETRYABLE_FAILURES,), 5),
            ((ExitCode.RETRYABLE_FAILURES, ExitCode.CONFIGURATION), 3),
        ],
    )
    def test_have_the_exit_code_of_the_worst(self, codes: Sequence[ExitCode], expected: int):
        problems = [Finding("x", "problem", "x", "x", code) for code in codes]
        assert Findings([Finding("y", "warning", "y", "y"), *problems]).exit_code == expected
