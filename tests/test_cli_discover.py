"""`discover` and the sources of `retrieve`, as processes against a simulated Genesys Cloud."""

from __future__ import annotations

import json
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async import MediaRetriever, ValidationRule
from genesys_media_async.cli import main
from genesys_media_async.cli.commands.simulate import an_id_of_each_source, greeting
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.sources import FORMATS, SOURCES, endpoint_for
from genesys_media_async.simulator import (
    AnalyticsSettings,
    BatchSettings,
    DocumentSettings,
    Fault,
    OAuthClient,
    OrganizationSettings,
    RecordingSettings,
    Simulator,
    SimulatorSettings,
)
from tests.support.retrievers import settings_for
from tests.test_cli import TIMEOUT, Finished, err_of, lines_of, run, run_in_shell, started

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


@pytest.fixture
async def simulator(anyio_backend):
    settings = SimulatorSettings(
        quota=None,
        organization=OrganizationSettings(conversations=450, days=4.0),
        recording=RecordingSettings(transcode_seconds=0.0),
        document=DocumentSettings(preparing_seconds=0.0),
        batch=BatchSettings(seconds_per_recording=0.0),
    )
    async with Simulator(settings) as simulator:
        yield simulator


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def ids_of(simulator: Simulator) -> set[str]:
    return {each.id for each in simulator.organization.conversations()}


def said(done: Finished) -> str:
    assert done.out == ""
    return done.err


