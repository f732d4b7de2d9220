"""The command as a process of its own, with an environment that reaches a simulator only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from genesys_media_async.simulator import (
    AnalyticsSettings,
    BatchSettings,
    DocumentSettings,
    OrganizationSettings,
    RecordingSettings,
    SimulatorSettings,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    import pytest
    from anyio.abc import Process

    from genesys_media_async.simulator import Simulator
    from genesys_media_async.testing import ThreadedSimulator

COMMAND = (sys.executable, "-m", "genesys_media_async")
ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 30.0
SECRET = "demo-secret"
PROMPT_ORGANIZATION = SimulatorSettings(
    quota=None,
    organization=OrganizationSettings(conversations=450, days=4.0),
    recording=RecordingSettings(transcode_seconds=0.0),
    document=DocumentSettings(preparing_seconds=0.0),
    batch=BatchSettings(seconds_per_recording=0.0),
    analytics=AnalyticsSettings(job_seconds=0.0),
)
"""An organisation without a quota, whose jobs take no time."""


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def results(self) -> list[dict[str, object]]:
        return lines_of(self.out)


def lines_of(text: str) -> list[dict[str, object]]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def ids_in(results: Iterable[dict[str, object]]) -> list[str]:
    return sorted(str(result["file_id"]) for result in results)


def environment(simulator: Simulator | ThreadedSimulator | None = None, **more: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("GENESYS") and not name.upper().endswith("_PROXY")
    }
    kept |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    if simulator is not None:
        kept |= {
            "GENESYSCLOUD_OAUTHCLIENT_ID": "demo-client",
            "GENESYSCLOUD_OAUTHCLIENT_SECRET": SECRET,
            "GENESYS_MEDIA_BASE_URL": simulator.base_url,
            "GENESYS_MEDIA_LOGIN_URL": simulator.login_url,
            "GENESYS_MEDIA_QUOTA": "none",
        }
    return kept | more


def use_environment(simulator: Simulator | ThreadedSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point a command in this process at a simulator, and at nothing else."""
    for name in [name for name in os.environ if name.upper().startswith("GENESYS")]:
        monkeypatch.delenv(name)
    for name, value in environment(simulator).items():
        monkeypatch.setenv(name, value)


async def run(
    *arguments: str | Path,
    simulator: Simulator | None = None,
    stdin: bytes = b"",
    cwd: Path | None = None,
    variables: dict[str, str] | None = None,
) -> Finished:
    with anyio.fail_after(TIMEOUT):
        done = await anyio.run_process(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            check=False,
            cwd=cwd,
            env=environment(simulator, **(variables or {})),
        )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


async def run_in_shell(script: str, simulator: Simulator) -> Finished:
    with anyio.fail_after(TIMEOUT):
        done = await anyio.run_process(script, check=False, env=environment(simulator))
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


@asynccontextmanager
async def started(
    *arguments: str | Path,
    simulator: Simulator | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
) -> AsyncIterator[Process]:
    process = await anyio.open_process(
        [*COMMAND, *map(str, arguments)], stdin=stdin, stdout=stdout, env=environment(simulator), cwd=ROOT
    )
    try:
        with anyio.fail_after(TIMEOUT):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def err_of(process: Process) -> str:
    assert process.stderr is not None
    return b"".join([chunk async for chunk in process.stderr]).decode()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what another process does sets no event
        await anyio.sleep(0.01)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
