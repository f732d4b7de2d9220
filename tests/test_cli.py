"""The command as a process of its own, against a simulated Genesys Cloud: exit codes, streams, signals, files."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from genesys_media_async.settings.settings import AUTO_WORKERS
from genesys_media_async.simulator import Fault, Quota, Simulator, SimulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from anyio.abc import Process

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]

COMMAND = (sys.executable, "-m", "genesys_media_async")
ROOT = Path(__file__).parent.parent
TIMEOUT = 30.0
SECRET = "demo-secret"


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


def environment(simulator: Simulator | None = None, **more: str) -> dict[str, str]:
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


@pytest.fixture(autouse=True)
def a_command_that_can_be_interrupted():
    # A test run in the background of a shell has SIGINT ignored, and its children would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
async def simulator(anyio_backend):
    async with Simulator(SimulatorSettings(quota=None)) as simulator:
        yield simulator


@pytest.fixture
def many_ids(tmp_path: Path) -> Path:
    path = tmp_path / "many.txt"
    path.write_text("".join(f"file-{number}\n" for number in range(200_000)))
    return path


class TestADemo:
    async def test_needs_no_credentials_and_its_summary_is_true(self, tmp_path: Path):
        done = await run("demo", "--items", "300", cwd=tmp_path)

        assert done.code == 0
        assert done.out == ""
        results = lines_of((tmp_path / "genesys-media-demo.jsonl").read_text())
        assert len({str(result["file_id"]) for result in results}) == 300
        assert {result["status"] for result in results} == {"ok"}
        assert done.err.splitlines()[0].startswith("progress done=300/300 ok=300 failed=0 rate=")
        assert "300 ids done: 300 retrieved, 0 failed" in done.err
        assert "Output: genesys-media-demo.jsonl (300 lines)" in done.err
        assert "allows 300 requests in 1.5 s, counted 300 and refused 0 of them with 429" in done.err
        assert "Signature" not in done.err

    async def test_overwrites_its_last_output(self, tmp_path: Path):
        (tmp_path / "genesys-media-demo.jsonl").write_text("old\n" * 100_000)

        assert (await run("demo", "--items", "3", cwd=tmp_path)).code == 0
        assert len(lines_of((tmp_path / "genesys-media-demo.jsonl").read_text())) == 3


class TestARetrieval:
    async def test_writes_one_json_line_for_each_id(self, simulator: Simulator):
        done = await run("retrieve", "a", "b", "missing-1", "a", simulator=simulator)

        assert ids_in(done.results) == ["a", "a", "b", "missing-1"]
        good = next(result for result in done.results if result["file_id"] == "b")
        failed = next(result for result in done.results if result["file_id"] == "missing-1")
        assert list(good) == [
            *("file_id", "status", "url", "expires_at", "expires_in", "file_name", "content_type"),
            *("attempts", "latency_ms", "correlation_id", "error"),
        ]
        assert good["status"] == "ok"
        assert str(good["url"]).startswith(f"{simulator.base_url}/media/b/")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(good["expires_at"]))
        assert (good["expires_in"], good["attempts"], good["error"]) == (3600, 1, None)
        assert failed["status"] == "failed"
        assert failed["url"] is None
        error = failed["error"]
        assert isinstance(error, dict)
        assert (error["code"], error["retryable"]) == ("not.found", False)

    async def test_that_has_every_id_ends_with_0_and_says_so(self, simulator: Simulator, tmp_path: Path):
        done = await run("retrieve", "a", "-o", tmp_path / "out.jsonl", simulator=simulator)

        assert done.code == 0
        assert done.out == ""
        assert "1 id done: 1 retrieved, 0 failed" in done.err
        assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600

    async def test_takes_arguments_first_and_then_the_file(self, simulator: Simulator, tmp_path: Path):
        (tmp_path / "ids.txt").write_bytes(b"\xef\xbb\xbfc\r\n\r\n  d\t\r\n\n c \ne")

        done = await run(
            *("retrieve", "a", "b", "-i", tmp_path / "ids.txt", "--concurrency", "1", "--progress", "log"),
            simulator=simulator,
        )

        assert done.code == 0
        assert [result["file_id"] for result in done.results] == ["a", "b", "c", "d", "c", "e"]
        assert "progress done=6/6 " in done.err

    async def test_reads_standard_input_while_it_is_written(self, simulator: Simulator, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with started("retrieve", "-i", "-", "-o", out, simulator=simulator, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            await process.stdin.send(b"first\nsec")
            await until(lambda: lines_in(out) >= 1)
            await process.stdin.send(b"ond\n")
            await until(lambda: lines_in(out) >= 2)
            await process.stdin.aclose()
            assert await process.wait() == 0
        assert ids_in(lines_of(out.read_text())) == ["first", "second"]

    async def test_reads_a_named_pipe(self, simulator: Simulator, tmp_path: Path):
        pipe = shlex.quote(str(tmp_path / "pipe"))
        command = shlex.join([*COMMAND, "retrieve", "--progress", "none", "-i"])

        done = await run_in_shell(f"mkfifo {pipe}; (sleep 0.3; echo late) > {pipe} & {command} {pipe}", simulator)

        assert (done.code, ids_in(done.results)) == (0, ["late"])

    async def test_sends_each_setting_it_was_given(self, simulator: Simulator):
        done = await run(
            *("retrieve", "a", "--expires-in", "60", "--access-level", "read", "--quota", "10/1", "--timeout", "5"),
            *("--deadline", "20", "--region", "eu-central-1", "--host", "127.0.0.1", "--content-type", "*/*"),
            simulator=simulator,
        )

        assert done.code == 0
        assert done.results[0]["expires_in"] == 60

    async def test_refuses_urls_that_the_rules_exclude(self, simulator: Simulator):
        done = await run("retrieve", "a", "--host", "*.example.com", simulator=simulator)

        assert done.code == 6
        assert done.results[0]["url"] is None
        assert "127.0.0.1:" not in done.out + done.err

    async def test_audits_each_attempt(self, simulator: Simulator, tmp_path: Path):
        simulator.script(Fault.SERVER_ERROR_503)

        done = await run("retrieve", "a", "--audit", tmp_path / "audit.jsonl", simulator=simulator)

        assert done.code == 0
        records = lines_of((tmp_path / "audit.jsonl").read_text())
        assert [record["outcome"] for record in records] == ["generation_failed", "success"]
        assert "of which 1 retries" in done.err

    async def test_posts_webhooks(self, simulator: Simulator):
        done = await run("retrieve", "a", "b", "--webhook", simulator.webhook_url, simulator=simulator)

        assert done.code == 0
        assert len(simulator.deliveries) == 2
        assert "Webhooks: 2 delivered, 0 undelivered" in done.err
        assert not any("url" in delivery.body for delivery in simulator.deliveries)

    async def test_posts_webhooks_with_the_url_if_asked_to(self, simulator: Simulator):
        done = await run("retrieve", "a", "--webhook", simulator.webhook_url, "--webhook-with-url", simulator=simulator)

        assert done.code == 0
        (delivery,) = simulator.deliveries
        assert delivery.body["url"] == lines_of(done.out)[0]["url"]

    async def test_keeps_the_webhooks_it_could_not_deliver(self, simulator: Simulator, tmp_path: Path):
        lost = tmp_path / "lost.jsonl"
        simulator.script_webhook(Fault.UNAUTHORIZED)

        done = await run(
            "retrieve", "a", "--webhook", simulator.webhook_url, "--undelivered", lost, simulator=simulator
        )

        assert done.code == 0
        assert "Webhooks: 0 delivered, 1 undelivered" in done.err
        assert [line["fileId"] for line in lines_of(lost.read_text())] == ["a"]


class TestTheFormats:
    async def test_csv_has_a_header_and_guards_against_formulas(self, simulator: Simulator):
        done = await run("retrieve", "--format", "csv", "a", "@cmd", "--", "-x", simulator=simulator)

        rows = list(csv.DictReader(done.out.splitlines()))
        assert done.code == 6
        assert sorted(row["file_id"] for row in rows) == ["'-x", "'@cmd", "a"]
        by_id = {row["file_id"]: row for row in rows}
        assert by_id["a"]["url"].startswith("http://")
        assert by_id["'@cmd"]["error_code"] == "invalid_file_id"
        assert by_id["'@cmd"]["error_retryable"] == "false"
        assert done.out.startswith("file_id,status,url,")

    async def test_urls_are_bare_and_of_the_retrieved_only(self, simulator: Simulator):
        done = await run("retrieve", "--format", "urls", "a", "missing-1", "b", simulator=simulator)

        urls = done.out.splitlines()
        assert done.code == 6
        assert len(urls) == 2
        assert all(url.startswith(f"{simulator.base_url}/media/") for url in urls)
        assert "--format jsonl" in done.err


class TestProgress:
    async def test_as_json_makes_every_line_of_standard_error_an_object(self, simulator: Simulator):
        done = await run("retrieve", "a", "missing-1", "--progress", "json", simulator=simulator)

        *ticks, summary = lines_of(done.err)
        assert ticks[-1]["event"] == "progress"
        assert (ticks[-1]["done"], ticks[-1]["total"], ticks[-1]["ok"]) == (2, 2, 1)
        assert summary["event"] == "summary"
        assert (summary["exit_code"], summary["failed"], summary["errors"]) == (6, 1, {"not.found": 1})
        assert summary["transport"] in {"direct", "httpx"}

    async def test_as_none_says_nothing(self, simulator: Simulator):
        done = await run("retrieve", "a", "missing-1", "--progress", "none", simulator=simulator)

        assert (done.code, done.err) == (6, "")

    async def test_never_shows_a_url_or_a_secret(self, simulator: Simulator):
        done = await run("retrieve", "a", "missing-1", simulator=simulator)

        assert "Signature" in done.out
        assert "Signature" not in done.err
        assert SECRET not in done.out + done.err


class TestFailures:
    async def test_that_can_be_tried_again_end_with_5(self, simulator: Simulator, tmp_path: Path):
        simulator.script(*[Fault.SERVER_ERROR_503_RETRY_AFTER] * 100)
        ids, out = tmp_path / "my ids.txt", tmp_path / "out.jsonl"
        ids.write_text("a\n")

        done = await run("retrieve", "-i", ids, "-o", out, "--deadline", "0.2", simulator=simulator)

        assert done.code == 5
        assert "0 retrieved, 1 failed" in done.err
        assert f"grep -vxFf - '{ids}' > '{tmp_path}/my ids.rest.txt'" in done.err

    async def test_for_good_win_over_those(self, simulator: Simulator):
        simulator.script(*[Fault.SERVER_ERROR_503_RETRY_AFTER] * 100)

        done = await run("retrieve", "a", "../x", "--deadline", "0.2", simulator=simulator)

        assert done.code == 6
        assert len(done.results) == 2

    async def test_of_ids_never_end_the_run(self, simulator: Simulator, tmp_path: Path):
        (tmp_path / "ids.txt").write_text("../etc\ngood\na b\nü\n" + "x" * 200 + "\nforbidden-1\n")

        done = await run("retrieve", "-i", tmp_path / "ids.txt", simulator=simulator)

        assert done.code == 6
        assert Counter(result["status"] for result in done.results) == {"failed": 5, "ok": 1}
        assert simulator.counts.api_requests == 2
        example = next(result["correlation_id"] for result in done.results if result["file_id"] == "forbidden-1")
        assert str(example) in done.err


class TestWrongCredentials:
    @pytest.mark.parametrize(
        "variable", ["GENESYSCLOUD_OAUTHCLIENT_SECRET", "GENESYSCLOUD_OAUTHCLIENT_ID"], ids=["secret", "client"]
    )
    async def test_end_with_3_and_leave_the_old_output(self, simulator: Simulator, tmp_path: Path, variable: str):
        (tmp_path / "out.jsonl").write_text("old\n")

        done = await run(
            *("retrieve", "a", "-o", tmp_path / "out.jsonl"),
            simulator=simulator,
            variables={variable: "wrong-canary"},
        )

        assert done.code == 3
        assert "Check the client id" in done.err
        assert "canary" not in done.err
        assert (tmp_path / "out.jsonl").read_text() == "old\n"
        assert simulator.counts.api_requests == 0


class TestInputThatCannotBeReadOn:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (b"\xff\n", "line 3: the line is not UTF-8"),
            (b"x\0y\n", "line 3: the line has a NUL byte"),
            (b"z" * 70_000, "line 3: the line has more than 65536 bytes"),
        ],
        ids=["not text", "binary", "endless line"],
    )
    async def test_keeps_what_is_done_and_ends_with_4(self, simulator: Simulator, wrong: bytes, said: str):
        done = await run("retrieve", "-i", "-", simulator=simulator, stdin=b"a\nb\n" + wrong)

        assert done.code == 4
        assert ids_in(done.results) == ["a", "b"]
        assert f"genesys-media: standard input, {said}" in done.err

    async def test_that_is_empty_ends_with_4(self, simulator: Simulator):
        done = await run("retrieve", "-i", "-", simulator=simulator, stdin=b"\n \r\n")

        assert done.code == 4
        assert "has no ids" in done.err


class TestOutputThatIsLost:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device of Linux that is always full")
    async def test_ends_with_7_and_reads_no_more_ids(self, simulator: Simulator, many_ids: Path):
        done = await run("retrieve", "-i", many_ids, "-o", "/dev/full", simulator=simulator)

        assert done.code == 7
        assert "No space left on device; 0 results are safely written" in done.err
        assert simulator.counts.api_requests < 5_000

    async def test_keeps_whole_lines_and_says_how_many(self, simulator: Simulator, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        command = shlex.join([*COMMAND, "retrieve", "-i", str(many_ids), "-o", str(out)])

        done = await run_in_shell(f"ulimit -f 50; exec {command}", simulator)

        assert done.code == 7
        written = len(lines_of(out.read_text()))
        assert written > 0
        assert f"{written} results are safely written" in done.err

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device of Linux that is always full")
    async def test_ends_with_7_when_it_is_the_audit_trail(self, simulator: Simulator):
        done = await run("retrieve", "a", "b", "--audit", "/dev/full", simulator=simulator)

        assert done.code == 7
        assert done.out == ""
        assert "audit" in done.err


class TestAReaderThatGoesAway:
    async def test_ends_the_command_quietly(self, simulator: Simulator, many_ids: Path):
        reading, writing = os.pipe()
        async with started("retrieve", "-i", many_ids, simulator=simulator, stdout=writing) as process:
            os.close(writing)
            text = b""
            while text.count(b"\n") < 3:
                await anyio.wait_readable(reading)
                text += os.read(reading, 4096)
            os.close(reading)
            assert await process.wait() == 141
            assert await err_of(process) == ""
        assert simulator.counts.api_requests < 5_000

    async def test_on_standard_error_is_no_reason_to_stop(self, simulator: Simulator, tmp_path: Path):
        out = shlex.quote(str(tmp_path / "out"))
        command = shlex.join([*COMMAND, "retrieve", "a"])

        done = await run_in_shell(f"({command} 2>&1 >{out}; echo $? >&3) 3>&1 | sleep 0; cat {out}", simulator)

        assert done.results[0]["status"] == "ok"

    async def test_that_is_slow_loses_nothing_and_blocks_nothing(self, simulator: Simulator):
        command = shlex.join([*COMMAND, "retrieve", "--progress", "none", "-i", "-"])

        done = await run_in_shell(f"seq 1 300 | {command} | (sleep 1; cat)", simulator)

        assert len(done.results) == 300


class TestAnInterruption:
    async def test_writes_what_is_on_its_way_and_ends_with_130(self, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with Simulator(SimulatorSettings(quota=None, latency=0.05)) as simulator:
            async with started("retrieve", "-i", many_ids, "-o", out, simulator=simulator) as process:
                await until(lambda: simulator.counts.api_requests >= 50)
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
                err = await err_of(process)
            assert len(lines_of(out.read_text())) == simulator.counts.api_requests
        assert "Interrupted: " in err
        assert "grep -vxFf -" in err
        assert "Traceback" not in err

    async def test_need_not_wait_for_the_quota(self, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with Simulator(SimulatorSettings(quota=Quota(20, 60.0))) as simulator:
            async with started(
                "retrieve", "-i", many_ids, "--quota", "20/60", "-o", out, simulator=simulator
            ) as process:
                await until(lambda: lines_in(out) >= 20)
                process.send_signal(signal.SIGTERM)
                with anyio.fail_after(5):
                    assert await process.wait() == 130
        assert len(lines_of(out.read_text())) == 20

    async def test_need_not_wait_for_standard_input(self, simulator: Simulator):
        async with started("retrieve", "a", "-i", "-", simulator=simulator, stdin=subprocess.PIPE) as process:
            await until(lambda: simulator.counts.api_requests >= 1)
            process.send_signal(signal.SIGINT)
            with anyio.fail_after(5):
                assert await process.wait() == 130
            assert process.stdout is not None
            assert ids_in(lines_of((await process.stdout.receive()).decode())) == ["a"]

    async def test_repeated_stops_at_once(self, many_ids: Path, tmp_path: Path):
        out = tmp_path / "out.jsonl"
        async with Simulator(SimulatorSettings(quota=None, faults={Fault.HANG: 0.2}, fault_seconds=60.0)) as simulator:
            async with started("retrieve", "-i", many_ids, "-o", out, simulator=simulator) as process:
                await until(lambda: simulator.counts.in_flight == AUTO_WORKERS)
                process.send_signal(signal.SIGINT)
                assert process.stderr is not None
                err = (await process.stderr.receive()).decode()
                assert "Stopping" in err
                process.send_signal(signal.SIGINT)
                with anyio.fail_after(5):
                    assert await process.wait() == 130
                err += await err_of(process)
            assert len(lines_of(out.read_text())) == simulator.counts.api_ok
        assert "Traceback" not in err


class TestASimulator:
    async def test_says_how_to_use_it_and_counts(self):
        async with started("simulate", "--port", "0", "--quota", "3/60", "--client", "me:my secret") as process:
            assert process.stderr is not None
            greeting = ""
            while "Ctrl-C" not in greeting:
                greeting += (await process.stderr.receive()).decode()
            said = dict(re.findall(r"^export (\w+)=(.*)$", greeting, re.MULTILINE))
            variables = {name: shlex.split(value)[0] for name, value in said.items()}
            assert variables["GENESYS_MEDIA_QUOTA"] == "3/60"
            token = await self.token(variables)
            statuses = [await self.status(variables["GENESYS_MEDIA_BASE_URL"], token) for _ in range(4)]
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
            assert "4 API requests of which 3 were answered well, 1 times 429" in await err_of(process)
        assert statuses == [200, 200, 200, 429]

    async def test_and_the_command_understand_each_other(self):
        async with started("simulate", "--port", "0", "--quota", "none") as process:
            assert process.stderr is not None
            greeting = ""
            while "Ctrl-C" not in greeting:
                greeting += (await process.stderr.receive()).decode()
            said = dict(re.findall(r"^export (\w+)=(.*)$", greeting, re.MULTILINE))
            done = await run("retrieve", "a", variables=said)
            process.terminate()
            assert await process.wait() == 0
        assert done.code == 0

    async def test_that_finds_its_port_taken_says_so(self, simulator: Simulator):
        port = simulator.base_url.rpartition(":")[2]

        done = await run("simulate", "--port", port)

        assert done.code == 2
        assert "choose others with --host and --port" in done.err

    async def token(self, variables: dict[str, str]) -> str:
        client = (variables["GENESYSCLOUD_OAUTHCLIENT_ID"], variables["GENESYSCLOUD_OAUTHCLIENT_SECRET"])
        async with httpx.AsyncClient(base_url=variables["GENESYS_MEDIA_LOGIN_URL"], trust_env=False) as http:
            reply = await http.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=client)
        return str(reply.json()["access_token"])

    async def status(self, base_url: str, token: str) -> int:
        async with httpx.AsyncClient(base_url=base_url, trust_env=False) as http:
            reply = await http.post(
                "/api/v2/media/storage/files/a/download-url",
                json={"fileId": "a", "expiresIn": 60},
                headers={"authorization": f"Bearer {token}"},
            )
        return reply.status_code


class TestTheInstallation:
    async def test_shows_its_version(self):
        done = await run("--version")

        assert (done.code, done.err) == (0, "")
        assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.out)

    async def test_without_the_extra_says_what_to_install(self, tmp_path: Path):
        # A module of None is what Python takes for one that is not there.
        code = (
            "import sys; sys.modules['cyclopts'] = None\n"
            "from genesys_media_async.cli import main\n"
            "sys.exit(main(['--version']))"
        )
        with anyio.fail_after(TIMEOUT):
            done = await anyio.run_process([sys.executable, "-c", code], check=False, env=environment())

        assert done.returncode == 3
        assert done.stderr.decode().splitlines() == [
            "genesys-media: cyclopts is not installed; repair it with: pip install 'genesys-media-async[cli]'"
        ]

    async def test_imports_neither_the_simulator_nor_live_displays_for_its_version(self):
        code = (
            "import sys\n"
            "from genesys_media_async.cli import main\n"
            "main(['--version'])\n"
            "sys.exit(any(name.startswith(('genesys_media_async.simulator', 'rich.live')) "
            "for name in sys.modules))"
        )
        with anyio.fail_after(TIMEOUT):
            done = await anyio.run_process([sys.executable, "-c", code], check=False, env=environment())

        assert done.returncode == 0
