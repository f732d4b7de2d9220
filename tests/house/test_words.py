"""One word for one thing: no name of the package is one of the words that were given up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "genesys_media_async"
FILES = sorted(ROOT.rglob("*.py"))

# Given-up words, and the words in their place.
OLD = {
    "Tally": "Counters",
    "tally": "counters",
    "Governor": "LocalLimiter",
    "governor": "limiter",
    "PauseOnly": "UnlimitedAccount",
    "Engine": "Session",
    "Retrieval": "Run",
    "Errand": "RunContext",
    "Assignment": "EndpointContext",
    "assignment": "context",
    "Answer": "CallResult",
    "share_of": "CallResult.with_outcome",
    "Lanes": "Dispatcher",
    "Api": "ApiClient",
    "forms": "id_formats",
    "Preparing": "NotReady",
    "judged": "validated",
    "Download": "PlatformDownload",
    "Carrier": "TransportChoice",
    "Encoder": "RequestEncoder",
    "racing": "aiohappyeyeballs",
    "Connections": "ConnectionPool",
    "forsake": "abandon",
    "look_by": "check_deadlines_by",
    "QuotaLearnt": "QuotaLimitChanged",
    "BatchResultsUnasked": "UnrequestedBatchResults",
    "WebhookUndelivered": "WebhookFailed",
    "EvidenceLost": "AuditWriteError",
    "Unauthorized": "TokenRejectedError",
    "quotable": "sanitized",
    "text_of": "display_id",
    "reveal": "secret_text",
    "peek": "current",
    "bearer": "get",
    "Order": "RetrieveOptions",
    "Moment": "ProgressSnapshot",
    "misused": "usage_error",
    "carry_out": "run_command",
    "patience": "timeout",
    "start_patience": "start_timeout",
    "tries": "max_attempts",
    "longest_life": "max_lifetime",
    "longest_reply": "max_reply_size",
    "mean_life": "mean_lifetime",
    "token_life": "token_lifetime",
    "drain": "drain_timeout",
    "next_chance": "next_attempt_at",
    "give_back": "cancel",
    "foreign": "used_by_others",
    "is_on_trust": "rests_on_headers",
    "resting": "slot_released",
    "spoiling": "reply_faults",
    "travel": "wire_faults",
    "derivation": "seeded_ids",
    "expiry_known_from": "expiry_source",
}
OLD_PREFIX = re.compile(r"_?(MOST|LONGEST|LEAST|SHORTEST)_")


def names_in(file: Path) -> set[str]:
    """Return the names that a file defines: modules, classes, functions, parameters, attributes, constants."""
    names = {file.stem, file.parent.name}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.add(name)
            case _:
                pass
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_name_is_a_word_that_was_given_up(file: Path) -> None:
    names = names_in(file)
    assert {name: OLD[bare] for name in names if (bare := name.lstrip("_")) in OLD} == {}
    assert {name for name in names if OLD_PREFIX.match(name)} == set()
