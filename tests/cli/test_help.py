"""The help pages: complete, in ASCII apart from their frames, and without secrets."""

from __future__ import annotations

import pytest

from genesys_media_async.cli import main
from genesys_media_async.cli.exit_codes import MEANINGS, ExitCode
from genesys_media_async.settings.environment import ENVIRONMENT

COMMANDS = [(), ("demo",), ("retrieve",), ("discover",), ("doctor",), ("simulate",)]


def page(*command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*command, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def words(text: str) -> str:
    """Return a page without its frames and line breaks."""
    return " ".join(text.replace("\u2502", " ").split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert "Examples:\n  genesys-media " in page(*command, capsys=capsys)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_can_be_printed_in_ascii(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    frame = "\u256d\u256e\u256f\u2570\u2500\u2502"
    assert page(*command, capsys=capsys).translate(dict.fromkeys(map(ord, frame))).isascii()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_never_shows_the_value_of_a_variable(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    for name in (name for names in ENVIRONMENT.values() for name in names):
        monkeypatch.setenv(name, "canary")
    assert "canary" not in page(*command, capsys=capsys)


def test_help_explains_every_exit_code_and_where_secrets_go(capsys: pytest.CaptureFixture[str]):
    text = page("retrieve", capsys=capsys)
    assert all(f"{code.value}  {MEANINGS[code]}" in text for code in ExitCode)
    assert "GENESYSCLOUD_OAUTHCLIENT_SECRET" in text
    assert "--client-secret" not in text


def test_help_shows_the_variable_and_the_default_of_an_option(capsys: pytest.CaptureFixture[str]):
    text = words(page("retrieve", capsys=capsys))
    assert "[env var: GENESYS_MEDIA_QUOTA] [default: 300/60]" in text
    assert "[choices: burst, even] [env var: GENESYS_MEDIA_PACE] [default: burst]" in text
    assert "[env var: GENESYSCLOUD_REGION] [default: us-east-1]" in text


def test_help_of_doctor_explains_what_a_source_means_to_it(capsys: pytest.CaptureFixture[str]):
    assert "Without it all sources are checked, and a refusal is a warning." in words(page("doctor", capsys=capsys))


@pytest.mark.parametrize("command", ["doctor", "discover"])
def test_help_has_the_exit_codes_of_the_command(command: str, capsys: pytest.CaptureFixture[str]):
    codes = page(command, capsys=capsys).partition("Exit codes:\n")[2]
    assert "    0  " in codes
    assert "    5  " in codes
    assert "some ids failed" not in codes


def test_help_has_groups_of_options(capsys: pytest.CaptureFixture[str]):
    text = page("retrieve", capsys=capsys)
    groups = ("Input", "Output", "URLs", "Quota and speed", "Connection", "Validation", "Evidence and webhooks")
    places = [text.index(f" {group} ") for group in groups]
    assert places == sorted(places)


def test_completion_can_be_installed(capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["--install-completion", "--shell", "bash", "--output", str(tmp_path / "completion")]) == 0
    script = (tmp_path / "completion").read_text()
    assert all(word in script for word in ("retrieve", "--source", "recording-batch", "--pace"))
    assert "completion" in capsys.readouterr().out
