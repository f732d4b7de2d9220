"""`doctor`: its findings in a good setup, and the repair for each problem."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from genesys_media_async import Settings
from genesys_media_async.cli import main
from genesys_media_async.cli.doctor.checks import check_settings
from genesys_media_async.cli.doctor.examination import examine
from genesys_media_async.cli.doctor.findings import WIDTH, Finding, Findings
from genesys_media_async.cli.doctor.network import check_network
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.sources import SOURCES
from genesys_media_async.clock import SystemClock
from genesys_media_async.settings.environment import ENVIRONMENT
from genesys_media_async.simulator import Fault, OAuthClient, Quota, Simulator, SimulatorSettings
from tests.support.commands import run
from tests.support.retrievers import settings_for

EVERY_PERMISSION = {
    "getContentmanagementDocumentContent": frozenset({"content:view"}),
    "getDownload": frozenset({"download:view"}),
}


class Shifted(SystemClock):
    """This machine's clock, set wrong."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall(self) -> float:
        return SystemClock.wall() + self._seconds


async def examined(
    simulator: Simulator, *sources: str, clock: SystemClock | None = None, **settings: object
) -> tuple[dict[str, Finding], Findings]:
    configured = settings_for(simulator, **settings)
    findings = await examine(configured, sources, clock or SystemClock())
    return {each.check: each for each in findings.findings}, findings


def verdicts(found: dict[str, Finding], *checks: str) -> list[str]:
    return [found[check].verdict for check in checks]


def poor(*permissions: str) -> OAuthClient:
    return OAuthClient("demo-client", "demo-secret", permissions=frozenset(permissions))


