"""
What every Python peer does around its HTTP client: the same ids, checks, metrics, audit lines and measurement.

Kept as lean as the task allows, so that a peer's row is about its client: no models, one JSON pass each way, one write
to the operating system for each audit line, as ours and the Go program do it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import importlib
import json
import math
import re
import resource
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping

CLIENT_ID, CLIENT_SECRET = "demo-client", "demo-secret"
EXPIRES_IN = 3_600
RENEW_AHEAD = 300.0
PATH = "/api/v2/media/storage/files/{}/download-url"
FORM = {"grant_type": "client_credentials"}
BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()

_FILE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?/recordings/([A-Za-z0-9._-]+)/[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")
_GROWTH = math.log(1.05)


@dataclass(frozen=True)
class Options:
    """The command line that all peers share; what one peer adds is in `rest`."""

    url: str
    token_url: str
    items: int
    seconds: float
    in_flight: int
    warm_up: int
    out: Path
    audit: Path | None
    loop: str
    rest: argparse.Namespace

    @classmethod
    def parse(cls, **choices: tuple[str, ...]) -> Options:
        """Read the command line; each of `choices` is one more option, whose first value is the default."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--url", required=True)
        parser.add_argument("--token-url", required=True)
        extent = parser.add_mutually_exclusive_group(required=True)
        extent.add_argument("--items", type=int, default=0)
        extent.add_argument("--seconds", type=float, default=0.0, help="instead: as many whole turns as take so long")
        parser.add_argument("--in-flight", type=int, required=True)
        parser.add_argument("--warm-up", type=int, default=0)
        parser.add_argument("--out", type=Path, required=True)
        parser.add_argument("--audit", type=Path)
        parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
        for name, values in choices.items():
            parser.add_argument(f"--{name}", choices=values, default=values[0])
        given = parser.parse_args()
        return cls(
            given.url,
            given.token_url,
            given.items,
            given.seconds,
            given.in_flight,
            given.warm_up,
            given.out,
            given.audit,
            given.loop,
            given,
        )

    def warm_up_ids(self) -> Iterator[str]:
        """Yield the ids that are not measured."""
        return map(file_id_of, range(self.warm_up))

    def ids(self) -> Iterator[str]:
        """Yield the ids that are measured, each made when it is asked for."""
        return map(file_id_of, range(self.warm_up, self.warm_up + self.items))


def file_id_of(number: int) -> str:
    """Return an id of the form that media ids have."""
    return f"00000000-0000-4000-8000-{number:012}"


class Measurement:
    """Wall time and CPU time, children's included, of what happens between entering and leaving."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Enter."""
        self._started, self._cpu_before = time.perf_counter(), _cpu_seconds()

    def end(self) -> None:
        """Leave."""
        self.seconds = time.perf_counter() - self._started
        self.cpu_seconds = _cpu_seconds() - self._cpu_before


@dataclass(slots=True)
class Counters:
    """Answers and errors."""

    answers: int = 0
    errors: int = 0
    first_error: str | None = None

    def fail(self, reason: str) -> None:
        """Count an error and keep the first one's words."""
        self.errors += 1
        self.first_error = self.first_error or reason


