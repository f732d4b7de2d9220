"""The mutants of a module: each is one small fault, as the replacement of a piece of its source."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SHIELD = "shield"
CLOSING = "closing"
ALWAYS = frozenset({SHIELD, CLOSING})
"""The kinds that are tried in every run: they are rare, and a gap in them shows only when something is cut."""

HAND_BACKS = frozenset(
    {"cancel", "complete", "reject", "release", "abort", "aclose", "close", "let_go", "take_back", "abandon", "give_up"}
)
"""Methods that give something back or close it."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
}
_EXTREMES = {"min": "max", "max": "min"}
# What these are for is told to a person, not to the program.
_COSMETIC = frozenset({"__repr__", "__str__"})
_LOGGERS = frozenset({"LOGGER", "logger", "logging", "warnings"})


@dataclass(frozen=True)
class Mutant:
    """One fault: `replacement` stands in `module` in place of the source's bytes from `start` to `end`."""

    module: str
    function: str
    line: int
    kind: str
    before: str
    after: str
    start: int
    end: int

    @property
    def place(self) -> tuple[str, str, str, str]:
        """The identity of a mutant, which a change elsewhere in the module does not touch."""
        return self.module, self.function, self.before, self.after

    def applied(self, source: bytes) -> bytes:
        """Return the source with the fault."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Return every mutant of a module's functions, in the order of its lines."""
    return sorted(_Finder(module, source).mutants, key=lambda mutant: (mutant.start, mutant.after))


class _Finder(ast.NodeVisitor):
    """Walks through the functions of a module; constants of the module are decisions, in which there is no fault."""

    def __init__(self, module: str, source: str) -> None:
        self.mutants: list[Mutant] = []
        self._module = module
        self._source = source.encode()
        self._offsets = [0]
        for line in self._source.splitlines(keepends=True):
            self._offsets.append(self._offsets[-1] + len(line))
        self._names: list[str] = []
        self._is_in_function = False
        self.visit(ast.parse(source))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._names.append(node.name)
        for each in node.body:
            self.visit(each)
        self._names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in _COSMETIC:
            return
        outside, self._is_in_function = self._is_in_function, True
        self._names.append(node.name)
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for each in node.body:
            self.visit(each)
        self._names.pop()
        self._is_in_function = outside

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Skip a text: it is for a person."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Skip an assertion: it holds, or the type checker would not need it."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def generic_visit(self, node: ast.AST) -> None:
        if self._is_in_function:
            for kind, target, after in _faults_in(node):
                self._add(kind, target, after)
        super().generic_visit(node)

    def _add(self, kind: str, node: ast.expr | ast.stmt, after: str) -> None:
        if node.end_lineno is None or node.end_col_offset is None:
            return
        start = self._offsets[node.lineno - 1] + node.col_offset
        end = self._offsets[node.end_lineno - 1] + node.end_col_offset
        before = self._source[start:end].decode()
        self.mutants.append(Mutant(self._module, ".".join(self._names), node.lineno, kind, before, after, start, end))


def _faults_in(node: ast.AST) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Yield the kind of each fault that a node can have, what it replaces, and by which source."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not isinstance(test, ast.Constant):
            yield "condition", test, "True"
            yield "condition", test, "False"
        case ast.keyword("shield", ast.Constant(bool() as value) as given):
            yield SHIELD, given, repr(not value)
        case ast.expr():
            yield from _changed(node)
        case ast.stmt():
            yield from _dropped(node)
        case _:
            pass


def _changed(node: ast.expr) -> Iterator[tuple[str, ast.expr, str]]:
    """Yield the faults of an expression: another operator, or another value."""
    match node:
        case ast.Compare(left, [operator], [right]):
            yield "comparison", node, _expression(ast.Compare(left, [_COMPARISONS[type(operator)]()], [right]))
        case ast.BoolOp(operator, values):
            other = ast.And() if isinstance(operator, ast.Or) else ast.Or()
            yield "and/or", node, _expression(ast.BoolOp(other, values))
        case ast.UnaryOp(ast.Not(), operand):
            yield "not", node, _expression(operand)
        case ast.Call(ast.Name(name), arguments, keywords) if name in _EXTREMES:
            yield "min/max", node, _expression(ast.Call(ast.Name(_EXTREMES[name]), arguments, keywords))
        case ast.BinOp(left, operator, right) if type(operator) in _ARITHMETIC and not _is_text(left, right):
            yield "arithmetic", node, _expression(ast.BinOp(left, _ARITHMETIC[type(operator)](), right))
        case ast.Constant(bool() as value):
            yield "constant", node, repr(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", node, repr(value + 1)
        case _:
            pass


def _dropped(node: ast.stmt) -> Iterator[tuple[str, ast.stmt, str]]:
    """Yield the fault that a statement is missing, unless nobody could do without it."""
    match node:
        case ast.Expr(ast.Call() as call) | ast.Expr(ast.Await(ast.Call() as call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            if not _is_logging(call):
                yield CLOSING if name in HAND_BACKS else "statement", node, "pass"
        case ast.AugAssign() | ast.Delete() | ast.Raise(exc=ast.expr()):
            yield "statement", node, "pass"
        case ast.Assign([ast.Attribute()]):
            yield "statement", node, "pass"
        case _:
            pass


def _is_logging(call: ast.Call) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in _LOGGERS
    )


def _is_text(*operands: ast.expr) -> bool:
    """Return whether what looks like arithmetic joins texts."""
    return any(
        isinstance(each, ast.JoinedStr | ast.List | ast.Tuple)
        or (isinstance(each, ast.Constant) and isinstance(each.value, str | bytes))
        for each in operands
    )


def _expression(node: ast.expr) -> str:
    return f"({ast.unparse(ast.fix_missing_locations(node))})"
