"""Fixtures of the command's tests."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.simulator import Simulator, SimulatorSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def children_receive_sigint():
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


@pytest.fixture
def unreachable_genesys(monkeypatch: pytest.MonkeyPatch):
    """Set an environment in which no request gets a reply."""
    for name in os.environ:
        if name.upper().startswith("GENESYS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "any")
    monkeypatch.setenv("GENESYS_MEDIA_LOGIN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GENESYS_MEDIA_BASE_URL", "http://127.0.0.1:1")
