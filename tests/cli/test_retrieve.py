"""`retrieve` as a process, against a simulated Genesys Cloud: results, formats, progress and exit codes."""

from __future__ import annotations

import csv
import re
import shlex
import stat
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.models import ResultDict
from genesys_media_async.simulator import Fault, Simulator
from tests.support.commands import COMMAND, SECRET, ids_in, lines_in, lines_of, run, run_in_shell, started, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


class TestRetrieve:
    async def test_writes_one_json_line_for_each_id(self, simulator: Simulator):
        done = await run("retrieve", "a", "b", "missing-1", "a", simulator=simulator)

        assert ids_in(done.results) == ["a", "a", "b", "missing-1"]
        good = next(result for result in done.results if result["file_id"] == "b")
        failed = next(result for result in done.results if result["file_id"] == "missing-1")
        assert list(good) == list(failed) == [*ResultDict.__annotations__]
        assert good["status"] == "ok"
        assert str(good["url"]).startswith(f"{simulator.base_url}/media/b/")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(good["expires_at"]))
        assert (good["expires_in"], good["attempts"], good["error_code"]) == (3600, 1, None)
        assert isinstance(good["latency"], float)
        assert 0 < good["latency"] < 10
        assert failed["status"] == "failed"
        assert failed["url"] is None
        error = [failed["error_code"], failed["error_retryable"], failed["error_status_code"]]
        assert error == ["not_found", False, 404]

    async def test_ends_with_0_and_a_summary_if_every_id_is_retrieved(self, simulator: Simulator, tmp_path: Path):
        done = await run("retrieve", "a", "-o", tmp_path / "out.jsonl", simulator=simulator)

        assert done.code == 0
        assert done.out == ""
        assert "1 id done: 1 retrieved, 0 failed" in done.err
        assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o600

    async def test_reads_arguments_first_and_then_the_file(self, simulator: Simulator, tmp_path: Path):
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

    async def test_uses_each_setting(self, simulator: Simulator):
        done = await run(
            *("retrieve", "a", "--expires-in", "60", "--access-level", "read", "--quota", "10/1", "--timeout", "5"),
            *(
                "--deadline",
                "20",
                "--region",
                "eu-central-1",
                "--host",
                "127.0.0.1",
                "--content-type",
                "*/*",
                "--pace",
                "even",
            ),
            simulator=simulator,
        )

        assert done.code == 0
        assert done.results[0]["expires_in"] == 60

    async def test_rejects_urls_that_break_the_rule(self, simulator: Simulator):
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

    async def test_posts_webhooks_with_the_url_on_request(self, simulator: Simulator):
        done = await run("retrieve", "a", "--webhook", simulator.webhook_url, "--webhook-with-url", simulator=simulator)

        assert done.code == 0
        (delivery,) = simulator.deliveries
        assert delivery.body["url"] == lines_of(done.out)[0]["url"]

    async def test_writes_undelivered_webhooks_to_a_file(self, simulator: Simulator, tmp_path: Path):
        lost = tmp_path / "lost.jsonl"
        simulator.script_webhook(Fault.UNAUTHORIZED)

        done = await run(
            "retrieve", "a", "--webhook", simulator.webhook_url, "--undelivered", lost, simulator=simulator
        )

        assert done.code == 8
        assert f"Webhooks: 0 delivered, 1 undelivered (in {lost})" in done.err
        assert [line["fileId"] for line in lines_of(lost.read_text())] == ["a"]


class TestFormats:
    async def test_csv_has_a_header_and_guards_against_formulas(self, simulator: Simulator):
        done = await run("retrieve", "--format", "csv", "a", "@cmd", "--", "-x", simulator=simulator)

        rows = list(csv.DictReader(done.out.splitlines()))
        assert done.code == 6
        assert sorted(row["file_id"] for row in rows) == ["'-x", "'@cmd", "a"]
        by_id = {row["file_id"]: row for row in rows}
        assert by_id["a"]["url"].startswith("http://")
        assert by_id["'@cmd"]["error_code"] == "invalid_file_id"
        assert by_id["'@cmd"]["error_retryable"] == "false"
        assert done.out.startswith('"file_id","media_id","status","url",')

    async def test_urls_are_bare_and_without_failures(self, simulator: Simulator):
        done = await run("retrieve", "--format", "urls", "a", "missing-1", "b", simulator=simulator)

        urls = done.out.splitlines()
        assert done.code == 6
        assert len(urls) == 2
        assert all(url.startswith(f"{simulator.base_url}/media/") for url in urls)
        assert "--format jsonl" in done.err


