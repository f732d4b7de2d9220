"""One peer, run once in processes of its own on the client's cores: its measurement of itself, checked."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .environment import PROJECT, last_line
from .machine import Usage, pinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from .environment import Environment

PEERS = Path("benchmarks", "peers")
TIMEOUT = 600.0
MIN_ITEMS = 100


@dataclass(frozen=True)
class Peer:
    """
    How a peer is started.

    `program` is a file in `peers/` for Python, or `go` or `wrk`. Without `audit` it writes no audit lines. A Python
    peer is the file of its `checkout`, and imports the package from there.
    """

    program: str
    arguments: tuple[str, ...] = ()
    audit: bool = True
    checkout: Path = PROJECT


@dataclass(frozen=True)
class Server:
    """The URLs of a server; `certificate` is the only authority that clients trust."""

    url: str
    token_url: str
    certificate: Path | None = None


@dataclass(frozen=True)
class Load:
    """
    How much a peer does in one run.

    It retrieves `items` ids after some that are not measured. With None, and for wrk, which knows no number of
    requests, it is measured for `seconds` instead. Its `processes`, which are threads in Go and wrk, share the ids and
    the number in flight.
    """

    in_flight: int
    items: int | None = None
    seconds: float = 0.0
    processes: int = 1


@dataclass(frozen=True)
class Measured:
    """
    One run of one peer.

    `cpu` is microseconds of the client process for each item, user and system, its children's included. `others_share`
    is the share of the client's core that other processes used meanwhile, the server included if it runs there too.
    `errors` counts answers that were wrong in any way. `answers` counts all of them, `items` the measured ones.
    """

    answers: int
    items: int
    rate: float
    cpu: float
    peak_mib: float
    errors: int
    first_error: str | None
    latency_p50: float | None
    latency_p99: float | None
    others_share: float


class PeerFailed(Exception):
    """A peer ended without a valid report; the message is the last line of its output."""


class Runner:
    """Runs peers on the client's cores against one server, one at a time."""

    def __init__(self, environment: Environment, server: Server, cores: frozenset[int]) -> None:
        self.environment = environment
        self._server = server
        self._cores = cores

    def run(self, peer: Peer, load: Load, *, timeout: float = TIMEOUT) -> Measured:
        """Run a peer once. Raises `PeerFailed`, also after `timeout` seconds."""
        with tempfile.TemporaryDirectory() as folder:
            run = _Run(peer, load, Path(folder))
            before = Usage.of(self._cores)
            with pinned(self._cores):
                run.wait(run.command(self.environment, self._server), run.variables(self._server), timeout)
            return run.measured(before, Usage.of(self._cores))


class _Run:
    """One run: its files, its command and its report."""

    def __init__(self, peer: Peer, load: Load, folder: Path) -> None:
        self._peer = peer
        self._load = load
        self._is_wrk = peer.program == "wrk"
        self._out, self._audit, self._output = folder / "out.json", folder / "audit.jsonl", folder / "output"
        self._warm_up = 0 if self._is_wrk else warm_up_of(load.in_flight, load.items or 0)

    def command(self, environment: Environment, server: Server) -> list[str]:
        load = self._load
        if self._is_wrk:
            extent = ["--threads", str(load.processes), "--connections", str(load.in_flight)]
            extent += ["--duration", str(max(1, round(load.seconds)))]
            return ["wrk", *extent, "--script", str(PROJECT / PEERS / "wrk.lua"), server.url]
        command = [*self._program(environment), "--url", server.url, "--token-url", server.token_url]
        command += ["--in-flight", str(load.in_flight), *self._peer.arguments]
        command += ["--seconds", str(load.seconds)] if load.items is None else ["--items", str(load.items)]
        command += ["--warm-up", str(self._warm_up), "--out", str(self._out)]
        if load.processes > 1 and self._peer.program != "go":
            command += ["--processes", str(load.processes)]
        return command + (["--audit", str(self._audit)] if self._peer.audit else [])

    def _program(self, environment: Environment) -> list[str]:
        if self._peer.program != "go":
            return [str(environment.python), str(self._peer.checkout / PEERS / self._peer.program)]
        if environment.go_peer is None:
            raise PeerFailed("no Go toolchain")
        return [str(environment.go_peer)]

    def variables(self, server: Server) -> dict[str, str]:
        # A proxy has no place between two cores.
        variables = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        variables |= {
            "GOMAXPROCS": str(self._load.processes),
            "OUT": str(self._out),
            "PYTHONPATH": str(self._peer.checkout),
        }
        if server.certificate is not None:
            variables |= {"SSL_CERT_FILE": str(server.certificate)}
            variables.pop("SSL_CERT_DIR", None)
        return variables

    def wait(self, command: list[str], variables: dict[str, str], timeout: float) -> None:
        with self._output.open("w") as output:
            # In a group of its own, so that all of its processes are ended together.
            process = subprocess.Popen(command, stdout=output, stderr=output, env=variables, process_group=0)
            try:
                code = process.wait(timeout=timeout)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise PeerFailed(f"did not end within {timeout:.0f} s") from None
                raise
        if code or not self._out.exists():
            raise PeerFailed(f"exit code {code}: {last_line(self._output.read_text())}")

    def measured(self, before: Usage, after: Usage) -> Measured:
        report: dict[str, Any] = json.loads(self._out.read_text())
        if self._is_wrk:
            report |= {"answers": report["items"], "cpu_seconds": after.children - before.children}
        else:
            self._check(report)
        return Measured(
            answers=report["answers"],
            items=report["items"],
            rate=report["items"] / report["seconds"],
            cpu=report["cpu_seconds"] / report["items"] * 1e6,
            peak_mib=report["peak_mib"],
            errors=report["errors"],
            first_error=report["first_error"],
            latency_p50=report["latency_p50"],
            latency_p99=report["latency_p99"],
            others_share=after.others_share(before),
        )

    def _check(self, report: dict[str, Any]) -> None:
        """Compare the numbers of ids, answers and audit lines; add the warm-up's answers to the report."""
        if self._load.items is not None:
            if report["items"] != self._load.items:
                raise PeerFailed(f"{report['items']} answers for {self._load.items} ids")
            report["answers"] = self._warm_up + report["items"]
        if self._peer.audit:
            with self._audit.open("rb") as file:
                lines = sum(1 for line in file if line.endswith(b"}\n"))
            if lines != report["answers"]:
                raise PeerFailed(f"{lines} audit lines for {report['answers']} ids")


def warm_up_of(in_flight: int, items: int) -> int:
    """Return how many ids are retrieved without being measured: enough to open each connection and warm the code."""
    return max(2 * in_flight, min(2_000, items // 5))


def suitable_items(run: Callable[[int], Measured], seconds: float) -> int:
    """Return how many ids take about `seconds`, after runs with more and more of them."""
    items = MIN_ITEMS
    while True:
        wanted = max(MIN_ITEMS, round(run(items).rate * seconds))
        if wanted <= 10 * items:
            return wanted
        items *= 10


def raise_file_limit() -> None:
    """Allow this process and its children as many connections as the system permits."""
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))
