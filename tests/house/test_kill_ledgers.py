"""The benchmark of kills: what it finds wrong with the ledgers of a run."""

from __future__ import annotations

import json

import pytest

from benchmarks.killing.ledgers import Findings, Ledgers, examine

ACTION = "media_storage.download_url"


def told(file_id: str = "a", **changes: object) -> dict[str, object]:
    return {"file_id": file_id, "media_id": None, "url": "https://media.example.com/a", **changes}


def recorded(file_id: str = "a", correlation_id: str | None = "c-1", **changes: object) -> dict[str, object]:
    line = {"action": ACTION, "file_id": file_id, "outcome": "success", "attempt": 1, "code": None}
    return {**line, "correlation_id": correlation_id, **changes}


def seen(correlation_id: str | None = "c-1") -> dict[str, object]:
    return {"kind": "api", "correlation_id": correlation_id}


def text(*lines: dict[str, object]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def findings(output: bytes, audit: bytes, *server: dict[str, object], is_killed: bool = False) -> Findings:
    return examine(Ledgers(output, audit, [{"kind": "token", "correlation_id": "t"}, *server], is_killed=is_killed))


def test_ledgers_that_agree_have_nothing_wrong() -> None:
    failed = recorded("b", "c-2", outcome="generation_failed", code="not_found")
    lines = text(told("a"), told("b", url=None))
    assert findings(lines, text(recorded("a"), failed), seen(), seen("c-2")) == Findings()


@pytest.mark.parametrize(
    ("output", "audit", "server", "violation"),
    [
        (text(told())[:-1], text(recorded()), [seen()], "torn"),
        (text(told()), text(recorded()) + b'{"a', [seen()], "torn"),
        (b"no json\n", text(recorded()), [seen()], "no JSON"),
        (text(told(), told()), text(recorded()), [seen()], "told 2 times"),
        (text(told()), text(recorded("b")), [seen()], "told and not recorded"),
        (text(told(media_id="m-1")), text(recorded()), [seen()], "told and not recorded"),
        (text(told()), text(recorded()), [], "not seen by the server"),
        (text(), text(recorded(correlation_id=None, code="timeout", outcome="generation_failed")), [], "1 attempts"),
        (text(told()), text(recorded()), [seen(), seen("c-2")], "1 requests without an audit record"),
    ],
)
def test_what_is_wrong_is_named(output: bytes, audit: bytes, server: list[dict[str, object]], violation: str) -> None:
    assert any(violation in each for each in findings(output, audit, *server).violations)


def test_what_a_kill_may_cost_is_counted() -> None:
    found = findings(text(), text(recorded("a")), seen(), seen("c-2"), is_killed=True)
    assert (found.violations, found.unrecorded, found.unwritten) == ([], 1, 1)


def test_an_attempt_that_was_cut_off_may_never_have_left() -> None:
    cut_off = recorded("b", None, outcome="generation_failed", code="cut_off")
    assert findings(text(), text(cut_off)).violations == []