class TestProgress:
    async def test_json_makes_every_line_of_standard_error_an_object(self, simulator: Simulator):
        done = await run("retrieve", "a", "missing-1", "--progress", "json", simulator=simulator)

        *ticks, summary = lines_of(done.err)
        assert ticks[-1]["event"] == "progress"
        assert (ticks[-1]["done"], ticks[-1]["total"], ticks[-1]["ok"]) == (2, 2, 1)
        assert summary["event"] == "summary"
        assert (summary["exit_code"], summary["failed"], summary["errors"]) == (6, 1, {"not_found": 1})
        assert summary["transport"] in {"direct", "httpx"}

    async def test_none_prints_nothing(self, simulator: Simulator):
        done = await run("retrieve", "a", "missing-1", "--progress", "none", simulator=simulator)

        assert (done.code, done.err) == (6, "")

    async def test_never_shows_a_url_or_a_secret(self, simulator: Simulator):
        done = await run("retrieve", "a", "missing-1", simulator=simulator)

        assert "Signature" in done.out
        assert "Signature" not in done.err
        assert SECRET not in done.out + done.err


class TestFailures:
    async def test_retryable_ones_end_with_5(self, simulator: Simulator, tmp_path: Path):
        simulator.script(*[Fault.SERVER_ERROR_503_RETRY_AFTER] * 100)
        ids, out = tmp_path / "my ids.txt", tmp_path / "out.jsonl"
        ids.write_text("a\n")

        done = await run("retrieve", "-i", ids, "-o", out, "--deadline", "0.2", simulator=simulator)

        assert done.code == 5
        assert "0 retrieved, 1 failed" in done.err
        assert f"-i {out} --only-failed -o {tmp_path}/out.rest.jsonl" in done.err

    async def test_permanent_ones_end_with_6(self, simulator: Simulator):
        simulator.script(*[Fault.SERVER_ERROR_503_RETRY_AFTER] * 100)

        done = await run("retrieve", "a", "../x", "--deadline", "0.2", simulator=simulator)

        assert done.code == 6
        assert len(done.results) == 2

    async def test_do_not_end_the_run(self, simulator: Simulator, tmp_path: Path):
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
    @pytest.mark.parametrize("format_name", ["jsonl", "csv"])
    async def test_end_with_3_and_keep_the_old_output(
        self, simulator: Simulator, tmp_path: Path, variable: str, format_name: str
    ):
        (tmp_path / "out.jsonl").write_text("old\n")

        done = await run(
            *("retrieve", "a", "-o", tmp_path / "out.jsonl", "--format", format_name),
            simulator=simulator,
            variables={variable: "wrong-canary"},
        )

        assert done.code == 3
        assert "Check the client id" in done.err
        assert "canary" not in done.err
        assert (tmp_path / "out.jsonl").read_text() == "old\n"
        assert simulator.counts.api_requests == 0


class TestUnreadableInput:
    async def test_ends_with_4_after_the_results_so_far(self, simulator: Simulator):
        table = b'file_id,note\na,x\nb,\nc,"cut off\n'
        done = await run("retrieve", "-i", "-", simulator=simulator, stdin=table)

        assert done.code == 4
        assert ids_in(done.results) == ["a", "b"]
        assert "genesys-media: standard input, line 4: a quote opens in this record and is not closed" in done.err

    async def test_ends_with_4_before_anything_is_sent_if_a_header_is_unknown(self, simulator: Simulator):
        done = await run("retrieve", "-i", "-", simulator=simulator, stdin=b"Media Name,Size\na,1\n")

        assert done.code == 4
        assert "found 'Media Name', 'Size'; wanted fileId" in done.err
        assert simulator.counts.api_requests == 0

    async def test_ends_with_4_if_it_is_empty(self, simulator: Simulator):
        done = await run("retrieve", "-i", "-", simulator=simulator, stdin=b"\n \r\n")

        assert done.code == 4
        assert "has no ids" in done.err

    async def test_of_one_line_fails_that_line_only(self, simulator: Simulator):
        done = await run("retrieve", "-i", "-", simulator=simulator, stdin=b"a\n\xff\nb\0c\nd\n" + b"z" * 70_000)

        assert done.code == 6
        assert sorted(str(each["file_id"])[:3] for each in done.results if each["status"] == "ok") == ["a", "d"]
        assert [each["error_code"] for each in done.results if each["status"] != "ok"] == ["invalid_file_id"] * 3
