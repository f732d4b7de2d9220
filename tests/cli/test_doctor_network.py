"""The checks of a host: its name, its port and its TLS."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import trustme

from genesys_media_async.cli.doctor.network import connect, look_up
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.simulator import Simulator

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.anyio
class TestNetwork:
    async def test_has_no_such_host(self):
        finding = await look_up("API", urlsplit("https://no.such.host.invalid"))
        assert (finding.verdict, finding.code) == ("problem", ExitCode.CONFIGURATION)
        assert "no.such.host.invalid" in finding.message

    @pytest.mark.parametrize("host", ["x" * 64 + ".example.com", "a..b"])
    async def test_has_an_invalid_host_name(self, host: str):
        assert (await look_up("API", urlsplit(f"https://{host}"))).verdict == "problem"

    async def test_has_a_closed_port(self):
        finding = await connect("API", urlsplit("https://127.0.0.1:1"))
        assert (finding.verdict, finding.code) == ("problem", ExitCode.RETRYABLE_FAILURES)
        assert "proxy" in finding.repair

    async def test_has_a_port_without_tls(self):
        async with Simulator() as simulator:
            finding = await connect("API", urlsplit(simulator.base_url.replace("http:", "https:")))
        assert finding.verdict == "problem"

    @pytest.mark.parametrize(("days", "verdict"), [(300, "ok"), (3, "warning")])
    async def test_has_a_certificate_with_an_end(
        self, days: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
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
        assert "TLSv1." in known.message
        assert "certificate valid for" in known.message
