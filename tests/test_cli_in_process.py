"""What the command decides before anything is sent, and the pure parts: wrong use, lines, progress, summary."""

from __future__ import annotations

import errno
import gc
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from genesys_media_async import InternalServerError, MediaRetriever, NotFoundError, QuotaLimit, QuotaState, Settings
from genesys_media_async.cli import main
from genesys_media_async.cli.event_loop import YOUNG_OBJECTS, run_in_event_loop
from genesys_media_async.cli.exit_codes import MEANINGS, CommandFailed, ExitCode
from genesys_media_async.cli.input.id_files import read_ids
from genesys_media_async.cli.output.formats import csv_line, encoder, json_line, url_line
from genesys_media_async.cli.output.progress import Moment, bar, duration, json_object, log_line, progress_for
from genesys_media_async.cli.output.summary import Ended, Results, json_summary, summary
from genesys_media_async.cli.output.writer import Output, open_target
from genesys_media_async.cli.supervisor import Names, Run
from genesys_media_async.counters import Statistics
from genesys_media_async.models import DownloadUrl, MediaResult
from genesys_media_async.sinks import MetricsSink

if TYPE_CHECKING:
    from pathlib import Path

    from genesys_media_async.errors import GenesysMediaError

URL = DownloadUrl(
    "https://media.example.com/a?Signature=canary", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp(), 60, "ü.wav"
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch):
    for name in os.environ:
        if name.upper().startswith("GENESYS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "any")
    # Nothing here may get as far as to ask anybody.
    monkeypatch.setenv("GENESYS_MEDIA_LOGIN_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("GENESYS_MEDIA_BASE_URL", "http://127.0.0.1:1")


def said(capsys: pytest.CaptureFixture[str]) -> str:
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
            "--expires-in: expires_in is 0. It has to be a whole number of seconds from 1 to 86400",
        ),
        (("--expires-in", "-1"), "expires_in is -1"),
        (("--expires-in", "86401"), "expires_in is 86401"),
        (("--expires-in", "abc"), "valid integer"),
        (("--expires-in", "30.5"), "valid integer"),
        (("--concurrency", "0"), "greater than or equal to 1"),
        (("--quota", "5"), "--quota: '5' is not a quota. Write REQUESTS/SECONDS"),
        (("--quota", "0/60"), "--quota: "),
        (("--timeout", "0"), "--timeout: "),
        (("--deadline", "nan"), "--deadline: "),
        (("--region", "nowhere"), "is no region"),
        (("--base-url", "http://media.example.com"), "--base-url: must begin with https://"),
        (("--login-url", "example.com"), "--login-url: must be a URL"),
        (("--access-level", "a b"), "--access-level: "),
        (("--webhook", "http://example.com/"), "--webhook: must begin with https://"),
        (("--undelivered", "file"), "--webhook only"),
        (("--webhook-with-url",), "--webhook only"),
        (("--content-type", "audio"), "--content-type: 'audio' is not a content type"),
        (("--host", "https://example.com"), "--host: 'https://example.com' is not a host name"),
        (("--format", "xml"), '"jsonl", "csv", "urls"'),
        (("--progress", "loud"), "--progress"),
        (("--unheard-of",), "Unknown option"),
        (("-o", "-i"), "looks like an option"),
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
    assert repair in said(capsys)


def test_no_ids_at_all_end_with_2_and_a_hint(capsys: pytest.CaptureFixture[str]):
    assert main(["retrieve"]) == ExitCode.USAGE
    assert "-i -" in said(capsys)


def test_one_file_for_two_things_is_refused_before_it_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ids = tmp_path / "ids.txt"
    ids.write_text("a\n")

    assert main(["retrieve", "-i", str(ids), "-o", str(ids)]) == ExitCode.USAGE

    assert "--output: it is the same file as that of --input" in said(capsys)
    assert ids.read_text() == "a\n"


@pytest.mark.parametrize(
    ("variable", "value"), [("GENESYS_MEDIA_EXPIRES_IN", "0"), ("GENESYS_MEDIA_BASE_URL", "http://example.com")]
)
def test_a_wrong_variable_ends_with_3_and_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv(variable, value)

    assert main(["retrieve", "a"]) == ExitCode.CONFIGURATION
    assert variable in said(capsys)


def test_missing_credentials_end_with_3_and_their_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("GENESYSCLOUD_ACCESS_TOKEN")

    assert main(["retrieve", "a"]) == ExitCode.CONFIGURATION
    assert "GENESYSCLOUD_OAUTHCLIENT_ID" in said(capsys)


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

    assert repair in said(capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--items", "0"),
        ("demo", "--output", "/no/such/directory/out"),
        ("simulate", "--quota", "many"),
        ("simulate", "--fault", "flood=0.1"),
        ("simulate", "--fault", "hang=2"),
        ("simulate", "--client", "no-secret"),
        ("simulate", "--latency", "-1"),
        ("simulate", "--port", "70000"),
        ("retrive",),
    ],
    ids=" ".join,
)
def test_the_other_commands_are_as_strict(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == ExitCode.USAGE
    said(capsys)


@pytest.mark.parametrize("command", [(), ("demo",), ("retrieve",), ("simulate",)], ids=" ".join)
def test_every_command_has_help_with_examples(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    assert main([*command, "--help"]) == 0
    assert "Examples:\n  genesys-media " in capsys.readouterr().out


def test_the_help_explains_every_exit_code_and_where_secrets_go(capsys: pytest.CaptureFixture[str]):
    main(["retrieve", "--help"])
    text = capsys.readouterr().out
    assert all(f"{code.value}  {MEANINGS[code]}" in text for code in ExitCode)
    assert "GENESYSCLOUD_OAUTHCLIENT_SECRET" in text
    assert "--client-secret" not in text


@pytest.mark.anyio
async def test_a_login_host_that_cannot_be_reached_ends_with_3():
    settings = Settings.from_env({}, client_id="a", client_secret="b", login_url="http://127.0.0.1:1", start_timeout=0)
    target = open_target(os.devnull)

    ended = await Run(
        MediaRetriever(settings),
        read_ids(["a"], None),
        Output(target, *encoder("jsonl")),
        progress_for("none"),
        total=1,
        quiet=True,
        names=Names(),
    ).to_its_end()

    assert ended.exit_code is ExitCode.CONFIGURATION
    assert "No token from http://127.0.0.1:1" in str(ended.trouble)


class TestLines:
    def test_json_keeps_every_letter_and_stays_one_line(self):
        line = json_line(MediaResult("a\n\u00fc", url=URL, attempts=2, latency=0.12345, correlation_id="c"))

        assert line.count(b"\n") == 1
        assert "ü.wav".encode() in line
        fields = json.loads(line)
        assert fields["file_id"] == "a\n\u00fc"
        assert fields["expires_at"] == "2030-01-02T03:04:05Z"
        assert fields["latency_ms"] == 123.5

    def test_an_argument_that_is_no_text_comes_back_as_it_was(self):
        name = b"\xff".decode(errors="surrogateescape")

        assert json.loads(json_line(Failed(name, NotFoundError("no"))))["file_id"] == name

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_csv_disarms_what_a_spreadsheet_would_run(self, start: str):
        line = csv_line(Failed(f"{start}1", NotFoundError(f"{start}2")))

        assert f"'{start}1".encode() in line
        assert f"'{start}2".encode() in line

    def test_a_failure_has_no_url_line(self):
        assert url_line(Failed("a", NotFoundError("no"))) == b""
        assert url_line(MediaResult("a", url=URL)) == b"https://media.example.com/a?Signature=canary\n"


@pytest.mark.anyio
class TestAnOutput:
    async def test_holds_back_no_more_than_64_lines(self, tmp_path: Path):
        output = Output(open_target(str(tmp_path / "out")), b"head\n", url_line)
        for _ in range(63):
            await output.put(MediaResult("a", url=URL))
        assert (tmp_path / "out").stat().st_size == 0

        await output.put(MediaResult("a", url=URL))

        assert output.written == 64
        assert (tmp_path / "out").read_bytes().count(b"\n") == 65
        await output.finish()

    async def test_counts_what_is_safe_when_the_file_takes_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        room = 100
        really_write = os.write

        def write(descriptor: int, data: bytes) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            count = really_write(descriptor, data[:room])
            room -= count
            return count

        output = Output(open_target(str(tmp_path / "out")), b"", url_line)
        for _ in range(5):
            await output.put(MediaResult("a", url=URL))
        monkeypatch.setattr(os, "write", write)

        await output.finish()

        assert (output.written, output.lost) == (2, 3)
        assert (tmp_path / "out").read_bytes() == url_line(MediaResult("a", url=URL)) * 2


def statistics(done: int = 10, failed: int = 1, elapsed: float = 2.0) -> Statistics:
    return Statistics(done, done - failed, failed, 3, 4, done + 2, 2, elapsed, done / elapsed, "direct")


class TestAMoment:
    def test_expects_no_more_than_the_quota_allows(self):
        quick = Moment(statistics(), total=310, quota=QuotaLimit())
        assert quick.remaining == pytest.approx(60)

    def test_expects_no_more_than_there_was_so_far(self):
        slow = Moment(statistics(elapsed=100.0), total=310, quota=QuotaLimit())
        assert slow.remaining == pytest.approx(3000)

    def test_knows_that_a_batch_of_ids_takes_few_requests(self):
        batches = replace(statistics(done=1_000, elapsed=10.0), requests=25)
        assert Moment(batches, total=4_000, quota=QuotaLimit()).remaining == pytest.approx(30)

    def test_says_nothing_of_an_end_that_nobody_knows(self):
        assert Moment(statistics(), total=None, quota=None).remaining is None
        assert Moment(statistics(done=0, failed=0), total=9, quota=None).remaining is None

    def test_is_one_line_in_a_log(self):
        assert log_line(Moment(statistics(), total=20, quota=None)) == (
            "progress done=10/20 ok=9 failed=1 rate=300/min in_flight=3 waiting=4 retries=2 elapsed=2s left=2s"
        )

    def test_says_what_is_known_of_the_quota_and_expects_the_end_by_it(self):
        state = QuotaState(used=200, allowed=150, used_by_others=20, resets_in=12.4, paused_for=57.0)
        moment = Moment(statistics(), total=310, quota=QuotaLimit(), state=state)
        assert log_line(moment).endswith(" left=2m57s quota=150/150 others=20 resets=12s paused=57s")
        assert moment.remaining == pytest.approx(57 + 300 * 60 / 150)

    def test_says_nothing_of_a_quota_that_is_switched_off(self):
        state = QuotaState(used=3, allowed=None, used_by_others=0, resets_in=None, paused_for=None)
        assert Moment(statistics(), total=20, quota=None, state=state).quota_words == {}

    def test_is_one_object_for_a_program(self):
        fields = json.loads(json_object(Moment(statistics(), total=None, quota=None)))
        assert fields["total"] is None
        assert fields["rate"] == 300
        state = QuotaState(used=9, allowed=300, used_by_others=0, resets_in=None, paused_for=1.25)
        fields = json.loads(json_object(Moment(statistics(), total=None, quota=None, state=state)))
        assert (fields["quota_used"], fields["quota_allowed"], fields["quota_paused"]) == (9, 300, 1.2)

    @pytest.mark.parametrize("width", [40, 80, 200])
    @pytest.mark.parametrize("total", [None, 0, 20])
    def test_is_a_bar_at_any_width(self, width: int, total: int | None):
        from rich.console import Console

        console = Console(width=width)
        with console.capture() as capture:
            console.print(bar(Moment(statistics(), total=total, quota=None)))
        assert "ok 9" in capture.get()

    def test_has_durations_as_people_read_them(self):
        assert [duration(seconds) for seconds in (0.4, 59, 60, 3599, 3661)] == ["0s", "59s", "1m00s", "59m59s", "1h01m"]


def ended(*errors: GenesysMediaError, interrupted: bool = False, trouble: CommandFailed | None = None) -> Ended:
    results = Results()
    for error in errors:
        results.add(Failed("x", error))
    return Ended(
        results=results,
        statistics=statistics(),
        metrics=MetricsSink().snapshot(),
        written=1,
        lost=0,
        interrupted=interrupted,
        reader_is_gone=False,
        trouble=trouble,
        place="out.jsonl",
        output_file="out.jsonl",
        ids_file="ids.txt",
        remarks=("remark",),
    )


class TestTheEnd:
    def test_has_at_most_twelve_lines_whatever_happened(self):
        errors = [InternalServerError("bad\u2028 " + "x" * 500, code=f"code-{number}") for number in range(9)]
        text = summary(ended(*errors, interrupted=True))
        assert len(text.split("\n")) <= 12
        assert "… and 6 more error codes" in text

    def test_shows_a_correlation_id_even_of_a_long_message(self):
        assert "the-id" in summary(ended(InternalServerError("x" * 500, correlation_id="the-id")))

    def test_names_the_transport_to_people_only_if_it_is_not_the_usual_one(self):
        usual, other = ended(), replace(ended(), statistics=replace(statistics(), transport="httpx"))
        assert "Requests: 12, of which 2 retries" in summary(usual)
        assert "Requests: 12 over httpx, of which 2 retries" in summary(other)
        assert [json.loads(json_summary(each))["transport"] for each in (usual, other)] == ["direct", "httpx"]

    def test_tells_what_ended_it_first_and_then_the_worst(self):
        lost = CommandFailed(ExitCode.OUTPUT_LOST, "full")
        assert ended().exit_code is ExitCode.ALL_RETRIEVED
        assert ended(InternalServerError("x")).exit_code is ExitCode.FAILED_FOR_NOW
        assert ended(InternalServerError("x"), NotFoundError("x")).exit_code is ExitCode.FAILED_FOR_GOOD
        assert ended(NotFoundError("x"), interrupted=True).exit_code is ExitCode.INTERRUPTED
        assert ended(NotFoundError("x"), interrupted=True, trouble=lost).exit_code is ExitCode.OUTPUT_LOST


async def young_objects() -> int:
    return gc.get_threshold()[0]


async def failing() -> None:
    raise OSError("full")


def test_the_garbage_collector_is_spared_work_for_as_long_as_a_command_runs():
    usual, frozen = gc.get_threshold(), gc.get_freeze_count()
    assert run_in_event_loop(young_objects) == YOUNG_OBJECTS
    with pytest.raises(OSError, match="full"):
        run_in_event_loop(failing)
    assert gc.get_threshold() == usual
    # Python 3.12 begins with some objects frozen, which are let go with the rest.
    assert gc.get_freeze_count() <= frozen