class Window:
    """
    What is measured of a run without an end of its own: whole turns, each of as many answers as are in flight.

    The first begins with the last answer of the warm-up, and the last is the first to end after `--seconds`. Ids are
    handed out until then, so that no connection idles while it is measured, neither at the beginning nor at the end.
    """

    def __init__(self, options: Options) -> None:
        self.measurement = Measurement()
        self.latencies: list[float] = []
        """Of what was measured: seconds from an id being taken to its being done."""
        self._options = options
        self._taken_at: dict[str, float] = {}
        self._answers = 0
        self._looks_at = options.warm_up
        self._ends_at: float | None = None
        self._is_over = False

    def ids(self) -> Iterator[str]:
        """Yield ids until the last turn is over."""
        for number in numbers():
            if self._is_over:
                return
            file_id = file_id_of(number)
            self._taken_at[file_id] = time.perf_counter()
            yield file_id

    def count(self, file_id: str) -> None:
        """Take note of an id that is done."""
        taken_at = self._taken_at.pop(file_id)
        if self._is_over:
            return
        self._answers += 1
        if self._ends_at is not None:
            self.latencies.append(time.perf_counter() - taken_at)
        if self._answers == self._looks_at:
            self._looks_at += self._options.in_flight
            self._end_turn()

    def _end_turn(self) -> None:
        if self._ends_at is None:
            self._ends_at = time.perf_counter() + self._options.seconds
            self.measurement.begin()
        elif time.perf_counter() >= self._ends_at:
            self.measurement.end()
            self._is_over = True

    def write_report(self, counters: Counters) -> None:
        """Write what was measured where the benchmark looks for it."""
        ranked = sorted(self.latencies)
        percentiles = {f"latency_p{share}": ranked[len(ranked) * share // 100] for share in (50, 99)}
        write_report(self._options, self.measurement, counters, percentiles, items=len(ranked))


def write_report(
    options: Options,
    measurement: Measurement,
    counters: Counters,
    latencies: Mapping[str, float | None],
    *,
    items: int | None = None,
) -> None:
    """Write what was measured where the benchmark looks for it; `items` if it was not all the answers."""
    measured = {
        "items": counters.answers if items is None else items,
        "answers": counters.answers,
        "seconds": measurement.seconds,
        "cpu_seconds": measurement.cpu_seconds,
        "peak_mib": peak_mib(),
        "errors": counters.errors,
        "first_error": counters.first_error,
        **latencies,
    }
    options.out.write_text(json.dumps(measured))


def peak_mib() -> float:
    """Return the largest resident size of this process so far; the children's is not in it."""
    # Not ru_maxrss: Linux lets a child inherit the parent's.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Pipeline:
    """What a hand-written client does with each id before and after the exchange."""

    def __init__(self, options: Options, user_agent: str) -> None:
        self.user_agent = user_agent
        self.counters = Counters()
        self.window = Window(options) if options.seconds else None
        self._prefix, _, self._suffix = (options.url + PATH).partition("{}")
        self._audit = options.audit.open("ab", buffering=0) if options.audit else None
        self._latencies: Counter[int] = Counter()
        self._outcomes: Counter[str] = Counter()

    def url_of(self, file_id: str) -> str:
        """Return where to ask for a file, if its id is one."""
        if not _FILE_ID.fullmatch(file_id):
            raise ValueError(f"{file_id!r} is no file id.")
        return f"{self._prefix}{quote(file_id, safe='')}{self._suffix}"

    def payload(self, file_id: str) -> bytes:
        """Return the body that asks for it."""
        return json.dumps({"fileId": file_id, "expiresIn": EXPIRES_IN}, separators=(",", ":")).encode()

    def headers(self, token: str) -> dict[str, str]:
        """Return the headers that go with it."""
        return {
            "accept": "application/json",
            "accept-encoding": "identity",
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            "user-agent": self.user_agent,
        }

    def finish(
        self,
        file_id: str,
        latency: float,
        status: int,
        content_type: str | None,
        correlation_id: str | None,
        body: bytes | dict[str, object],
    ) -> None:
        """Check the answer, decoded or not; count it and write the audit line."""
        try:
            problem = _problem(file_id, status, content_type, body)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem is not None:
            self.counters.fail(problem)
        self.counters.answers += 1
        outcome = "success" if problem is None else "validation_failed"
        self._latencies[math.ceil(math.log(max(latency, 1e-6)) / _GROWTH)] += 1
        self._outcomes[outcome] += 1
        if self._audit is not None:
            self._write_audit_line(file_id, outcome, status, latency, correlation_id)
        if self.window is not None:
            self.window.count(file_id)

    def _write_audit_line(
        self, file_id: str, outcome: str, status: int, latency: float, correlation_id: str | None
    ) -> None:
        record = {
            "event": "attempt_audited",
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "action": "media_storage.download_url",
            "file_id": file_id,
            "outcome": outcome,
            "status": status,
            "latency": latency,
            "user_agent": self.user_agent,
            "attempt": 1,
            "code": None,
            "correlation_id": correlation_id,
        }
        if self._audit is not None:
            self._audit.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")

    def latencies(self) -> dict[str, float | None]:
        """Return percentiles in seconds."""
        return {"latency_p50": self._percentile(0.5), "latency_p99": self._percentile(0.99)}

    def _percentile(self, share: float) -> float | None:
        wanted, seen = math.ceil(share * self._latencies.total()), 0
        for bucket in sorted(self._latencies):
            seen += self._latencies[bucket]
            if seen >= wanted:
                return math.exp(bucket * _GROWTH)
        return None


def _problem(file_id: str, status: int, content_type: str | None, body: bytes | dict[str, object]) -> str | None:
    if status != 200:
        return f"status {status}"
    if content_type is None or content_type.partition(";")[0].strip().lower() != "application/json":
        return f"content type {content_type}"
    decoded = json.loads(body) if isinstance(body, bytes) else body
    if not isinstance(decoded, dict):
        return "no JSON object"
    life, media_type, address = decoded["expiresIn"], decoded["contentType"], decoded["url"]
    if type(life) is not int or not 0 < life <= EXPIRES_IN:
        return f"expiresIn {life!r}"
    if not isinstance(media_type, str) or not media_type.startswith(("audio/", "video/", "image/")):
        return f"media type {media_type!r}"
    url = _URL.fullmatch(address) if isinstance(address, str) else None
    if url is None:
        return "no https URL"
    if url[1] != file_id or decoded["fileName"] != f"{file_id}.wav":
        return "another file's answer"
    return None


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when to renew it, in monotonic seconds."""

    value: str
    renew_at: float

    @classmethod
    def read(cls, body: bytes) -> Token:
        """Read the login service's reply."""
        reply = json.loads(body)
        return cls(reply["access_token"], time.monotonic() + reply["expires_in"] - RENEW_AHEAD)


class TokenCache:
    """
    Asks for a token when there is none that is fresh; `fetch` returns the login service's reply.

    `get` it once before there are workers: of those who wait for it, the lock lets one through in each turn of the
    loop.
    """

    def __init__(self, fetch: Callable[[], Awaitable[bytes]]) -> None:
        self._fetch = fetch
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> str:
        """Return the token."""
        token = self._token
        if token is not None and time.monotonic() < token.renew_at:
            return token.value
        async with self._lock:
            if self._token is None or time.monotonic() >= self._token.renew_at:
                self._token = Token.read(await self._fetch())
            return self._token.value


async def with_workers(ids: Iterator[str], in_flight: int, ask: Callable[[str], Awaitable[None]]) -> None:
    """Ask for every id: so many workers that take from one iterator."""

    async def work() -> None:
        for file_id in ids:
            await ask(file_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())


async def with_semaphore(ids: Iterator[str], in_flight: int, ask: Callable[[str], Awaitable[None]]) -> None:
    """Ask for every id: a task for each, of which a semaphore lets so many through."""
    semaphore = asyncio.Semaphore(in_flight)

    async def ask_in_turn(file_id: str) -> None:
        async with semaphore:
            await ask(file_id)

    async with asyncio.TaskGroup() as group:
        for file_id in ids:
            group.create_task(ask_in_turn(file_id))


async def measure(
    options: Options,
    pipeline: Pipeline,
    ask: Callable[[str], Awaitable[None]],
    drive: Callable[[Iterator[str], int, Callable[[str], Awaitable[None]]], Awaitable[None]],
) -> None:
    """Warm up, measure, and write the report."""
    if pipeline.window is not None:
        # Not the peer's own: ids without an end cannot have a task each.
        await with_workers(pipeline.window.ids(), options.in_flight, ask)
        pipeline.window.write_report(pipeline.counters)
        return
    await drive(options.warm_up_ids(), options.in_flight, ask)
    pipeline.counters.answers = 0
    measurement = Measurement()
    with measurement:
        await drive(options.ids(), options.in_flight, ask)
    write_report(options, measurement, pipeline.counters, pipeline.latencies())


def run(main: Coroutine[object, object, None], loop: str) -> None:
    """Run on the loop that was asked for."""
    factory = importlib.import_module("uvloop").new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def _cpu_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)
