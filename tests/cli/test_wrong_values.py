"""Wrong values of every option and variable: the message names the input, the rule and the repair, in our words."""

from __future__ import annotations

import re

import pytest

from genesys_media_async.cli import main
from genesys_media_async.cli.app import COMMANDS, app
from genesys_media_async.cli.exit_codes import ExitCode
from genesys_media_async.settings.environment import ENVIRONMENT

pytestmark = pytest.mark.usefixtures("unreachable_genesys")

CONNECTION = {
    "--region": ("us-east1", "nowhere"),
    "--base-url": ("api.mypurecloud.de", "http://example.com", "https://a:b@example.com", "https://example.com/?x"),
    "--login-url": ("login.mypurecloud.de", "https://example.com:port"),
    "--timeout": ("30s", "0", "-1", "nan", "inf", "4000"),
    "--quota": ("300", "0/60", "60/0", "300 per minute", "99999999/1"),
}
SPEED = CONNECTION | {
    "--pace": ("evenly",),
    "--deadline": ("10m", "0", "nan"),
    "--outage-timeout": ("15m", "-1", "nan"),
}
WRONG = {
    "retrieve": SPEED
    | {
        "--source": ("recordings", "xyz"),
        "--media-format": ("WAV",),
        "--input": ("/no/such/file",),
        "--skip-done": ("/no/such/file",),
        "--output": ("/no/such/directory/out",),
        "--format": ("json", "xml"),
        "--progress": ("verbose",),
        "--expires-in": ("1h", "0", "1.5", "999999", "9" * 30),
        "--access-level": ("a b",),
        "--concurrency": ("many", "0", "1.5", "100000"),
        "--max-refusals": ("few", "-1"),
        "--content-type": ("audio",),
        "--host": ("https://example.com",),
        "--audit": ("/no/such/directory/audit",),
        "--webhook": ("not-a-url", "http://example.com", "https://a:b@example.com"),
        "--undelivered": ("lost.jsonl",),
    },
    "discover": SPEED
    | {
        "--from": ("yesterday", "2026-11-23"),
        "--to": ("now", "2026-11-23T00:00"),
        "--queue": (" ",),
        "--media": (" ",),
        "--division": (" ",),
        "--direction": ("in",),
        "--by": ("jobs",),
        "--user": (" ",),
        "--ani": (" ",),
        "--dnis": (" ",),
        "--wrap-up-code": (" ",),
        "--flow": (" ",),
        "--language": (" ",),
        "--min-duration": ("1m", "-1", "nan"),
        "--max-duration": ("1m", "-1", "nan"),
        "--look-back-days": ("week", "-1", "9999"),
        "--filter-file": ("/no/such/file",),
        "--progress": ("bar",),
    },
    "doctor": CONNECTION | {"--source": ("recordings",)},
    "demo": {"--items": ("many", "0", "9999999"), "--output": ("/no/such/directory/out",), "--progress": ("verbose",)},
    "simulate": {
        "--port": ("http", "-1", "70000"),
        "--quota": ("300", "0/60"),
        "--quota-kind": ("rolling",),
        "--latency": ("50ms", "-1", "nan"),
        "--fault": ("flood=0.1", "hang", "hang=2"),
        "--job-fault": ("flood=0.1", "lost", "lost=2"),
        "--request-log": ("/no/such/directory/log",),
        "--token-lifetime": ("1h", "-1", "nan"),
        "--client": ("no-secret",),
        "--host": ("no such host",),
    },
}
CASES = [(command, option, value) for command, rows in WRONG.items() for option in rows for value in rows[option]]

VALUES = {
    "client_id": "a b",
    "client_secret": "a b",
    "access_token": "a b",
    "region": "us-east1",
    "base_url": "api.mypurecloud.de",
    "login_url": "http://example.com",
    "quota": "0/60",
    "pace": "evenly",
    "concurrency": "many",
    "expires_in": "1h",
    "access_level": "a b",
    "timeout": "30s",
    "deadline": "10m",
    "outage_timeout": "15m",
    "webhook": "hooks.example.com",
    "proxy": "proxy:3128",
}
VARIABLES = [(name, VALUES[setting]) for setting, names in ENVIRONMENT.items() for name in names]

NOT_OURS = re.compile(
    r"Input should|unable to parse|Extra inputs|Value error|validation error|pydantic|>=|<=|Traceback|_[a-z]+ \("
)
REPAIR = re.compile(
    r"must|did you mean|Did you mean|choose from|[Ww]rite |such as|as in|name another|name their|only\b|leave it out"
    r"|choose others|No such file|The regions are|check the"
)
REQUIRED = {"discover": ("--from", "2026-11-23T00:00Z"), "retrieve": ("an-id",)}


def message(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("genesys-media: ")
    assert captured.err.count("\n") == 1
    assert not NOT_OURS.search(captured.err)
    assert REPAIR.search(captured.err)
    assert captured.err.isascii()
    return captured.err


@pytest.mark.parametrize(("command", "option", "value"), CASES)
def test_a_wrong_value_of_an_option(command: str, option: str, value: str, capsys: pytest.CaptureFixture[str]):
    required = REQUIRED.get(command, ())
    code = main([command, *(() if required[:1] == (option,) else required), f"{option}={value}"])
    assert code == (ExitCode.INPUT if option == "--input" else ExitCode.USAGE)
    err = message(capsys)
    assert option in err or "/no/such/file" in err


@pytest.mark.parametrize(("variable", "value"), VARIABLES)
def test_a_wrong_value_of_a_variable(
    variable: str, value: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    setting = next(setting for setting, names in ENVIRONMENT.items() if variable in names)
    for name in ENVIRONMENT[setting]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)

    assert main(["retrieve", "a"]) == ExitCode.CONFIGURATION
    assert message(capsys).startswith(f"genesys-media: {variable}")


def test_the_tables_are_complete():
    assert set(VALUES) == set(ENVIRONMENT)
    assert set(WRONG) == set(COMMANDS)
    for command, rows in WRONG.items():
        options = {
            argument.name
            for argument in app[command].assemble_argument_collection()
            if argument.name.startswith("--") and argument.hint is not bool
        }
        assert set(rows) == options
