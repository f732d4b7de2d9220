"""One peer, run once in a process of its own on the client's core: what it measured of itself, checked."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from environment import last_words
from machine import Usage, pinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from environment import Environment

PEERS = Path(__file__).resolve().parent / "peers"
TIMEOUT = 600.0
FEWEST_ITEMS = 100


@dataclass(frozen=True)
class Peer:
    """
    How a peer is started.

    `program` is a file in `peers/` for Python, or `go` or `wrk`. Without `audit` it writes no audit lines.
    """

    program: str
    arguments: tuple[str, ...] = ()
    audit: bool = True


@dataclass(frozen=True)
class Server:
    """Where the requests go; `certificate` is the authority that clients trust beside no other."""

    url: str
    token_url: str
    certificate: Path | None = None


@dataclass(frozen=True)
class Measured:
    """
    One run of one peer.

    `cpu` is microseconds of the client process for each item, user and system, its children's included. `foreign` is
    the share of the client's core that went to others meanwhile. `errors` counts answers that were wrong in any way.
    `answers` counts all of them, `items` those that were measured.
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
    foreign: float


class PeerFailed(Exception):
    """A peer ended without a report; the message is the last thing it said."""


def run_peer(
    peer: Peer,
    environment: Environment,
    server: Server,
    core: int,
    *,
    items: int | None,
    in_flight: int,
    seconds: float,
    patience: float = TIMEOUT,
) -> Measured:
    """
    Run a peer once.

    It retrieves `items` ids after some that are not measured. With None, and if it is wrk, which knows no number of
    requests, it is measured for `seconds` instead. Raises `PeerFailed`, also after `patience` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, audit = Path(folder) / "out.json", Path(folder) / "audit.jsonl"
        warm_up = 0 if peer.program == "wrk" else warm_up_of(in_flight, items or 0)
        command = _command(peer, environment, server, in_flight, seconds)
        if peer.program != "wrk":
            command += ["--seconds", str(seconds)] if items is None else ["--items", str(items)]
            command += ["--warm-up", str(warm_up), "--out", str(out)]
            command += ["--audit", str(audit)] if peer.audit else []
        before = Usage.of(core)
        with pinned(core), Path(folder, "said").open("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, env=_variables(server, out))
            try:
                code = process.wait(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise PeerFailed(f"no end within {patience:.0f} s") from None
            said.seek(0)
            if code or not out.exists():
                raise PeerFailed(f"exit code {code}: {last_words(said.read())}")
        after = Usage.of(core)
        report = json.loads(out.read_text())
        if peer.program == "wrk":
            report["cpu_seconds"] = after.children - before.children
        elif items is not None and report["items"] != items:
            raise PeerFailed(f"{report['items']} answers to {items} ids")
        answers: int = report["answers"] if items is None else warm_up + report["items"]
        if peer.audit and peer.program != "wrk":
            _check_audit(audit, answers)
        return Measured(
            answers=answers,
            items=report["items"],
            rate=report["items"] / report["seconds"],
            cpu=report["cpu_seconds"] / report["items"] * 1e6,
            peak_mib=report["peak_mib"],
            errors=report["errors"],
            first_error=report["first_error"],
            latency_p50=report["latency_p50"],
            latency_p99=report["latency_p99"],
            foreign=after.foreign_share(before),
        )


def warm_up_of(in_flight: int, items: int) -> int:
    """Return how many ids are retrieved unmeasured: as many as open each connection and warm the code."""
    return max(2 * in_flight, min(2_000, items // 5))


def suitable_items(run: Callable[[int], Measured], seconds: float) -> int:
    """Return how many ids take so many seconds, found out by runs with more and more of them."""
    items = FEWEST_ITEMS
    while True:
        wanted = max(FEWEST_ITEMS, round(run(items).rate * seconds))
        if wanted <= 10 * items:
            return wanted
        items *= 10


def raise_file_limit() -> None:
    """Let this process and what it starts have as many connections as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _command(peer: Peer, environment: Environment, server: Server, in_flight: int, seconds: float) -> list[str]:
    if peer.program == "wrk":
        load = ["--threads", "1", "--connections", str(in_flight), "--duration", str(max(1, round(seconds)))]
        return ["wrk", *load, "--script", str(PEERS / "wrk.lua"), server.url]
    if peer.program == "go":
        if environment.go_peer is None:
            raise PeerFailed("no Go toolchain")
        start = [str(environment.go_peer)]
    else:
        start = [str(environment.python), str(PEERS / peer.program)]
    common = ["--url", server.url, "--token-url", server.token_url, "--in-flight", str(in_flight)]
    return [*start, *common, *peer.arguments]


def _variables(server: Server, out: Path) -> dict[str, str]:
    # A proxy has no place between two cores.
    variables = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    variables |= {"GOMAXPROCS": "1", "OUT": str(out)}
    if server.certificate is not None:
        variables |= {"SSL_CERT_FILE": str(server.certificate)}
        variables.pop("SSL_CERT_DIR", None)
    return variables


def _check_audit(audit: Path, expected: int) -> None:
    with audit.open("rb") as file:
        lines = sum(1 for line in file if line.endswith(b"}\n"))
    if lines != expected:
        raise PeerFailed(f"{lines} audit lines for {expected} ids")
