"""Sizes that keep a room readable: of classes, of functions, of test files."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "genesys_media_async").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAX_CLASS = 250
MAX_PROTOCOL = 300
"""For the HTTP/1.1 connection, whose callbacks belong to one asyncio protocol."""
MAX_FUNCTION = 50
MAX_TEST_FILE = 450


def sizes_of(*kinds: type[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]) -> dict[str, int]:
    """Return the lines below the head of each class or function of the package, its docstring left out."""
    found: dict[str, int] = {}
    for file in PACKAGE:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, kinds):
                first = node.body[0]
                docstring = last_line(first) - first.lineno + 1 if ast.get_docstring(node) is not None else 0
                found[f"{file.relative_to(ROOT)}:{node.lineno} {node.name}"] = last_line(node) - node.lineno - docstring
    return found


def last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


FUNCTIONS = sizes_of(ast.FunctionDef, ast.AsyncFunctionDef)


def test_no_class_is_too_large_to_read() -> None:
    allowed = {"Connection": MAX_PROTOCOL}
    assert {
        name: lines
        for name, lines in sizes_of(ast.ClassDef).items()
        if lines > (allowed.get(name.split()[-1], MAX_CLASS) if "transports/connection.py" in name else MAX_CLASS)
    } == {}


def test_no_function_is_too_long_to_read() -> None:
    assert {name: lines for name, lines in FUNCTIONS.items() if lines > MAX_FUNCTION} == {}


def test_most_functions_are_short() -> None:
    assert median(FUNCTIONS.values()) <= 4
    assert quantiles(FUNCTIONS.values(), n=10)[-1] <= 15


@pytest.mark.parametrize("file", TESTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_test_file_can_be_read_in_one_go(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_TEST_FILE
