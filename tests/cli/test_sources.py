"""The sources of `retrieve`, as processes against a simulated Genesys Cloud, and the simulator's ids for them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from genesys_media_async import MediaRetriever, ValidationRule
from genesys_media_async.cli import main
from genesys_media_async.cli.commands.simulate import an_id_of_each_source, greeting
from genesys_media_async.cli.exit_codes import CommandFailed, ExitCode
from genesys_media_async.cli.sources import MEDIA_FORMATS, SOURCES, TRANSCODING, endpoint_for
from genesys_media_async.endpoints import RecordingBatch
from genesys_media_async.simulator import (
    Simulator,
)
from tests.support.commands import PROMPT_ORGANIZATION, lines_of, run
from tests.support.retrievers import settings_for

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="pipes and signals of POSIX")]


@pytest.fixture
async def simulator(anyio_backend):
    async with Simulator(PROMPT_ORGANIZATION) as simulator:
        yield simulator


@pytest.mark.anyio
class TestSource:
    async def test_provides_the_urls(self, simulator: Simulator):
        document_id = simulator.organization.document_ids()[0]
        done = await run("retrieve", "--source", "document", document_id, simulator=simulator)
        assert done.code == 0, done.err
        (result,) = done.results
        assert (result["file_id"], result["status"]) == (document_id, "ok")
        assert str(result["url"]).startswith(simulator.base_url)

    async def test_writes_a_line_for_each_medium_of_an_id(self, simulator: Simulator, tmp_path: Path):
        one, two = simulator.organization.orphan_ids()[:2]
        simulator.organization.change(one, parts=2)
        (tmp_path / "ids.csv").write_text(f"orphan_id,size\n{one},7\n{two},8\n")
        arguments = ("-i", tmp_path / "ids.csv", "--media-format", "wav")

        done = await run("retrieve", "--source", "orphan-recording", *arguments, simulator=simulator)

        assert done.code == 0
        assert sorted((str(each["file_id"]), str(each["media_id"])) for each in done.results) == sorted(
            [(one, f"{one}/0"), (one, f"{one}/1"), (two, "None")]
        )
        assert all(".wav?" in str(each["url"]) for each in done.results)
        assert "3 results: 3 retrieved, 0 failed" in done.err
        assert "done=2/2 ok=3" in done.err

        table = await run(*("retrieve", "--source", "orphan-recording", one, "--format", "csv"), simulator=simulator)
        assert table.out.splitlines()[0].startswith("file_id,media_id,")
        assert sorted(line.split(",")[1] for line in table.out.splitlines()[1:]) == [f"{one}/0", f"{one}/1"]

    async def test_reads_the_columns_it_needs_from_a_table(self, simulator: Simulator, tmp_path: Path):
        conversations = [simulator.organization.conversation_at(index) for index in range(3)]
        rows = [f"{each.communication_id};{each.id};x" for each in conversations]
        (tmp_path / "ids.csv").write_text("\n".join(["Communication ID;Conversation ID;Agent", *rows, ";;"]))
        target = tmp_path / "out.jsonl"

        arguments = ("-i", tmp_path / "ids.csv", "-o", target)
        done = await run("retrieve", "--source", "transcript", *arguments, simulator=simulator)

        assert done.code == 6
        results = lines_of(target.read_text())
        assert sorted(str(each["file_id"]) for each in results if each["status"] == "ok") == sorted(
            f"{each.id}/{each.communication_id}" for each in conversations
        )
        assert [each["error_code"] for each in results if each["error_code"]] == ["invalid_file_id"]
        # The recipe for the rest would compare lines of the table with ids.
        assert "jq" not in done.err

    async def test_names_the_parts_that_an_id_lacks(self, simulator: Simulator):
        done = await run("retrieve", "--source", "transcript", "abc", simulator=simulator)
        assert done.code == 6
        assert "instead of 2" in done.err
        assert "conversationId/communicationId" in done.err

    async def test_does_not_count_a_header_as_an_id(self, simulator: Simulator, tmp_path: Path):
        (tmp_path / "ids.csv").write_text("conversationId,communicationId\n")
        done = await run("retrieve", "--source", "transcript", "-i", tmp_path / "ids.csv", simulator=simulator)
        assert done.code == 4
        assert "has no ids" in done.err


@pytest.mark.parametrize(
    ("arguments", "repair"),
    [
        (("--source", "nowhere"), "--source: unknown source 'nowhere'; choose from media-storage, "),
        (("--media-format", "WAV"), "it applies to --source recording and orphan-recording only"),
        (("--source", "document", "--media-format", "WAV"), "it applies to --source recording and"),
        (
            ("--source", "orphan-recording", "--media-format", "AAC"),
            "unknown media format 'AAC'; choose from WAV, ",
        ),
        (("--source", "document", "--expires-in", "60"), "--expires-in: it applies to --source media-storage only"),
        (("--source", "document", "--access-level", "x"), "--access-level: it applies to"),
    ],
    ids=" ".join,
)
def test_a_bad_source_ends_with_2_and_the_repair(
    arguments: tuple[str, ...], repair: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GENESYSCLOUD_ACCESS_TOKEN", "any")
    monkeypatch.setenv("GENESYS_MEDIA_BASE_URL", "http://127.0.0.1:1")
    assert main(["retrieve", "a", *arguments]) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert repair in captured.err


def test_every_source_makes_an_endpoint_with_and_without_a_format():
    for name in SOURCES:
        assert isinstance(endpoint_for(name, None), SOURCES[name])
        for media_format in MEDIA_FORMATS if name in TRANSCODING else ():
            assert isinstance(endpoint_for(name, media_format.lower()), SOURCES[name])


def test_only_batches_can_be_kept_from_being_submitted_again():
    assert isinstance(endpoint_for("recording-batch", None, resubmit=False), RecordingBatch)
    with pytest.raises(CommandFailed, match="--no-resubmit: it applies to --source recording-batch only"):
        endpoint_for("recording", None, resubmit=False)


def test_every_source_has_id_formats_a_permission_and_a_probe():
    for endpoint in SOURCES.values():
        assert endpoint.id_formats
        assert endpoint.permission
        assert endpoint.probe is not None
        assert endpoint.probe.path.startswith("/api/v2/")


@pytest.mark.anyio
async def test_the_simulators_greeting_has_ids_that_work(simulator: Simulator):
    text = greeting(simulator)
    ids = an_id_of_each_source(simulator)
    assert set(ids) == set(SOURCES) - {"media-storage"}
    assert all(some_id in text for some_id in ids.values())
    for source, some_id in ids.items():
        configured = settings_for(simulator, rule=ValidationRule(content_types=("*/*",)))
        async with MediaRetriever(configured, endpoint=endpoint_for(source, None)) as retriever:
            results = await retriever.retrieve_all([some_id])
        assert results
        assert all(urlsplit(result.unwrap().url).hostname == "127.0.0.1" for result in results)
