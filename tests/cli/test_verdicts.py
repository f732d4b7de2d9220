"""The verdict on a run of `retrieve`, in this process: lost webhooks, rejected tokens, sources that refuse every id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from genesys_media_async import MediaRetriever, WebhookTarget
from genesys_media_async.cli import main
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.input.id_files import IdStream
from genesys_media_async.cli.output.formats import encoder
from genesys_media_async.cli.output.writer import Output, open_target
from genesys_media_async.cli.retrieve_job import RetrieveJob, run_retrieval
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from genesys_media_async.testing import ThreadedSimulator
from tests.support.commands import lines_of, use_environment
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = (Fault.UNAUTHORIZED,) * 2
"""A receiver that answers 401, which is not tried again."""

BOTH = "GENESYSCLOUD_ACCESS_TOKEN overrides the OAuth client of GENESYSCLOUD_OAUTHCLIENT_ID"


@pytest.fixture
def genesys(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedSimulator]:
    """Run a simulator that the environment names."""
    with ThreadedSimulator(SimulatorSettings(quota=None)) as simulator:
        use_environment(simulator, monkeypatch)
        yield simulator


@pytest.fixture
def missing(tmp_path: Path) -> Path:
    path = tmp_path / "missing.txt"
    path.write_text("".join(f"missing-{number}\n" for number in range(1_000)))
    return path


class TestLostWebhooks:
    def test_end_with_8_and_a_line_even_without_progress(
        self, genesys: ThreadedSimulator, capfd: pytest.CaptureFixture[str]
    ):
        genesys.script_webhook(*REFUSED)
        code = main(["retrieve", "a", "b", "--webhook", genesys.webhook_url, "--progress", "none"])

        assert code == ExitCode.WEBHOOKS_LOST
        captured = capfd.readouterr()
        assert [result["status"] for result in lines_of(captured.out)] == ["ok", "ok"]
        line = "genesys-media: Webhooks: 0 delivered, 2 undelivered (--undelivered FILE keeps them)\n"
        assert captured.err == line

    def test_are_in_the_summary_for_people(
        self, genesys: ThreadedSimulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ):
        genesys.script_webhook(*REFUSED[:1])
        lost = tmp_path / "lost.jsonl"

        code = main(["retrieve", "a", "b", "--webhook", genesys.webhook_url, "--undelivered", str(lost)])

        assert code == ExitCode.WEBHOOKS_LOST
        assert f"Webhooks: 1 delivered, 1 undelivered (in {lost})" in capfd.readouterr().err
        assert len(lines_of(lost.read_text())) == 1

    def test_are_in_the_summary_for_programs(self, genesys: ThreadedSimulator, capfd: pytest.CaptureFixture[str]):
        genesys.script_webhook(*REFUSED)
        main(["retrieve", "a", "--webhook", genesys.webhook_url, "--progress", "json"])

        summary = lines_of(capfd.readouterr().err)[-1]
        assert (summary["exit_code"], summary["webhooks_failed"], summary["ok"]) == (8, 1, 1)

    def test_come_after_failed_ids(self, genesys: ThreadedSimulator, capfd: pytest.CaptureFixture[str]):
        genesys.script_webhook(*REFUSED)
        code = main(["retrieve", "a", "missing-1", "--webhook", genesys.webhook_url])

        assert code == ExitCode.PERMANENT_FAILURES
        assert "Webhooks: 0 delivered, 1 undelivered" in capfd.readouterr().err

    @pytest.mark.anyio
    async def test_are_also_those_that_found_the_queue_full_or_were_cut_at_the_end(self, tmp_path: Path):
        output = Output(open_target(str(tmp_path / "out.jsonl")), *encoder("jsonl"))
        async with Simulator(SimulatorSettings(quota=None, fault_seconds=60.0)) as simulator:
            simulator.script_webhook(*(Fault.HANG,) * 9)
            webhook = WebhookTarget(url=simulator.webhook_url, queue_size=1, concurrency=1, drain_timeout=0)
            retriever = MediaRetriever(settings_for(simulator, webhook=webhook))
            ids = IdStream([f"a-{number}" for number in range(20)], None, ("fileId",)).read()

            report = await run_retrieval(RetrieveJob(retriever, ids, output, total=20), "none")

        assert report.exit_code is ExitCode.WEBHOOKS_LOST
        assert report.metrics.webhooks_failed == 20


class TestARejectedToken:
    def test_ends_the_run_with_3_and_a_true_summary(
        self,
        genesys: ThreadedSimulator,
        missing: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ):
        monkeypatch.delenv("GENESYSCLOUD_OAUTHCLIENT_ID")
        monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "stale-canary")
        out = tmp_path / "out.jsonl"

        code = main(["retrieve", "-i", str(missing), "-o", str(out), "--concurrency", "1"])

        assert code == ExitCode.CONFIGURATION
        assert genesys.counts.api_requests == 1
        err = capfd.readouterr().err
        assert "genesys-media: Genesys does not accept the access token. Set a new one" in err
        assert "1 id done: 0 retrieved, 1 failed, 999 ids not done" in err
        assert "Requests: 1, of which 0 retries" in err
        assert "canary" not in err
        assert [result["error_code"] for result in lines_of(out.read_text())] == ["access_token_rejected"]

    @pytest.mark.parametrize("progress", ["log", "none"])
    def test_is_explained_beside_an_oauth_client(
        self,
        genesys: ThreadedSimulator,
        progress: str,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ):
        monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "stale")

        code = main(["retrieve", "a", "--progress", progress])

        assert code == ExitCode.CONFIGURATION
        err = capfd.readouterr().err
        assert err.startswith(f"genesys-media: {BOTH}") is (progress == "log")
        assert "Genesys does not accept the access token" in err

    def test_is_found_by_doctor(
        self, genesys: ThreadedSimulator, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ):
        monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "stale")

        assert main(["doctor", "--json"]) == ExitCode.CONFIGURATION

        findings = json.loads(capfd.readouterr().out)["findings"]
        verdicts = {each["check"]: (each["verdict"], each["repair"]) for each in findings}
        assert verdicts["settings"][0] == "warning"
        assert verdicts["settings"][1].startswith(BOTH)
        assert verdicts["API"][0] == "problem"


class TestASourceThatRefusesEveryId:
    @pytest.mark.parametrize("options", [(), ("--max-refusals", "10")], ids=["25", "10"])
    def test_ends_the_run_with_3_and_the_way_to_the_right_one(
        self,
        genesys: ThreadedSimulator,
        missing: Path,
        tmp_path: Path,
        options: tuple[str, ...],
        capfd: pytest.CaptureFixture[str],
    ):
        out = tmp_path / "out.jsonl"

        code = main(["retrieve", "-i", str(missing), "-o", str(out), "--concurrency", "1", *options])

        limit = int(options[1]) if options else 25
        assert code == ExitCode.CONFIGURATION
        assert len(lines_of(out.read_text())) == genesys.counts.api_requests == limit
        err = capfd.readouterr().err
        assert f"genesys-media: media_storage.download_url refused the first {limit} ids alike: " in err
        assert "recordings come from --source recording-batch" in err
        assert "set --max-refusals to 0" in err
        assert f"{limit} ids done: 0 retrieved, {limit} failed, {1_000 - limit} ids not done" in err

    def test_names_the_missing_permission(
        self, genesys: ThreadedSimulator, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ):
        ids = tmp_path / "ids.txt"
        ids.write_text("".join(f"forbidden-{number}\n" for number in range(100)))

        assert main(["retrieve", "-i", str(ids), "-o", str(tmp_path / "out")]) == ExitCode.CONFIGURATION
        assert "The OAuth client needs the permission" in capfd.readouterr().err

    def test_is_asked_for_every_id_on_request(
        self, genesys: ThreadedSimulator, missing: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ):
        arguments = ("-i", str(missing), "-o", str(tmp_path / "out"), "--max-refusals", "0", "--progress", "json")

        assert main(["retrieve", *arguments]) == ExitCode.PERMANENT_FAILURES

        summary = lines_of(capfd.readouterr().err)[-1]
        assert (summary["failed"], summary["not_done"]) == (1_000, 0)

    def test_is_no_early_end_if_no_id_remains(self, genesys: ThreadedSimulator, capfd: pytest.CaptureFixture[str]):
        ids = [f"missing-{number}" for number in range(25)]

        assert main(["retrieve", *ids]) == ExitCode.PERMANENT_FAILURES
        assert "refused the first" not in capfd.readouterr().err
