"""`discover` as a process, against a simulated Genesys Cloud."""

from __future__ import annotations

import json
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.cli import main
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.simulator import (
    AnalyticsSettings,
    Fault,
    OAuthClient,
    Simulator,
    SimulatorSettings,
)
from tests.support.commands import PROMPT_ORGANIZATION, TIMEOUT, Finished, err_of, lines_of, run, run_in_shell, started

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


@pytest.fixture
async def simulator(anyio_backend):
    async with Simulator(PROMPT_ORGANIZATION) as simulator:
        yield simulator


def days_ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def ids_of(simulator: Simulator) -> set[str]:
    return {each.id for each in simulator.organization.conversations()}


def lines(text: str) -> list[str]:
    """Return the lines of a text, all of which are whole."""
    assert text == "" or text.endswith("\n")
    return text.splitlines()


def message(done: Finished) -> str:
    assert done.out == ""
    return done.err


@pytest.mark.anyio
class TestDiscover:
    async def test_writes_one_id_per_line_and_a_summary_to_standard_error(self, simulator: Simulator):
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
        found = f"{command} discover --from {days_ago(0.05)} --by query --progress none"
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

    async def test_takes_filters_by_handling_duration_and_file(self, simulator: Simulator, tmp_path: Path):
        organization = simulator.organization
        of_all = [(each, organization.handling_of(each)) for each in organization.conversations()]
        conversation, one = next((each, how) for each, how in of_all if how.ani and how.wrap_up_code and how.flow_id)
        file = tmp_path / "filters.json"
        predicate = {"dimension": "queueId", "value": conversation.queue_id}
        file.write_text(json.dumps({"segmentFilters": [{"type": "and", "predicates": [predicate]}]}))
        numbers = ("--ani", str(one.ani), "--dnis", str(one.dnis), "--min-duration", "0", "--max-duration", "6e2")
        ids = ("--user", one.user_id, "--wrap-up-code", str(one.wrap_up_code), "--flow", str(one.flow_id))
        language = () if one.language_id is None else ("--language", one.language_id)
        options = (*numbers, *ids, *language, "--filter-file", file, "--look-back-days", "2")
        done = await run("discover", "--from", days_ago(6), "--by", "query", *options, simulator=simulator)
        expected = {
            each.id
            for each, how in of_all
            if (each.queue_id, how.user_id, how.ani, how.dnis)
            == (conversation.queue_id, one.user_id, one.ani, one.dnis)
            and (how.wrap_up_code, how.flow_id) == (one.wrap_up_code, one.flow_id)
            and one.language_id in (None, how.language_id)
        }
        assert (done.code, set(done.out.split())) == (0, expected)
        assert conversation.id in expected

    async def test_ends_with_0_if_it_finds_nothing(self, simulator: Simulator):
        done = await run("discover", "--from", days_ago(60), "--to", days_ago(50), simulator=simulator)
        assert done.code == 0
        assert message(done).startswith("0 conversations found")

    async def test_a_search_that_fails_half_way_keeps_what_it_found_and_names_what_is_left(self, simulator: Simulator):
        simulator.script(None, None, Fault.UNAUTHORIZED, Fault.UNAUTHORIZED)
        query = ("--by", "query", "--look-back-days", "0")
        first = await run("discover", "--from", days_ago(6), *query, simulator=simulator)
        assert first.code == 3
        assert len(lines(first.out)) > 100
        sentence, summary = first.err.splitlines()
        assert summary.startswith(f"Incomplete: {len(lines(first.out))} conversations found")
        left = sentence.partition(" Not searched yet: ")[2].split()
        assert left[::2] == ["--from", "--to"]
        rest = await run("discover", *left, *query, simulator=simulator)
        assert rest.code == 0
        assert {*lines(first.out), *lines(rest.out)} == ids_of(simulator)
        assert len(lines(rest.out)) < 350

    async def test_writes_json_for_programs_and_continues_after_faults(self, simulator: Simulator):
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

    async def test_stops_at_once_when_interrupted(self):
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
        assert "\nNot searched yet: --from " in words

    async def test_ends_with_5_for_a_retryable_failure(self, simulator: Simulator):
        simulator.script(Fault.HANG)
        hurry = ("--deadline", "0.5")
        done = await run("discover", "--from", days_ago(3), *hurry, simulator=simulator)
        assert done.code == 5
        assert "within 0.5 s" in message(done)

    async def test_names_the_missing_permission(self):
        client = OAuthClient("demo-client", "demo-secret", permissions=frozenset())
        async with Simulator(SimulatorSettings(quota=None, clients=(client,))) as simulator:
            done = await run("discover", "--from", days_ago(3), simulator=simulator)
        assert done.code == 6
        assert "analytics:conversationDetail:view" in message(done)

    async def test_ends_with_3_without_a_token(self, simulator: Simulator):
        wrong = {"GENESYSCLOUD_OAUTHCLIENT_SECRET": "wrong-canary"}
        done = await run("discover", "--from", days_ago(3), simulator=simulator, variables=wrong)
        assert done.code == 3
        assert "Client Credentials" in message(done)
        assert "canary" not in done.err

    async def test_ends_with_7_on_a_full_disk(self, simulator: Simulator):
        command = f"{sys.executable} -m genesys_media_async"
        done = await run_in_shell(f"{command} discover --from {days_ago(6)} > /dev/full", simulator)
        assert done.code == 7
        assert "standard output could not be written: No space left on device" in done.err


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        ((), "--from: a value is required."),
        (("--from", "yesterday"), "ISO 8601"),
        (("--from", "2026-11-23"), "write 2026-11-23T00:00Z"),
        (("--from", "2026-11-23T00:00Z", "--to", "2026-11-24T00:00"), "--to: "),
        (
            ("--from", "2026-11-23T00:00Z", "--direction", "sideways"),
            "unknown direction 'sideways'; choose from inbound,",
        ),
        (("--from", "2026-11-23T00:00Z", "--by", "querry"), "--by: unknown way 'querry'; did you mean query?"),
        (("--from", "2026-11-23T00:00Z", "--region", "nowhere"), "is not a region"),
        (
            ("--from", "2026-11-23T00:00Z", "--progress", "loud"),
            "unknown progress 'loud'; choose from log,",
        ),
        (("--from", "9000-01-01T00:00Z"), "--from and --to: The interval begins at 9000-01-01"),
        (("--from", "2020-01-02T00:00Z", "--to", "2020-01-01T00:00Z"), "must be after its beginning"),
        (("--from", "2020-01-02T00:00Z", "--queue", ""), "--queue: must not be empty"),
        (("--from", "2020-01-02T00:00Z", "--wrap-up-code", " "), "--wrap-up-code: must not be empty"),
        (("--from", "2020-01-02T00:00Z", "--min-duration", "-1"), "--min-duration: "),
        (("--from", "2020-01-02T00:00Z", "--min-duration", "long"), "--min-duration: 'long' must be a number."),
        (
            ("--from", "2020-01-02T00:00Z", "--min-duration", "9", "--max-duration", "8"),
            "--min-duration is 9 and --max-duration 8. The minimum must be the smaller one.",
        ),
        (
            ("--from", "2020-01-02T00:00Z", "--look-back-days", "-1"),
            "--look-back-days is -1. It must be a whole",
        ),
        (("--from", "2020-01-02T00:00Z", "--filter-file", "/nowhere/f.json"), "--filter-file: /nowhere/f.json cannot"),
    ],
    ids=" ".join,
)
def test_a_usage_error_ends_with_2_and_the_repair(
    arguments: tuple[str, ...], repair: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "any")
    monkeypatch.setenv("GENESYS_MEDIA_BASE_URL", "http://127.0.0.1:1")
    assert main(["discover", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repair in captured.err