@pytest.mark.anyio
class TestDiscover:
    async def test_writes_an_id_a_line_and_a_summary_beside(self, simulator: Simulator):
        done = await run("discover", "--from", days_ago(6), simulator=simulator)

        assert done.code == 0
        assert set(done.out.splitlines()) == ids_of(simulator)
        assert len(done.out.splitlines()) == 450
        assert done.err.startswith("450 conversations found, in ")
        assert done.err.count("\n") == 1

    async def test_feeds_retrieve_through_a_pipe(self, simulator: Simulator, tmp_path: Path):
        # A transcript's id is made of what only the simulator knows: a table of it stands for a tool in between.
        table = tmp_path / "communications"
        table.write_text(
            "".join(f"{each.id} {each.communication_id}\n" for each in simulator.organization.conversations())
        )
        command = f"{sys.executable} -m genesys_media_async"
        joined = "awk 'NR==FNR {other[$1] = $2; next} {print $1 \",\" other[$1]}'"
        done = await run_in_shell(
            f"{command} discover --from {days_ago(1)} --progress none | {joined} {table} - | "
            f"{command} retrieve --source transcript -i - --progress none",
            simulator,
        )

        assert done.code == 0, done.err
        results = lines_of(done.out)
        assert 80 < len(results) < 150
        assert {result["status"] for result in results} == {"ok"}

    async def test_feeds_batches_through_a_pipe(self, simulator: Simulator):
        command = f"{sys.executable} -m genesys_media_async"
        found = f"{command} discover --from {days_ago(0.05)} --progress none"
        retrieved = f"{command} retrieve --source recording-batch -i - --progress none"
        done = await run_in_shell(f"{found} | {retrieved}", simulator)

        assert done.code == 0, done.err
        results = lines_of(done.out)
        assert all(result["media_id"] and result["status"] == "ok" for result in results)
        assert len({result["file_id"] for result in results}) > 3

    async def test_takes_filters(self, simulator: Simulator):
        queue, division = simulator.organization.queue_ids()[0], simulator.organization.division_id
        inbound = {
            each.id
            for each in simulator.organization.conversations()
            if each.queue_id == queue and each.direction == "inbound" and each.media in {"audio", "screen"}
        }
        filters = ("--queue", queue, "--direction", "inbound", "--media", "voice", "--division", division)
        interval = ("--from", days_ago(6), "--to", days_ago(-1), "--by", "query")
        done = await run("discover", *interval, *filters, simulator=simulator)
        assert done.code == 0
        assert set(done.out.split()) == inbound

    async def test_that_finds_nothing_ends_well(self, simulator: Simulator):
        done = await run("discover", "--from", days_ago(60), "--to", days_ago(50), simulator=simulator)
        assert done.code == 0
        assert said(done).startswith("0 conversations found")

    async def test_speaks_json_to_programs_and_goes_on_after_faults(self, simulator: Simulator):
        simulator.script(Fault.SERVER_ERROR_503)
        done = await run("discover", "--from", days_ago(1), "--progress", "json", simulator=simulator)
        summary = json.loads(done.err.splitlines()[-1])
        assert summary["event"] == "summary"
        assert summary["exit_code"] == 0
        assert summary["found"] == len(done.out.splitlines())
        assert summary["requests"] == simulator.counts.api_requests
        assert summary["retries"] == 1

    async def test_ends_when_its_reader_is_gone(self, simulator: Simulator):
        command = f"{sys.executable} -m genesys_media_async"
        script = f"set -o pipefail; {command} discover --from {days_ago(6)} | head -n 1"
        done = await run_in_shell(f"bash -c '{script}'", simulator)
        assert done.code == 141
        assert done.err == ""
        assert len(done.out.splitlines()) == 1

    async def test_stops_at_once_when_it_is_told_to(self):
        slow = AnalyticsSettings(job_seconds=3_600.0)
        async with Simulator(SimulatorSettings(quota=None, analytics=slow)) as simulator:
            async with started("discover", "--from", days_ago(3), "--by", "job", simulator=simulator) as process:
                while "postAnalyticsConversationsDetailsJobs" not in simulator.counts.by_operation:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                process.send_signal(signal.SIGINT)
                with anyio.fail_after(TIMEOUT):
                    words = await err_of(process)
                    assert await process.wait() == 130
        assert words.startswith("Interrupted: 0 conversations found")

    async def test_that_fails_for_now_says_so(self, simulator: Simulator):
        simulator.script(Fault.HANG)
        hurry = ("--deadline", "0.5")
        done = await run("discover", "--from", days_ago(3), *hurry, simulator=simulator)
        assert done.code == 5
        assert "within 0.5 s" in said(done)

    async def test_without_the_permission_names_it(self):
        client = OAuthClient("demo-client", "demo-secret", permissions=frozenset())
        async with Simulator(SimulatorSettings(quota=None, clients=(client,))) as simulator:
            done = await run("discover", "--from", days_ago(3), simulator=simulator)
        assert done.code == 6
        assert "analytics:conversationDetail:view" in said(done)

    async def test_without_a_token_ends_with_3(self, simulator: Simulator):
        wrong = {"GENESYSCLOUD_OAUTHCLIENT_SECRET": "wrong-canary"}
        done = await run("discover", "--from", days_ago(3), simulator=simulator, variables=wrong)
        assert done.code == 3
        assert "Client Credentials" in said(done)
        assert "canary" not in done.err

    async def test_into_a_full_disk_ends_with_7(self, simulator: Simulator):
        command = f"{sys.executable} -m genesys_media_async"
        done = await run_in_shell(f"{command} discover --from {days_ago(6)} > /dev/full", simulator)
        assert done.code == 7
        assert "could not be written on" in done.err


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        ((), "--from"),
        (("--from", "yesterday"), "ISO 8601"),
        (("--from", "2026-11-23"), "write 2026-11-23T00:00Z"),
        (("--from", "2026-11-23T00:00Z", "--to", "2026-11-24T00:00"), "--to: "),
        (("--from", "2026-11-23T00:00Z", "--direction", "sideways"), "--direction"),
        (("--from", "2026-11-23T00:00Z", "--by", "magic"), "--by"),
        (("--from", "2026-11-23T00:00Z", "--region", "nowhere"), "is no region"),
        (("--from", "2026-11-23T00:00Z", "--progress", "loud"), "--progress"),
        (("--from", "9000-01-01T00:00Z"), "in the future"),
        (("--from", "2020-01-02T00:00Z", "--to", "2020-01-01T00:00Z"), "after its beginning"),
        (("--from", "2020-01-02T00:00Z", "--queue", ""), "queues"),
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_2_and_the_repair(
    arguments: tuple[str, ...], repair: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "any")
    monkeypatch.setenv("GENESYS_MEDIA_BASE_URL", "http://127.0.0.1:1")
    assert main(["discover", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repair in captured.err


@pytest.mark.anyio
class TestASource:
    async def test_is_where_the_urls_come_from(self, simulator: Simulator):
        document_id = simulator.organization.document_ids()[0]
        done = await run("retrieve", "--source", "document", document_id, simulator=simulator)
        assert done.code == 0, done.err
        (result,) = done.results
        assert (result["file_id"], result["status"]) == (document_id, "ok")
        assert str(result["url"]).startswith(simulator.base_url)

    async def test_with_several_media_for_an_id_has_a_line_for_each(self, simulator: Simulator, tmp_path: Path):
        one, two = simulator.organization.orphan_ids()[:2]
        simulator.organization.change(one, parts=2)
        (tmp_path / "ids.csv").write_text(f"orphan_id,size\n{one},7\n{two},8\n")
        arguments = ("-i", tmp_path / "ids.csv", "--media-format", "wav")

        done = await run("retrieve", "--source", "orphan-recording", *arguments, simulator=simulator)

        assert done.code == 0
        assert sorted((str(each["file_id"]), str(each.get("media_id"))) for each in done.results) == sorted(
            [(one, f"{one}/0"), (one, f"{one}/1"), (two, "None")]
        )
        assert all(".wav?" in str(each["url"]) for each in done.results)
        assert "3 results: 3 retrieved, 0 failed" in done.err
        assert "done=2/2 ok=3" in done.err

        table = await run(*("retrieve", "--source", "orphan-recording", one, "--format", "csv"), simulator=simulator)
        assert table.out.splitlines()[0].endswith(",media_id")
        assert sorted(line.rpartition(",")[2] for line in table.out.splitlines()[1:]) == [f"{one}/0", f"{one}/1"]

    async def test_reads_the_columns_it_needs_from_a_table(self, simulator: Simulator, tmp_path: Path):
        conversations = [simulator.organization.conversation_at(index) for index in range(3)]
        rows = [f"{each.communication_id};{each.id};x" for each in conversations]
        (tmp_path / "ids.csv").write_text("\n".join(["Communication ID;Conversation ID;Agent", *rows, ";;"]))
        target = tmp_path / "out.jsonl"

        arguments = ("-i", tmp_path / "ids.csv", "-o", target)
        done = await run("retrieve", "--source", "transcript", *arguments, simulator=simulator)

        assert done.code == 6
        results = lines_of(target.read_text())
        assert sorted(str(each["file_id"]) for each in results if each["status"] == "ok") == sorted(
            f"{each.id}/{each.communication_id}" for each in conversations
        )
        assert [each["error"]["code"] for each in results if each["error"]] == ["invalid_file_id"]  # type: ignore[index]
        # The recipe for the rest would compare lines of the table with ids.
        assert "jq" not in done.err

    async def test_counts_a_header_as_no_id(self, simulator: Simulator, tmp_path: Path):
        (tmp_path / "ids.csv").write_text("conversationId,communicationId\n")
        done = await run("retrieve", "--source", "transcript", "-i", tmp_path / "ids.csv", simulator=simulator)
        assert done.code == 4
        assert "has no ids" in said(done)


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        (("--source", "nowhere"), "the sources are media-storage, "),
        (("--media-format", "WAV"), "of use with --source recording, orphan-recording"),
        (("--source", "document", "--media-format", "WAV"), "of use with --source"),
        (("--source", "orphan-recording", "--media-format", "AAC"), "the formats are WAV, "),
        (("--source", "document", "--expires-in", "60"), "--expires-in: it is of use with --source media-storage"),
        (("--source", "document", "--access-level", "x"), "--access-level: it is of use with"),
    ],
    ids=" ".join,
)
def test_a_source_that_cannot_be_ends_with_2_and_the_repair(
    arguments: tuple[str, ...], repair: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "any")
    monkeypatch.setenv("GENESYS_MEDIA_BASE_URL", "http://127.0.0.1:1")
    assert main(["retrieve", "a", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repair in captured.err


def test_every_source_makes_an_endpoint_with_and_without_a_format():
    for name, source in SOURCES.items():
        assert endpoint_for(name, None).forms
        for media_format in FORMATS if source.takes_format else ():
            assert endpoint_for(name, media_format.lower()).forms


@pytest.mark.anyio
async def test_the_simulators_greeting_can_be_typed(simulator: Simulator):
    text = greeting(simulator)
    ids = an_id_of_each_source(simulator)
    assert set(ids) == set(SOURCES) - {"media-storage"}
    assert all(some_id in text for some_id in ids.values())
    for source, some_id in ids.items():
        configured = settings_for(simulator, rule=ValidationRule(content_types=("*/*",)))
        async with MediaRetriever(configured, endpoint=endpoint_for(source, None)) as retriever:
            results = await retriever.retrieve_all([some_id])
        assert results
        assert all(result.unwrap().host == "127.0.0.1" for result in results)
