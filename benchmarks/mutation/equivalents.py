"""The mutants that no test can notice, read from `equivalents.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILE = Path(__file__).with_suffix(".toml")


def known_equivalents(file: Path = FILE) -> dict[tuple[str, str, str, str], str]:
    """Return the place of each named mutant, as `Mutant.place` has it, and the reason why nobody can notice it."""
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("equivalent", [])
    return {(entry["module"], entry["function"], entry["before"], entry["after"]): entry["reason"] for entry in entries}
