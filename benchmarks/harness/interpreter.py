"""
The interpreter that a benchmark runs on: how it was built, and a better one if there is one on the machine.

A build without profile-guided optimisation (PGO) needs more CPU time for the same work. A benchmark that is started by
one starts itself again on the newest one with it; `--python` decides otherwise.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_PGO = "no PGO"
THIS = "this"
OLDEST = (3, 11)
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11")
VARIABLES = ("CONFIG_ARGS", "MULTIARCH", "PY_CORE_CFLAGS", "PY_CORE_LDFLAGS", "PY_LDFLAGS")
_FLAGS = ("PY_CORE_CFLAGS", "PY_CORE_LDFLAGS", "PY_LDFLAGS")
_DEBIAN = ("'--prefix=/usr'", "'--without-ensurepip'", "'--with-dbmliborder=bdb:gdbm'")
_DEBIAN_MACHINES = ("x86_64-linux-gnu", "aarch64-linux-gnu")
_ASK = """
import json, platform, sys, sysconfig
print(json.dumps([platform.python_version(), {name: sysconfig.get_config_var(name) for name in sys.argv[1:]}]))
"""


def build_of(variables: Mapping[str, object]) -> str:
    """Return "PGO and LTO", "PGO", "LTO, no PGO" or "no PGO", from the variables of `sysconfig`."""
    arguments = str(variables.get("CONFIG_ARGS") or "")
    flags = " ".join(str(variables.get(name) or "") for name in _FLAGS)
    # Debian and its descendants give the flags to make, not to configure: no variable has a trace of them. Their rules
    # for these machines have both, and so do the debugging symbols of python3.11, 3.13 and 3.14 on the first one.
    is_debian = all(argument in arguments for argument in _DEBIAN) and variables.get("MULTIARCH") in _DEBIAN_MACHINES
    is_debian = is_debian and "--with-pydebug" not in arguments
    is_profiled = "'--enable-optimizations'" in arguments or "-fprofile-use" in flags or "-fprofile-instr-use" in flags
    is_linked = any(f"'--with-lto{end}" in arguments for end in ("'", "=full'", "=thin'", "=yes'")) or "-flto" in flags
    if is_debian or is_profiled:
        return "PGO and LTO" if is_debian or is_linked else "PGO"
    return f"LTO, {NO_PGO}" if is_linked else NO_PGO


@dataclass(frozen=True)
class Interpreter:
    """A program, its version, and its build as `build_of` names it."""

    program: str
    version: str
    build: str

    @classmethod
    def this(cls) -> Interpreter:
        """Return the one that runs."""
        variables = {name: sysconfig.get_config_var(name) for name in VARIABLES}
        return cls(sys.executable, platform.python_version(), build_of(variables))

    @classmethod
    def ask(cls, program: str) -> Interpreter | None:
        """Start a program and ask for its version and variables; None if it does not answer."""
        command = [program, "-I", "-c", _ASK, *VARIABLES]
        try:
            answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
            version, variables = json.loads(answer)
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
        return cls(program, version, build_of(variables))

    @property
    def has_pgo(self) -> bool:
        """Whether it was built with profile-guided optimisation."""
        return NO_PGO not in self.build

    @property
    def is_supported(self) -> bool:
        """Whether it is new enough for the package."""
        major, minor = self.version.split(".")[:2]
        return (int(major), int(minor)) >= OLDEST

    @property
    def tag(self) -> str:
        """The name of its environment's folder: builds of one version do not share it."""
        return "-".join([self.version, *(self.build.split() if self.has_pgo else ())])

    def __str__(self) -> str:
        return f"Python {self.version} ({self.build})"


def programs(path: str) -> Iterator[str]:
    """Yield all Pythons with a supported version in their names, newest first, from the folders of a PATH."""
    folders = dict.fromkeys([*filter(None, path.split(os.pathsep)), "/usr/local/bin", "/usr/bin"])
    for name in NAMES:
        yield from (str(file) for folder in folders if os.access(file := Path(folder, name), os.X_OK))


def start_again(name: str, choice: str | None) -> None:
    """
    Start the benchmark of this name again on the chosen interpreter, in the place of this process.

    Returns if this one is the choice: by name, because it has PGO, or because no other has. `choice` is the value of
    `--python`.
    """
    this = Interpreter.this()
    if choice == THIS or (choice is None and this.has_pgo):
        return
    names = [shutil.which(choice) or choice] if choice else programs(os.environ.get("PATH", ""))
    found = (each for each in map(Interpreter.ask, names) if each is not None and each.is_supported)
    chosen = next((each for each in found if choice or each.has_pgo), None)
    if chosen is None and choice:
        sys.exit(f"--python: {choice} is not a Python of 3.11 or newer.")
    if chosen is None:
        print(f"{this} is slower than a build with PGO. None was found; --python names one.", file=sys.stderr)
        return
    print(
        f"Started by {this}, runs on {chosen.program}, {chosen}. --python names another.", file=sys.stderr, flush=True
    )
    # Of two options with one name the last one counts.
    arguments = ["-m", f"benchmarks.{name}", *sys.argv[1:], "--python", THIS]
    os.execv(chosen.program, [chosen.program, *arguments])
