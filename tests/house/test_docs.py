"""The README says what is so: its programs run, its tables are the code's, its commands are those that CI runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from genesys_media_async import MediaRetriever
from genesys_media_async.cli.app import app
from genesys_media_async.cli.commands.demo import demo
from genesys_media_async.cli.commands.discover import discover
from genesys_media_async.cli.commands.doctor import doctor
from genesys_media_async.cli.commands.retrieve import retrieve
from genesys_media_async.cli.commands.simulate import simulate
from genesys_media_async.cli.exit_codes import MEANINGS
from genesys_media_async.cli.sources import SOURCES
from genesys_media_async.settings.environment import ENVIRONMENT
from genesys_media_async.simulator import Fault, Simulator, SimulatorSettings
from tests.support.retrievers import settings_for

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def rows(pattern: str, text: str = README) -> list:
    return re.findall(pattern, text, re.MULTILINE)


@pytest.mark.anyio
@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
async def test_every_program_in_the_readme_prints_what_its_comments_say_and_nothing_else(program: str, tmp_path: Path):
    said = rows(r"print\(.*\)  # (.*)$", program)
    async with Simulator(SimulatorSettings(quota=None)) as simulator:
        environment = {name: value for name, value in os.environ.items() if "GENESYS" not in name} | {
            "GENESYSCLOUD_OAUTHCLIENT_ID": "demo-client",
            "GENESYSCLOUD_OAUTHCLIENT_SECRET": "demo-secret",
            "GENESYS_MEDIA_BASE_URL": simulator.base_url,
            "GENESYS_MEDIA_LOGIN_URL": simulator.login_url,
            # The usual quota would make the first program's 1,000 ids take minutes.
            "GENESYS_MEDIA_QUOTA": "none",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
        }
        async with MediaRetriever(settings_for(simulator)) as retriever:
            page = await retriever.retrieve("page")
        # Nothing must leave this machine.
        program = program.replace("https://hooks.example.com/media", simulator.webhook_url)
        program = program.replace("https://www.python.org/robots.txt", page.url)
        done = await anyio.run_process(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=False, stderr=subprocess.STDOUT
        )
    assert (done.stdout.decode().splitlines(), done.returncode) == (said, 0)


def test_every_command_in_the_readme_can_be_typed_and_every_subcommand_is_in_it():
    commands = rows(r"genesys-media ([^|&#`\n]+)", README.replace("\\\n", ""))
    called = {app.parse_args(shlex.split(command))[0] for command in commands}
    assert called >= {demo, discover, doctor, retrieve, simulate}


def test_every_file_that_the_readme_links_to_or_names_exists():
    links = rows(r"""(?:\]\(|(?:src|href)=")(?!\w+:|#)([^)#"\s]+)""")
    named = rows(r"\b((?:benchmarks|tests)/[\w/]+\.\w+)")
    assert links
    assert [path for path in links + named if not (ROOT / path).exists()] == []


def test_the_readme_says_how_many_kinds_of_faults_there_are():
    assert set(rows(r"(\d+)\s+kinds\b(?! of run)")) == {str(len(Fault))}


def test_the_readme_lists_the_sources_as_they_are():
    table = README.partition("| source | an id is | the OAuth client needs |\n| --- | --- | --- |\n")[2]
    assert table.partition("\n\n")[0].splitlines() == [
        f"| `{name}` | {' or '.join(f'`{each}`' for each in source.id_formats)} | {source.permission} |"
        for name, source in SOURCES.items()
    ]


def test_the_readme_lists_the_exit_codes_as_they_are():
    table = README.partition("| exit code | meaning |")[2].partition("\n\n")[0]
    assert dict(rows(r"^\| (\d+) \| (.*) \|$", table)) == {str(code.value): text for code, text in MEANINGS.items()}


def test_the_readme_lists_the_environment_as_it_is():
    listed = {setting: re.findall(r"`(\w+)`", names) for setting, names in rows(r"^\| `(\w+)` \| (`.*`) \|$")}
    assert listed == {setting: list(names) for setting, names in ENVIRONMENT.items()}


def test_the_readme_has_one_line_to_try_it_and_one_to_test_it():
    assert rows(r"^(pip install.* && genesys-media demo)$")
    assert rows(r"^(pip install.* && python -m pytest)$")


def test_every_room_is_in_the_readmes_table_of_the_house():
    package = ROOT / "genesys_media_async"
    modules = {path.stem for path in package.glob("*.py") if not path.stem.startswith("__")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    table = README.partition("laid out along the path of one id")[2].partition("\nImports go one way")[0]
    assert set(re.findall(r"`([\w/]+)`", table)) == modules | folders
