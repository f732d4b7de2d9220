"""`simulate` as a process."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.commands import err_of, run, started

if TYPE_CHECKING:
    from genesys_media_async.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


class TestSimulate:
    async def test_prints_how_to_use_it_and_what_it_counted(self):
        async with started("simulate", "--port", "0", "--quota", "3/60", "--client", "me:my secret") as process:
            assert process.stderr is not None
            greeting = ""
            while "Ctrl-C" not in greeting:
                greeting += (await process.stderr.receive()).decode()
            exported = dict(re.findall(r"^export (\w+)=(.*)$", greeting, re.MULTILINE))
            variables = {name: shlex.split(value)[0] for name, value in exported.items()}
            assert variables["GENESYS_MEDIA_QUOTA"] == "3/60"
            token = await self.token(variables)
            statuses = [await self.status(variables["GENESYS_MEDIA_BASE_URL"], token) for _ in range(4)]
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
            assert "4 API requests of which 3 succeeded, 1 were refused with 429" in await err_of(process)
        assert statuses == [200, 200, 200, 429]

    async def test_serves_the_command(self):
        async with started("simulate", "--port", "0", "--quota", "none") as process:
            assert process.stderr is not None
            greeting = ""
            while "Ctrl-C" not in greeting:
                greeting += (await process.stderr.receive()).decode()
            exported = dict(re.findall(r"^export (\w+)=(.*)$", greeting, re.MULTILINE))
            done = await run("retrieve", "a", variables=exported)
            process.terminate()
            assert await process.wait() == 0
        assert done.code == 0

    async def test_ends_with_2_if_its_port_is_taken(self, simulator: Simulator):
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
