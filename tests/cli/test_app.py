"""Usage errors, and other decisions before the first request."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from genesys_media_async.cli import main
from genesys_media_async.cli.app import COMMANDS
from genesys_media_async.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("unreachable_genesys")


def message(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("genesys-media: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        (
            ("--expires-in", "0"),
            "--expires-in is 0. It must be a whole number of seconds from 1 to 86400",
        ),
        (("--expires-in", "-1"), "--expires-in is -1"),
        (("--expires-in", "86401"), "--expires-in is 86401"),
        (("--expires-in", "abc"), "--expires-in: must be a whole number."),
        (("--expires-in", "30.5"), "--expires-in: must be a whole number."),
        (("--concurrency", "0"), "--concurrency: must be at least 1."),
        (("--quota", "5"), "--quota: '5' is not a quota. Write REQUESTS/SECONDS"),
        (("--quota", "0/60"), "--quota: the number of requests must be at least 1."),
        (("--timeout", "0"), "--timeout: "),
        (("--deadline", "nan"), "--deadline: "),
        (
            ("--region", "us-east1"),
            "--region: 'us-east1' is not a region. Did you mean us-east-1",
        ),
        (("--base-url", "http://media.example.com"), "--base-url: must begin with https://"),
        (("--login-url", "example.com"), "--login-url: must be a URL"),
        (("--access-level", "a b"), "--access-level is 'a b'. It must be a word"),
        (("--webhook", "http://example.com/"), "--webhook: must begin with https://"),
        (("--undelivered", "file"), "name their receiver with --webhook"),
        (("--webhook-with-url",), "name their receiver with --webhook"),
        (("--content-type", "audio"), "--content-type: 'audio' is not a content type"),
        (("--host", "https://example.com"), "--host: 'https://example.com' is not a host name; write it bare"),
        (("--format", "xml"), "--format: unknown format 'xml'; choose from jsonl, csv, urls."),
        (("--progress", "jsn"), "--progress: unknown progress 'jsn'; did you mean json?"),
        (("--pace", "evn"), "--pace: unknown pace 'evn'; did you mean even?"),
        (("--source", "recordings"), "--source: unknown source 'recordings'; did you mean recording?"),
        (("--unheard-of",), "Unknown option"),
        (("--regin", "x"), "Did you mean --region?"),
        (("--region",), "--region: a value is required."),
        (("--webhook", "not-a-url"), "as in https://hooks.example.com/"),
        (("-o", "-i"), "--output: -i looks like an option"),
        (("-o", "/no/such/directory/out"), "No such file or directory; name another file with --output"),
        (("-o", "/"), "Is a directory"),
        (("--audit", "/no/such/directory/audit"), "--audit: /no/such/directory/audit cannot be written"),
        (("--webhook", "https://a.example", "--undelivered", "/no/such/file"), "--undelivered: "),
    ],
    ids=" ".join,
)
def test_a_wrong_option_ends_with_2_and_the_repair(
    arguments: tuple[str, ...], repair: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["retrieve", "a", *arguments]) == ExitCode.USAGE
    assert repair in message(capsys)


def test_no_ids_at_all_end_with_2_and_a_hint(capsys: pytest.CaptureFixture[str]):
    assert main(["retrieve"]) == ExitCode.USAGE
    assert "-i -" in message(capsys)


def test_one_file_for_two_purposes_is_refused_before_it_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ids = tmp_path / "ids.txt"
    ids.write_text("a\n")

    assert main(["retrieve", "-i", str(ids), "-o", str(ids)]) == ExitCode.USAGE

    assert "--output: it is the same file as that of --input" in message(capsys)
    assert ids.read_text() == "a\n"


@pytest.mark.parametrize(
    ("content", "repair"), [(None, "No such file"), (b"", "has no ids"), (b" \n\r\n", "has no ids")]
)
def test_a_file_without_ids_ends_with_4_before_anything_is_sent(
    tmp_path: Path, content: bytes | None, repair: str, capsys: pytest.CaptureFixture[str]
):
    ids, out = tmp_path / "ids.txt", tmp_path / "out.jsonl"
    if content is not None:
        ids.write_bytes(content)

    assert main(["retrieve", "-i", str(ids), "-o", str(out)]) == ExitCode.INPUT

    assert repair in message(capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--items", "0"),
        ("demo", "--output", "/no/such/directory/out"),
        ("simulate", "--quota", "many"),
        ("simulate", "--fault", "flood=0.1"),
        ("simulate", "--fault", "hang=2"),
        ("simulate", "--job-fault", "hang=0.1"),
        ("retrieve", "a", "--no-resubmit"),
        ("simulate", "--client", "no-secret"),
        ("simulate", "--latency", "-1"),
        ("simulate", "--latency", "x"),
        ("simulate", "--port", "70000"),
        ("retrive",),
    ],
    ids=" ".join,
)
def test_the_other_commands_are_as_strict(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == ExitCode.USAGE
    message(capsys)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)], ids=str)
def test_the_overview_quotes_each_command(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == ExitCode.ALL_RETRIEVED
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in COMMANDS:
        command = importlib.import_module(f"genesys_media_async.cli.commands.{name}")
        summary, _, _ = (getattr(command, name).__doc__ or "").strip().partition("\n")
        assert f"{name} {summary.split()[0]}" in shown


def test_a_command_imports_no_other():
    program = "import sys; from genesys_media_async.cli import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "genesys_media_async.cli.app" in done.stdout
    assert "genesys_media_async.cli.commands.retrieve" not in done.stdout
