"""The two processes of a campaign: the simulator with its request log, and a run of the command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from genesys_media_async.simulator import Simulator

from ..harness.environment import PROJECT

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from .ledgers import Line

PROGRAM = (sys.executable, "-m", "genesys_media_async")
FAULTS = {"server-error-503": 0.03, "reset-before-reply": 0.03, "reset-during-reply": 0.02, "truncated-body": 0.02}
LATENCY = 0.05
SETTLING = 0.1
"""Seconds without another request after which the server has read all that a dead client had sent."""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process: no settings and no proxies of the user's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("GENESYS") and not name.upper().endswith("_PROXY")
    }
    return kept | {"PYTHONPATH": str(PROJECT), "NO_COLOR": "1"} | more


class Server:
    """A simulator that listens in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "requests.jsonl"
        self.variables: dict[str, str] = {}
        # The ids depend on the seed only, so they are those of the other process.
        self.conversations = [each.id for each in Simulator().organization.conversations() if each.recording_count]

    def __enter__(self) -> Self:
        faults = [word for name, chance in FAULTS.items() for word in ("--fault", f"{name}={chance}")]
        options = ["--port", "0", "--quota", "none", "--latency", str(LATENCY), "--request-log", str(self._log)]
        self._process = subprocess.Popen(
            [*PROGRAM, "simulate", *options, *faults], stderr=subprocess.PIPE, text=True, env=environment()
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                self.variables[name] = shlex.split(value)[0]
            if "Ctrl-C" in line:
                break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def mark(self) -> int:
        """Return the present size of the request log."""
        return self._log.stat().st_size

    def lines_since(self, mark: int) -> list[Line]:
        """Return the requests after a mark, once no more of them arrive."""
        size = -1
        while size != (size := self.mark()):
            time.sleep(SETTLING)
        with self._log.open("rb") as file:
            file.seek(mark)
            return [json.loads(line) for line in file]


class Command:
    """A run of `retrieve` in a process group of its own, with its output and its audit trail in files."""

    def __init__(self, directory: Path, variables: dict[str, str], source: str, ids: Sequence[str]) -> None:
        directory.mkdir()
        self._directory = directory
        (directory / "ids.txt").write_text("".join(f"{each}\n" for each in ids))
        files = ["-i", directory / "ids.txt", "-o", directory / "out.jsonl", "--audit", directory / "audit.jsonl"]
        with (directory / "err.txt").open("wb") as errors:
            self._process = subprocess.Popen(
                [*PROGRAM, "retrieve", "--source", source, *map(str, files)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment(**variables),
                start_new_session=True,
            )

    @property
    def has_ended(self) -> bool:
        """True once the process has ended."""
        return self._process.poll() is not None

    @property
    def records(self) -> int:
        """How many lines the audit file has."""
        return self.audit.count(b"\n")

    @property
    def audit(self) -> bytes:
        """The content of the audit file."""
        return self._read("audit.jsonl")

    @property
    def output(self) -> bytes:
        """The content of the output."""
        return self._read("out.jsonl")

    @property
    def errors(self) -> str:
        """What was written to standard error."""
        return self._read("err.txt").decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        self._process.send_signal(number)

    def wait(self, seconds: float | None) -> int | None:
        """Return the exit code; None, after SIGKILL, if the process is still there after so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        self._process.kill()
        self._process.wait()
        return None

    def _read(self, name: str) -> bytes:
        file = self._directory / name
        return file.read_bytes() if file.exists() else b""
