"""The benchmark of mutants: which faults it makes, where, and which it leaves out."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from benchmarks.mutation.equivalents import known_equivalents
from benchmarks.mutation.sampler import ALWAYS, mutants_of
from benchmarks.mutation.trial import suites_of

PACKAGE = Path(__file__).parents[2] / "genesys_media_async"
FILES = sorted(PACKAGE.rglob("*.py"))


def changes(source: str) -> list[tuple[str, str, str]]:
    function = "def f():\n" + textwrap.indent(source, "    ")
    return [(mutant.kind, mutant.before, mutant.after) for mutant in mutants_of("m.py", function)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("return a < b", [("comparison", "a < b", "(a <= b)")]),
        ("return a and b", [("and/or", "a and b", "(a or b)")]),
        ("return not a", [("not", "not a", "(a)")]),
        ("return min(a, b)", [("min/max", "min(a, b)", "(max(a, b))")]),
        ("return a + b", [("arithmetic", "a + b", "(a - b)")]),
        ("return 'a' + b", []),
        ("return 5", [("constant", "5", "6")]),
        ("return True", [("constant", "True", "False")]),
        ("do(a)", [("statement", "do(a)", "pass")]),
        ("await do(a)", [("statement", "await do(a)", "pass")]),
        ("permit.cancel()", [("closing", "permit.cancel()", "pass")]),
        ("await sink.aclose()", [("closing", "await sink.aclose()", "pass")]),
        ("x = CancelScope(shield=True)", [("shield", "True", "False")]),
        ("a += b", [("statement", "a += b", "pass")]),
        ("raise E", [("statement", "raise E", "pass")]),
        ("if a:\n    return", [("condition", "a", "False"), ("condition", "a", "True")]),
        ("LOGGER.error('x')", []),
        ("assert a < b", []),
        ("return f'{a + 1}'", []),
        ("x: int | None = a", []),
    ],
)
def test_a_fault_is_one_small_change(source: str, expected: list[tuple[str, str, str]]) -> None:
    found = changes(source)
    assert [each for each in found if each[0] != "constant" or len(found) == 1] == expected


def test_what_is_outside_of_functions_is_a_decision() -> None:
    assert mutants_of("m.py", "TIMEOUT = 5 + 1\nclass A:\n    slots = True\n") == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_mutant_of_the_package_is_python_that_differs(file: Path) -> None:
    source = file.read_bytes()
    tree = ast.dump(ast.parse(source))
    # Each takes as long as the whole module does to parse.
    for mutant in mutants_of(file.name, source.decode())[::50]:
        assert ast.dump(ast.parse(mutant.applied(source))) != tree


def test_shields_and_hand_backs_are_always_tried() -> None:
    assert {"shield", "closing"} == ALWAYS


def test_each_named_equivalent_is_a_mutant_that_there_is_and_has_a_reason() -> None:
    known = known_equivalents()
    places = {
        mutant.place
        for file in FILES
        for mutant in mutants_of(file.relative_to(PACKAGE).as_posix(), file.read_text(encoding="utf-8"))
    }
    assert set(known) - places == set()
    assert all(len(reason) > 20 for reason in known.values())


def test_a_module_is_tried_against_its_own_tests_first() -> None:
    suites = suites_of("limiter/local.py")
    assert "tests/limiter/test_local.py" in suites.own
    assert "tests/limiter/test_local_cancellation.py" in suites.own
    assert any(file.startswith("tests/flows/") for file in suites.wider)
    assert set(suites.own) & set(suites.wider) == set()
    assert "tests/cli/test_writer.py" in suites_of("cli/output/writer.py").own
    assert "tests/test_ids.py" in suites_of("ids.py").own