@pytest.mark.anyio
class TestExamination:
    async def test_of_a_good_setup_finds_nothing_to_repair(self):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, quota={"limit": 300, "seconds": 60})
        assert {finding.verdict for finding in found.values()} == {"ok"}
        assert findings.exit_code == 0
        assert list(found) == [
            *("settings", "DNS API", "connection API", "token", "clock", "API"),
            *SOURCES,
            *("discover", "quota"),
        ]
        assert findings.suggested == {}

    async def test_retrieves_nothing_and_starts_no_job(self):
        async with Simulator() as simulator:
            await examined(simulator)
            counts = simulator.counts
            assert counts.media_requests == 0
            # The only successful requests are for the token's organisation, its limits and until when jobs have data.
            assert counts.by_status[200] == 3
            assert simulator.batch_jobs == []
            assert counts.api_requests < 20

    async def test_names_the_permissions_to_grant(self):
        settings = SimulatorSettings(quota=None, clients=(poor(),), operation_permissions=EVERY_PERMISSION)
        async with Simulator(settings) as simulator:
            found, findings = await examined(simulator)
            needed, refused = await examined(simulator, "orphan-recording")
        assert (
            verdicts(found, "document", "platform-download", "orphan-recording", "transcript", "discover")
            == ["warning"] * 5
        )
        assert verdicts(found, "message-media") == ["warning"]
        assert "conversation:webmessaging:view" in found["message-media"].repair
        assert "recording:orphan:view" in found["orphan-recording"].repair
        assert "analytics:conversationDetail:view" in found["discover"].repair
        assert findings.exit_code == 0
        # A source that is named is needed.
        assert verdicts(needed, "orphan-recording") == ["problem"]
        assert "document" not in needed
        assert refused.exit_code == ExitCode.CONFIGURATION

    async def test_accepts_just_the_permissions_needed(self):
        async with Simulator(SimulatorSettings(quota=None, clients=(poor("recording:orphan:view"),))) as simulator:
            found, findings = await examined(simulator, "orphan-recording")
        assert verdicts(found, "orphan-recording") == ["ok"]
        assert findings.exit_code == 0

    async def test_knows_that_only_a_query_is_open_to_those_who_see_agents(self):
        agents = poor("analytics:agentConversationDetail:view", "conversation:message:view")
        async with Simulator(SimulatorSettings(quota=None, clients=(agents,))) as simulator:
            found, _ = await examined(simulator)
        assert verdicts(found, "discover", "message-media") == ["warning", "ok"]
        assert "enough for --by query" in found["discover"].repair

    async def test_ends_at_a_wrong_secret(self):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, client_secret="wrong-canary")
            assert simulator.counts.api_requests == 0
        assert list(found)[-1] == "token"
        assert found["token"].verdict == "problem"
        assert "client secret" in found["token"].repair
        assert findings.exit_code == ExitCode.CONFIGURATION
        assert "canary" not in findings.for_people() + findings.for_programs()

    async def test_ends_at_a_dead_access_token(self):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, client_id=None, client_secret=None, access_token="dead-canary")
        assert found["API"].verdict == "problem"
        assert "token" not in found
        assert findings.exit_code == ExitCode.CONFIGURATION
        assert "canary" not in findings.for_people() + findings.for_programs()

    @pytest.mark.parametrize(
        ("seconds", "verdict", "message"),
        [
            (-2.0, "ok", "agrees"),
            (3.0, "ok", "agrees"),
            (30.0, "warning", "30 s ahead of"),
            (-30.0, "warning", "30 s behind"),
            (86_400.0, "problem", "ahead of"),
        ],
    )
    async def test_measures_a_wrong_clock(self, seconds: float, verdict: str, message: str):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, clock=Shifted(seconds))
        assert found["clock"].verdict == verdict
        assert message.rsplit(maxsplit=1)[-1] in found["clock"].message
        assert (findings.exit_code != 0) == (verdict == "problem")
        assert bool(found["clock"].repair) == (verdict != "ok")

    @pytest.mark.parametrize(
        ("quota", "verdict", "suggested"),
        [
            ({"limit": 300, "seconds": 60}, "ok", None),
            ({"limit": 30, "seconds": 6}, "ok", None),
            ({"limit": 100, "seconds": 60}, "ok", "300/60"),
            ({"limit": 3_000, "seconds": 60}, "warning", "300/60"),
            (None, "warning", "300/60"),
        ],
    )
    async def test_suggests_the_quota_that_fits(self, quota: Any, verdict: str, suggested: str | None):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, quota=quota)
        assert found["quota"].verdict == verdict
        assert findings.suggested.get("GENESYS_MEDIA_QUOTA") == suggested
        assert findings.exit_code == 0

    async def test_counts_requests_of_others_with_the_token(self):
        async with Simulator(SimulatorSettings(quota=Quota(300, 60.0), quota_headers=True)) as simulator:
            found, _ = await examined(simulator)
            before = simulator.counts.api_requests
        assert f"show {before} of 300 used in this window, 0 by others" in found["quota"].message

    async def test_does_without_permission_to_read_limits(self):
        limits = {"getOrganizationsLimitsNamespace": frozenset({"limits:view"})}
        settings = SimulatorSettings(quota=None, clients=(poor(),), operation_permissions=limits)
        async with Simulator(settings) as simulator:
            found, findings = await examined(simulator)
        assert (found["quota"].verdict, findings.suggested) == ("ok", {})
        assert "cannot be read" in found["quota"].message

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault.SERVER_ERROR_503, ExitCode.RETRYABLE_FAILURES),
            (Fault.RESET_BEFORE_REPLY, ExitCode.RETRYABLE_FAILURES),
            (Fault.TOO_MANY_REQUESTS, ExitCode.RETRYABLE_FAILURES),
            (Fault.UNAUTHORIZED, ExitCode.CONFIGURATION),
        ],
    )
    async def test_ends_at_a_broken_api(self, fault: Fault, code: ExitCode):
        async with Simulator() as simulator:
            simulator.script(fault)
            found, findings = await examined(simulator)
        assert list(found)[-1] == "API"
        assert found["API"].verdict == "problem"
        assert found["API"].repair
        assert findings.exit_code == code

    async def test_continues_after_a_broken_operation(self):
        async with Simulator() as simulator:
            simulator.script(Fault.SERVER_ERROR_500, operation="getDownload")
            found, findings = await examined(simulator)
        assert found["platform-download"].verdict == "warning"
        assert list(found)[-1] == "quota"
        assert findings.exit_code == 0

    async def test_finds_two_regions(self):
        configured = Settings(
            access_token="any", base_url="https://api.mypurecloud.de", login_url="https://login.mypurecloud.ie"
        )
        finding = check_settings(configured)
        assert finding.verdict == "problem"
        assert "eu-central-1" in finding.repair
        assert "eu-west-1" in finding.repair

    async def test_suggests_the_region_for_its_host(self):
        configured = Settings(access_token="any", base_url="https://api.mypurecloud.de")
        finding = check_settings(configured)
        assert finding.verdict == "ok"
        assert finding.suggested == {"GENESYSCLOUD_REGION": "eu-central-1"}

    async def test_leaves_the_network_to_a_proxy(self):
        findings = await check_network(Settings(access_token="any", proxy="http://proxy.example.com:3128"))
        assert [finding.check for finding in findings] == ["proxy login", "proxy API"]
        assert {finding.verdict for finding in findings} == {"ok"}
        assert all("GENESYS_MEDIA_PROXY" in finding.message for finding in findings)

    @pytest.mark.parametrize(
        ("variable", "value", "check"),
        [
            ("SSL_CERT_FILE", "/no/such/file", "certificates"),
            ("SSL_CERT_DIR", "/no/such/folder", "certificates"),
            ("SSLKEYLOGFILE", "/no/such/folder/keys", "certificates"),
            ("HTTPS_PROXY", "socks://canary@proxy.example.com", "proxy"),
        ],
    )
    async def test_explains_a_variable_that_would_end_a_run(
        self, variable: str, value: str, check: str, monkeypatch: pytest.MonkeyPatch
    ):
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, value)
        findings = await examine(Settings(access_token="any"), (), SystemClock())
        last = findings.findings[-1]
        assert (last.check, last.verdict, findings.exit_code) == (check, "problem", ExitCode.CONFIGURATION)
        assert variable in last.message
        assert "canary" not in findings.for_people()


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="processes of POSIX")
class TestDoctor:
    async def test_writes_a_table_that_fits(self):
        async with Simulator() as simulator:
            done = await run("doctor", simulator=simulator, variables={"GENESYS_MEDIA_QUOTA": "300/60"})
        assert done.code == 0, done.err
        assert done.err == ""
        assert max(map(len, done.out.splitlines())) <= WIDTH
        assert {line.split()[0] for line in done.out.splitlines() if not line.startswith(" ")} == {"ok"}
        assert "demo-secret" not in done.out

    async def test_writes_json_and_its_exit_code(self):
        async with Simulator(SimulatorSettings(clients=(poor(),))) as simulator:
            done = await run("doctor", "--json", "--source", "orphan-recording", simulator=simulator)
        report = json.loads(done.out)
        assert done.code == report["exit_code"] == 3
        (refused,) = [each for each in report["findings"] if each["check"] == "orphan-recording"]
        assert refused["verdict"] == "problem"
        assert report["suggested"] == {"GENESYS_MEDIA_QUOTA": "300/60"}

    @pytest.mark.parametrize("encoding", ["ascii:strict", "cp1252", "cp437"])
    async def test_prints_problems_in_a_narrow_encoding(self, encoding: str):
        async with Simulator() as simulator:
            variables = {"PYTHONIOENCODING": encoding, "GENESYSCLOUD_OAUTHCLIENT_SECRET": "wrong"}
            done = await run("doctor", simulator=simulator, variables=variables)
        assert (done.code, done.err) == (ExitCode.CONFIGURATION, "")
        assert "-> Check the client id" in done.out

    async def test_ends_with_5_without_a_login_host(self):
        async with Simulator() as simulator:
            unreachable = {"GENESYS_MEDIA_LOGIN_URL": "http://127.0.0.1:1"}
            done = await run("doctor", simulator=simulator, variables=unreachable)
        assert done.code == 5
        assert "problem  connection login" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "repair"),
    [
        (("--source", "nowhere"), ExitCode.USAGE, "--source: unknown source 'nowhere'; choose from media-storage"),
        (("--region", "nowhere"), ExitCode.USAGE, "--region: 'nowhere' is not a region"),
        ((), ExitCode.CONFIGURATION, "GENESYSCLOUD_OAUTHCLIENT_ID"),
    ],
)
def test_usage_errors_come_before_the_first_request(
    arguments: tuple[str, ...],
    code: ExitCode,
    repair: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    for name in (name for names in ENVIRONMENT.values() for name in names):
        monkeypatch.delenv(name, raising=False)
    assert main(["doctor", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repair in captured.err
