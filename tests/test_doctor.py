"""`doctor`: what it finds in a setup that is well, and the repair for each that is not."""

from __future__ import annotations

import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import trustme

from genesys_media_async import Settings
from genesys_media_async.cli import main
from genesys_media_async.cli.commands.doctor import Examination
from genesys_media_async.cli.doctor.findings import WIDTH, Finding, Findings
from genesys_media_async.cli.doctor.network import connect, look_up
from genesys_media_async.cli.doctor.probes import PROBES
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.cli.sources import SOURCES
from genesys_media_async.clock import SystemClock
from genesys_media_async.settings.settings import ENVIRONMENT
from genesys_media_async.simulator import Fault, OAuthClient, Quota, Simulator, SimulatorSettings
from genesys_media_async.transports import HttpxTransport
from tests.support.retrievers import settings_for
from tests.test_cli import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EVERY_PERMISSION = {
    "getContentmanagementDocumentContent": frozenset({"content:view"}),
    "getDownload": frozenset({"download:view"}),
}


class Shifted(SystemClock):
    """This machine's clock, if somebody had set it wrong."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def wall(self) -> float:
        return SystemClock.wall() + self._seconds


async def examined(
    simulator: Simulator, *sources: str, clock: SystemClock | None = None, **settings: object
) -> tuple[dict[str, Finding], Findings]:
    configured = settings_for(simulator, **settings)
    transport = HttpxTransport.from_settings(configured)
    examination = Examination(configured, transport, sources, clock or SystemClock())
    try:
        await examination.from_the_bottom_up()
    finally:
        await transport.aclose()
    findings = Findings(examination.findings, examination.suggested)
    return {each.check: each for each in findings.findings}, findings


def verdicts(found: dict[str, Finding], *checks: str) -> list[str]:
    return [found[check].verdict for check in checks]


def poor(*permissions: str) -> OAuthClient:
    return OAuthClient("demo-client", "demo-secret", permissions=frozenset(permissions))


@pytest.mark.anyio
class TestASetup:
    async def test_that_is_well_has_nothing_to_repair(self):
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

    async def test_gives_nothing_away_and_starts_nothing(self):
        async with Simulator() as simulator:
            await examined(simulator)
            counts = simulator.counts
            assert counts.media_requests == 0
            # Answered well are who the token is of, and what its limits are.
            assert counts.by_status[200] == 2
            assert simulator.batch_jobs == []
            assert counts.api_requests < 20

    async def test_without_permissions_is_told_which_to_grant(self):
        settings = SimulatorSettings(quota=None, clients=(poor(),), operation_permissions=EVERY_PERMISSION)
        async with Simulator(settings) as simulator:
            found, findings = await examined(simulator)
            needed, refused = await examined(simulator, "orphan-recording")
        assert verdicts(found, "document", "download", "orphan-recording", "transcript", "discover") == ["warning"] * 5
        assert "recording:orphan:view" in found["orphan-recording"].repair
        assert "analytics:conversationDetail:view" in found["discover"].repair
        assert findings.exit_code == 0
        # What is named is needed.
        assert verdicts(needed, "orphan-recording") == ["problem"]
        assert "document" not in needed
        assert refused.exit_code == ExitCode.CONFIGURATION

    async def test_with_just_the_permissions_it_needs_is_well(self):
        async with Simulator(SimulatorSettings(quota=None, clients=(poor("recording:orphan:view"),))) as simulator:
            found, findings = await examined(simulator, "orphan-recording")
        assert verdicts(found, "orphan-recording") == ["ok"]
        assert findings.exit_code == 0

    async def test_with_a_wrong_secret_is_told_so_and_left_at_that(self):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, client_secret="wrong-canary")
            assert simulator.counts.api_requests == 0
        assert list(found)[-1] == "token"
        assert found["token"].verdict == "problem"
        assert "client secret" in found["token"].repair
        assert findings.exit_code == ExitCode.CONFIGURATION
        assert "canary" not in findings.for_people() + findings.for_programs()

    async def test_with_a_dead_access_token_is_told_so(self):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, client_id=None, client_secret=None, access_token="dead-canary")
        assert found["API"].verdict == "problem"
        assert "token" not in found
        assert findings.exit_code == ExitCode.CONFIGURATION
        assert "canary" not in findings.for_people() + findings.for_programs()

    @pytest.mark.parametrize(
        ("seconds", "verdict", "said"),
        [
            (-2.0, "ok", "agrees"),
            (3.0, "ok", "agrees"),
            (30.0, "warning", "30 s ahead of"),
            (-30.0, "warning", "30 s behind"),
            (86_400.0, "problem", "ahead of"),
        ],
    )
    async def test_with_a_wrong_clock_is_told_by_how_much(self, seconds: float, verdict: str, said: str):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, clock=Shifted(seconds))
        assert found["clock"].verdict == verdict
        assert said.rsplit(maxsplit=1)[-1] in found["clock"].said
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
    async def test_is_told_the_quota_that_fits(self, quota: Any, verdict: str, suggested: str | None):
        async with Simulator() as simulator:
            found, findings = await examined(simulator, quota=quota)
        assert found["quota"].verdict == verdict
        assert findings.suggested.get("GENESYS_MEDIA_QUOTA") == suggested
        assert findings.exit_code == 0

    async def test_is_told_of_others_who_use_the_token(self):
        async with Simulator(SimulatorSettings(quota=Quota(300, 60.0), quota_headers=True)) as simulator:
            found, _ = await examined(simulator)
            before = simulator.counts.api_requests
        assert f"say {before} of 300 are used in this window, 0 by others" in found["quota"].said

    async def test_that_may_not_read_its_limits_is_well(self):
        limits = {"getOrganizationsLimitsNamespace": frozenset({"limits:view"})}
        settings = SimulatorSettings(quota=None, clients=(poor(),), operation_permissions=limits)
        async with Simulator(settings) as simulator:
            found, findings = await examined(simulator)
        assert (found["quota"].verdict, findings.suggested) == ("ok", {})
        assert "not to be read" in found["quota"].said

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault.SERVER_ERROR_503, ExitCode.FAILED_FOR_NOW),
            (Fault.RESET_BEFORE_REPLY, ExitCode.FAILED_FOR_NOW),
            (Fault.TOO_MANY_REQUESTS, ExitCode.FAILED_FOR_NOW),
            (Fault.UNAUTHORIZED, ExitCode.CONFIGURATION),
        ],
    )
    async def test_of_an_api_that_does_not_work_is_told_so(self, fault: Fault, code: ExitCode):
        async with Simulator() as simulator:
            simulator.script(fault)
            found, findings = await examined(simulator)
        assert list(found)[-1] == "API"
        assert found["API"].verdict == "problem"
        assert found["API"].repair
        assert findings.exit_code == code

    async def test_of_an_operation_that_does_not_work_is_examined_to_its_end(self):
        async with Simulator() as simulator:
            simulator.script(Fault.SERVER_ERROR_500, operation="getDownload")
            found, findings = await examined(simulator)
        assert found["download"].verdict == "warning"
        assert list(found)[-1] == "quota"
        assert findings.exit_code == 0

    async def test_of_two_regions_is_told_to_name_one(self):
        configured = Settings(
            access_token="any", base_url="https://api.mypurecloud.de", login_url="https://login.mypurecloud.ie"
        )
        examination = Examination(configured, HttpxTransport.from_settings(configured), (), SystemClock())
        examination._look_at_settings()
        (finding,) = examination.findings
        assert finding.verdict == "problem"
        assert "eu-central-1" in finding.repair
        assert "eu-west-1" in finding.repair

    async def test_that_names_a_regions_host_may_as_well_name_the_region(self):
        configured = Settings(access_token="any", base_url="https://api.mypurecloud.de")
        examination = Examination(configured, HttpxTransport.from_settings(configured), (), SystemClock())
        examination._look_at_settings()
        assert [finding.verdict for finding in examination.findings] == ["ok"]
        assert examination.suggested == {"GENESYSCLOUD_REGION": "eu-central-1"}

    async def test_behind_a_proxy_leaves_the_network_to_it(self):
        async with Simulator() as simulator:
            configured = settings_for(simulator, proxy="http://proxy.example.com:3128")
            examination = Examination(configured, HttpxTransport.from_settings(configured), (), SystemClock())
            await examination._look_at_network()
        assert [(finding.check, finding.verdict) for finding in examination.findings] == [("network", "ok")]


@pytest.mark.anyio
class TestTheNetwork:
    async def test_without_a_host_of_that_name(self):
        finding = await look_up("API", urlsplit("https://no.such.host.invalid"))
        assert (finding.verdict, finding.code) == ("problem", ExitCode.CONFIGURATION)
        assert "no.such.host.invalid" in finding.said

    @pytest.mark.parametrize("host", ["x" * 64 + ".example.com", "a..b"])
    async def test_with_a_name_that_is_none(self, host: str):
        assert (await look_up("API", urlsplit(f"https://{host}"))).verdict == "problem"

    async def test_where_nobody_listens(self):
        finding = await connect("API", urlsplit("https://127.0.0.1:1"))
        assert (finding.verdict, finding.code) == ("problem", ExitCode.FAILED_FOR_NOW)
        assert "proxy" in finding.repair

    async def test_where_no_tls_is_spoken(self):
        async with Simulator() as simulator:
            finding = await connect("API", urlsplit(simulator.base_url.replace("http:", "https:")))
        assert finding.verdict == "problem"

    @pytest.mark.parametrize(
        ("days", "verdict", "said"), [(300, "ok", "certificate good for"), (3, "warning", "certificate good for")]
    )
    async def test_with_tls(self, days: int, verdict: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) + timedelta(days=days))
        authority.cert_pem.write_to_path(tmp_path / "roots.pem")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        async with Simulator(ssl_context=context) as simulator:
            url = urlsplit(simulator.base_url)
            unknown = await connect("API", url)
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
            known = await connect("API", url)
        assert (unknown.verdict, unknown.code) == ("problem", ExitCode.CONFIGURATION)
        assert "SSL_CERT_FILE" in unknown.repair
        assert known.verdict == verdict
        assert "TLSv1." in known.said
        assert said in known.said


class TestFindings:
    def test_fit_into_a_hundred_columns(self):
        said = "word " * 60
        findings = Findings(
            [Finding("x" * 17, "problem", said, said), Finding("short", "ok", "https://" + "x" * 70)],
            {"GENESYS_MEDIA_QUOTA": "300/60"},
        )
        lines = findings.for_people().splitlines()
        assert max(map(len, lines)) <= WIDTH
        assert sum("→" in line for line in lines) == 1
        assert lines[-1] == "  export GENESYS_MEDIA_QUOTA=300/60"

    def test_are_one_object_for_a_program(self):
        findings = Findings([Finding("DNS", "problem", "ü", "repair"), Finding("token", "ok", "x")], {"A": "b"})
        assert json.loads(findings.for_programs()) == {
            "exit_code": 3,
            "findings": [
                {"check": "DNS", "verdict": "problem", "said": "ü", "repair": "repair"},
                {"check": "token", "verdict": "ok", "said": "x", "repair": None},
            ],
            "suggested": {"A": "b"},
        }

    @pytest.mark.parametrize(
        ("codes", "expected"),
        [
            ((), 0),
            ((ExitCode.FAILED_FOR_NOW,), 5),
            ((ExitCode.FAILED_FOR_NOW, ExitCode.CONFIGURATION), 3),
        ],
    )
    def test_end_with_the_worst(self, codes: Sequence[ExitCode], expected: int):
        problems = [Finding("x", "problem", "x", "x", code) for code in codes]
        assert Findings([Finding("y", "warning", "y", "y"), *problems], {}).exit_code == expected


def test_every_source_has_a_probe():
    assert set(PROBES) >= set(SOURCES)


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="the processes of test_cli are POSIX's")
class TestTheCommand:
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

    async def test_without_a_login_host_ends_with_5(self):
        async with Simulator() as simulator:
            nobody = {"GENESYS_MEDIA_LOGIN_URL": "http://127.0.0.1:1"}
            done = await run("doctor", simulator=simulator, variables=nobody)
        assert done.code == 5
        assert "problem  connection login" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "repair"),
    [
        (("--source", "nowhere"), ExitCode.USAGE, "the sources are"),
        (("--region", "nowhere"), ExitCode.USAGE, "is no region"),
        ((), ExitCode.CONFIGURATION, "GENESYSCLOUD_OAUTHCLIENT_ID"),
    ],
)
def test_wrong_use_is_said_before_anything_is_asked(
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
