"""The fixtures of the pytest plugin, in a session of a user's own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = """
pytest_plugins = ["genesys_media_async.testing.pytest_plugin"]
"""

USERS_TESTS = """
import urllib.request

import pytest

from genesys_media_async import MediaRetriever
from genesys_media_async.simulator import Fault


def test_synchronous(genesys_simulator):
    genesys_simulator.script_webhook(Fault.SERVER_ERROR_500)
    with pytest.raises(urllib.error.HTTPError, match="500"):
        urllib.request.urlopen(urllib.request.Request(genesys_simulator.webhook_url, method="POST", data=b"{}"))


@pytest.mark.asyncio
async def test_pytest_asyncio(genesys_simulator, genesys_settings):
    async with MediaRetriever(genesys_settings) as retriever:
        results = await retriever.retrieve_all(["recording-1", "missing-2"])
    assert [result.ok for result in results] == [True, False]
    assert genesys_simulator.counts.by_file_id == {"recording-1": 1, "missing-2": 1}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_anyio(genesys_simulator, genesys_settings):
    async with MediaRetriever(genesys_settings) as retriever:
        await retriever.retrieve_all(["recording-1"])
    assert genesys_simulator.counts.api_ok == 1
"""

TESTS_WITH_SETTINGS = """
import pytest

from genesys_media_async import MediaRetriever, QuotaLimit
from genesys_media_async.simulator import Quota, SimulatorSettings


@pytest.fixture
def genesys_simulator_settings():
    return SimulatorSettings(quota=Quota(limit=5, seconds=60.0), unknown_file_ids=frozenset({"lost"}))


@pytest.mark.asyncio
async def test_the_settings_are_used(genesys_settings):
    assert genesys_settings.quota == QuotaLimit(limit=5, seconds=60.0)
    async with MediaRetriever(genesys_settings) as retriever:
        (result,) = await retriever.retrieve_all(["lost"])
    assert not result.ok
"""


def run_pytest(folder: Path, *arguments: str) -> str:
    """Run pytest as a user would, with warnings as errors, and return what it prints."""
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = strict\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    return done.stdout + done.stderr


def test_the_fixtures_work_in_synchronous_tests_with_pytest_asyncio_and_with_anyio(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    (tmp_path / "test_with_settings.py").write_text(TESTS_WITH_SETTINGS)
    printed = run_pytest(tmp_path, "-v")
    assert "4 passed" in printed, printed
    assert "warning" not in printed


def test_the_fixtures_are_listed_with_what_they_are(tmp_path: Path) -> None:
    printed = run_pytest(tmp_path, "-p", "genesys_media_async.testing.pytest_plugin", "--fixtures")
    assert "genesys_simulator --" in printed
    assert "Yield a simulated Genesys Cloud that runs as long as the test." in printed


@pytest.mark.parametrize("module", ["genesys_media_async", "genesys_media_async.testing"])
def test_nothing_but_the_plugin_imports_pytest(module: str) -> None:
    program = f"import sys, {module}; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=50, check=False).returncode == 0
