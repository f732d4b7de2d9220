"""The log of a simulator's requests: what it has of each, and what it has of none."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import httpx
import pytest

from genesys_media_async import VirtualClock
from genesys_media_async.simulator import Fault, RequestLog, Simulator
from tests.support.virtual_simulators import ask, log_in

if TYPE_CHECKING:
    from pathlib import Path


def test_a_request_is_logged_before_its_reply_with_neither_token_nor_url(tmp_path: Path):
    clock = VirtualClock(wall=1_700_000_000.0)
    file = tmp_path / "requests.jsonl"
    log = RequestLog(file)
    simulator = Simulator(clock=clock, request_log=log)
    simulator.script(None, Fault.SERVER_ERROR_503, Fault.CLOSE_BEFORE_REPLY)

    async def main() -> tuple[str, str]:
        transport = simulator.transport()
        async with httpx.AsyncClient(transport=transport, base_url=simulator.base_url) as http:
            await log_in(http)
            replies = [await ask(http, "a"), await ask(http, "b")]
            with pytest.raises(httpx.TransportError):
                await ask(http, "c")
            await http.get("/nowhere?secret=canary")
        assert [reply.status_code for reply in replies] == [200, 503]
        return replies[0].json()["url"], replies[0].headers["inin-correlation-id"]

    url, correlation_id = clock.run(main())
    log.close()
    text = file.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    path = "/api/v2/media/storage/files/{}/download-url".format
    assert [(line["kind"], line["path"], line["status"], line["fault"]) for line in lines] == [
        ("token", "/oauth/token", 200, None),
        ("api", path("a"), 200, None),
        ("api", path("b"), 503, "server-error-503"),
        ("api", path("c"), 0, "close-before-reply"),
        ("other", "/nowhere", 404, None),
    ]
    assert lines[1]["time"] == "2023-11-14T22:13:20.000+00:00"
    assert lines[1]["correlation_id"] == correlation_id
    assert not any(secret in text for secret in ("canary", "demo-secret", "earer", url))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_lines_are_appended_to_what_is_there(tmp_path: Path):
    file = tmp_path / "requests.jsonl"
    file.write_text("{}\n")
    log = RequestLog(file)
    log.close()
    assert file.read_text() == "{}\n"
