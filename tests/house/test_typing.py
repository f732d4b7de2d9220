"""A user's own program passes the strict modes of mypy and pyright."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("typed_user.py")
ROOT = PROGRAM.parents[2]
STRICT = '{"typeCheckingMode": "strict", "pythonVersion": "3.11", "include": ["user.py"]}'


def check(folder: Path, *command: str) -> str:
    (folder / "user.py").write_text(PROGRAM.read_text())
    (folder / "pyrightconfig.json").write_text(STRICT)
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    return done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_mypy_accepts_a_users_program_and_refuses_a_misspelt_setting(tmp_path: Path) -> None:
    (tmp_path / "misspelt.py").write_text(
        "from genesys_media_async import MediaRetriever\nMediaRetriever.from_env(regoin='eu-central-1')\n"
    )
    said = check(tmp_path, "mypy", "--strict", "--warn-unreachable", "--config-file=", "user.py", "misspelt.py")
    lines = said.splitlines()
    assert [line.partition(":")[0] for line in lines if ": error: " in line] == ["misspelt.py"], said
    assert '"regoin"' in said


@pytest.mark.timeout(300)
def test_pyright_accepts_a_users_program(tmp_path: Path) -> None:
    said = check(tmp_path, "pyright", "--pythonpath", sys.executable)
    assert "0 errors, 0 warnings" in said, said
