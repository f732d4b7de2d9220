"""
Every command as a process with its standard streams closed in all ways, on both event loops, and with few descriptors.

    python -m benchmarks.hygiene                     140 processes (some minutes)
    python -m benchmarks.hygiene --short             every fifth of them

It ends with exit code 1, and prints what is wrong, if a process is killed by a signal, prints a traceback, or ends with
a code that the command does not document.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING

from genesys_media_async.cli.exit_codes import MEANINGS, ExitCode
from genesys_media_async.simulator import SimulatorSettings
from genesys_media_async.testing import ThreadedSimulator

from .harness.command_line import parser_of
from .harness.machine import describe_briefly

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMANDS = {
    "retrieve -o": ("retrieve", "a", "b", "-o", "{folder}/out", "--audit", "{folder}/audit"),
    "retrieve": ("retrieve", "a", "b"),
    "discover": ("discover", "--from", "2026-11-23T00:00Z", "--to", "2026-11-24T00:00Z"),
    "doctor": ("doctor",),
    "demo": ("demo", "--items", "3", "-o", "{folder}/demo"),
    "simulate": ("simulate", "--port", "0"),
    "--help": ("--help",),
}
CLOSED = [closed for number in range(4) for closed in combinations((0, 1, 2), number)]
LOOPS = {"uvloop": "", "asyncio": "sys.modules['uvloop'] = None; "}
LIMITS = (6, 8, 16, 24)
PROGRAM = "import sys; {}from genesys_media_async.cli import main; sys.exit(main())"
TIMEOUT = 60.0


def processes(folder: str) -> Iterator[tuple[str, list[str], str]]:
    """Yield the name of each process, its command, and the redirections and limits that a shell gives it."""
    for (name, words), (loop, before), closed in product(COMMANDS.items(), LOOPS.items(), CLOSED):
        command = [sys.executable, "-c", PROGRAM.format(before), *(word.format(folder=folder) for word in words)]
        redirections = " ".join(f"{descriptor}>&-" for descriptor in closed)
        yield f"{name} on {loop}, {redirections or 'all open'}", command, redirections
    for (name, words), limit in product(COMMANDS.items(), LIMITS):
        command = [sys.executable, "-c", PROGRAM.format(""), *(word.format(folder=folder) for word in words)]
        yield f"{name}, {limit} descriptors", command, f"; ulimit -n {limit}"


def reaching(simulator: ThreadedSimulator) -> dict[str, str]:
    """Return the environment of a command that reaches a simulator."""
    client = simulator.settings.clients[0]
    return {
        "GENESYSCLOUD_OAUTHCLIENT_ID": client.client_id,
        "GENESYSCLOUD_OAUTHCLIENT_SECRET": client.client_secret,
        "GENESYS_MEDIA_BASE_URL": simulator.base_url,
        "GENESYS_MEDIA_LOGIN_URL": simulator.login_url,
    }


def wrong(command: list[str], how: str, environment: dict[str, str]) -> str | None:
    """Run a process, and return what is wrong with its end."""
    redirections, _, limit = how.partition(";")
    script = f'{limit or ":"}; exec "$@" {redirections}'
    process = subprocess.Popen(
        ["sh", "-c", script, "sh", *command],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, err = process.communicate(timeout=3.0 if "simulate" in command else TIMEOUT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT)
    if "Traceback" in err or "Assertion" in err or "Exception ignored" in err:
        return err.strip().splitlines()[-1]
    # A simulator may be interrupted before it listens.
    expected = {*MEANINGS, *([-signal.SIGINT] if "simulate" in command else [])} - {ExitCode.UNEXPECTED}
    if process.returncode not in expected:
        return f"exit code {process.returncode}"
    return None


def main() -> int:
    """Run the processes and return the exit code of the benchmark."""
    parser = parser_of("hygiene", "Closed standard streams and few descriptors, for every command.")
    parser.add_argument("--short", action="store_true", help="run every fifth process only")
    options = parser.parse_args()
    print(describe_briefly())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ThreadedSimulator(SimulatorSettings(quota=None)) as simulator, tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **reaching(simulator)}
        chosen = list(processes(folder))[:: 5 if options.short else 1]
        problems = {name: found for name, command, how in chosen if (found := wrong(command, how, environment))}
    for name, problem in problems.items():
        print(f"{name}: {problem}")
    print(f"{len(chosen)} processes, {len(problems)} of them ended badly.")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
