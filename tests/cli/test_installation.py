"""The installed command: its version, its extra, what it imports."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.support.commands import TIMEOUT, environment, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


class TestInstallation:
    async def test_shows_its_name_and_version(self):
        done = await run("--version")

        assert (done.code, done.err) == (0, "")
        assert done == await run("-V")
        assert re.fullmatch(r"genesys-media \d+\.\d+\.\d+\n", done.out)

    async def test_names_the_extra_to_install(self, tmp_path: Path):
        # A module of None is what Python takes for one that is not there.
        code = (
            "import sys; sys.modules['cyclopts'] = None\n"
            "from genesys_media_async.cli import main\n"
            "sys.exit(main(['--version']))"
        )
        with anyio.fail_after(TIMEOUT):
            done = await anyio.run_process([sys.executable, "-c", code], check=False, env=environment())

        assert done.returncode == 3
        assert done.stderr.decode().splitlines() == [
            "genesys-media: cyclopts is not installed; install it with: pip install 'genesys-media-async[cli]'"
        ]

    async def test_imports_neither_the_simulator_nor_live_displays_for_its_version(self):
        code = (
            "import sys\n"
            "from genesys_media_async.cli import main\n"
            "main(['--version'])\n"
            "sys.exit(any(name.startswith(('genesys_media_async.simulator', 'rich.live')) "
            "for name in sys.modules))"
        )
        with anyio.fail_after(TIMEOUT):
            done = await anyio.run_process([sys.executable, "-c", code], check=False, env=environment())

        assert done.returncode == 0
