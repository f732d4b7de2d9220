"""The shape of the package, read from its imports: one direction, pure rules, and a complete list of public names."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from functools import cache
from pathlib import Path

import pytest

import genesys_media_async

PACKAGE = "genesys_media_async"
ROOT = Path(genesys_media_async.__file__).parent

# A room imports from the rooms before it; an edge from any of them. The list is the plan of the house.
ORDER = [
    "records",
    "errors",
    "clock",
    "counters",
    "ids",
    "models",
    "events",
    "settings",
    "quota",
    "sinks",
    "audit",
    "transports",
    "limiter",
    "api",
    "endpoints",
    "webhooks",
    "discovery",
    "retrieval",
]
EDGES = ["simulator", "testing", "cli"]
# An edge imports no other edge, but for these.
BETWEEN_EDGES = {"testing": {"simulator"}, "cli": {"simulator"}}
PURE = [
    *("quota", "api.retry", "endpoints.validation", "endpoints.recordings.batch_job"),
    *("discovery.filters", "discovery.parts", "discovery.raw_filters"),
]
WAITING = {"asyncio", "anyio", "httpx", "aiolimiter", "socket", "time", "threading"}


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(file): file for file in sorted(ROOT.rglob("*.py"))}


@cache
def imports_of(module: str) -> frozenset[str]:
    """Return every module that a module imports, wherever in it and whatever for, as absolute names."""
    file = FILES[module]
    package = module if file.stem == "__init__" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(name if name in FILES else base)
    return frozenset(found)


def part_of(module: str) -> str:
    """Return the line of the house that a module of the package lives on; empty for the package itself."""
    return module.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


def inner_imports(module: str) -> set[str]:
    return {each for each in imports_of(module) if each.partition(".")[0] == PACKAGE}


MODULES = [module for module in FILES if part_of(module) not in {"", "__main__", "public"}]


def test_every_file_has_its_place_in_the_order() -> None:
    assert {part_of(module) for module in MODULES} == {*ORDER, *EDGES}


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) in ORDER])
def test_a_module_imports_only_from_the_rooms_before_it(module: str) -> None:
    """Imports for the type checker count as well: a module depends on the types it needs."""
    own = part_of(module)
    allowed = {*ORDER[: ORDER.index(own)], own}
    assert {part_of(each) for each in inner_imports(module)} <= allowed


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Inside rooms as well; a room's front imports its modules, and no module of a room imports the front."""
    finished: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in finished:
            return
        path.append(module)
        for each in sorted(inner_imports(module) - {PACKAGE}):
            visit(each)
        finished.add(path.pop())

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_the_module_that_defines_a_name(module: str) -> None:
    """Fronts are for users: behind them a reader sees where a thing lives."""
    fronts = {each for each, file in FILES.items() if file.stem == "__init__"}
    if module in fronts:
        return
    assert {each for each in inner_imports(module) & fronts if defined_in(each)} == set()


def defined_in(module: str) -> list[ast.stmt]:
    """Return what a front imports or defines; a front with a docstring only is no front to import from."""
    body = ast.parse(FILES[module].read_text(encoding="utf-8")).body
    return [each for each in body if isinstance(each, ast.ImportFrom | ast.ClassDef | ast.FunctionDef)]


@pytest.mark.parametrize("module", [module for module in MODULES if part_of(module) == "simulator"])
def test_the_simulator_knows_only_the_clock_of_the_package(module: str) -> None:
    assert {part_of(each) for each in inner_imports(module)} <= {"simulator", "clock"}


@pytest.mark.parametrize("module", FILES)
def test_only_an_edge_imports_an_edge(module: str) -> None:
    own = part_of(module)
    allowed = {own} | BETWEEN_EDGES.get(own, set()) if own in EDGES else ({"cli"} if own == "__main__" else set())
    assert {part_of(each) for each in inner_imports(module)} & set(EDGES) <= allowed


@pytest.mark.parametrize("part", PURE)
def test_a_rule_is_pure_and_so_is_all_it_imports(part: str) -> None:
    root = f"{PACKAGE}.{part}"
    waiting, seen = [module for module in FILES if module == root or module.startswith(f"{root}.")], set()
    assert waiting
    for module in waiting:
        assert not [
            node
            for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8")))
            if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        ]
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += inner_imports(module)
    outer = {each.partition(".")[0] for module in seen for each in imports_of(module)}
    assert outer & WAITING == set()


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("backoff", {"api"}),
        ("aiolimiter", {"limiter"}),
        ("httpx", {"transports", "retrieval", "simulator", "cli"}),
        ("httptools", {"simulator", "transports"}),
        ("rich", {"cli"}),
        ("cyclopts", {"cli"}),
        ("aiohappyeyeballs", {"transports"}),
        ("pytest", {"testing"}),
    ],
)
def test_a_library_is_known_only_where_its_seam_is(library: str, places: set[str]) -> None:
    users = {part_of(module) for module in FILES if library in {each.partition(".")[0] for each in imports_of(module)}}
    assert users <= places


def test_the_core_imports_nothing_but_the_standard_library_and_what_it_depends_on() -> None:
    needed = {
        "httpx",
        "httptools",
        "msgspec",
        "anyio",
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        "aiolimiter",
        "backoff",
        "aiohappyeyeballs",
    }
    outer = {each.partition(".")[0] for module in FILES if part_of(module) not in EDGES for each in imports_of(module)}
    assert outer - set(sys.stdlib_module_names) <= needed | {PACKAGE, "__future__"}


def names_bound_in(module: str) -> set[str]:
    """Return the public names that a module's own text makes; what `import x` makes is for itself."""
    names: set[str] = set()
    for node in ast.parse(FILES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return {name for name in names if not name.startswith("_")}


FRONTS = [f"{PACKAGE}.{front}" for front in ("public", "transports", "sinks", "endpoints", "simulator", "testing")]


@pytest.mark.parametrize("front", FRONTS)
def test_the_list_of_public_names_is_complete_both_ways(front: str) -> None:
    listed: list[str] = importlib.import_module(front).__all__
    assert len(listed) == len(set(listed))
    assert {name for name in listed if not name.startswith("_")} == names_bound_in(front) - {"VERSION"}
    for name in listed:
        assert hasattr(importlib.import_module(front), name)


@pytest.mark.parametrize("front", FRONTS)
def test_every_public_name_says_what_it_is(front: str) -> None:
    module = importlib.import_module(front)
    for name in module.__all__:
        thing = getattr(module, name)
        if not inspect.isclass(thing) and not inspect.isroutine(thing) and not inspect.ismodule(thing):
            continue
        # An inherited or generated docstring says nothing: a dataclass without one shows its signature.
        own = (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__) or ""
        assert own.strip(), f"{name} has no docstring"
        assert not own.startswith(f"{name}("), f"{name} has no docstring"


@pytest.mark.parametrize("front", FRONTS)
def test_every_public_method_says_what_it_does(front: str) -> None:
    module = importlib.import_module(front)
    silent = [
        f"{name}.{method}"
        for name in module.__all__
        if inspect.isclass(thing := getattr(module, name))
        for method, value in vars(thing).items()
        if not method.startswith("_")
        and isinstance(value, property | classmethod | staticmethod) | inspect.isroutine(value)
        and not (getattr(value, "__doc__", None) or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("module", FILES)
def test_every_module_begins_by_saying_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(ast.parse(FILES[module].read_text(encoding="utf-8")))


def test_every_error_can_be_caught_by_its_public_name() -> None:
    errors = importlib.import_module(f"{PACKAGE}.errors")
    defined = {
        name
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, errors.GenesysMediaError)
    }
    assert defined <= set(genesys_media_async.__all__)
