"""`JsonLinesSink`: whole lines, equal to `as_dict`, on disks that fill up."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genesys_media_async.events import AttemptAudited, Event, Outcome, iso
from genesys_media_async.sinks import JsonLinesSink
from genesys_media_async.sinks.jsonl import _start
from tests.support.events import ANY_EVENT, audited, finished, paused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from genesys_media_async.events import JsonScalar


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that becomes full: what still has room is written, and the next write fails."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestLines:
    def write(self, sink: JsonLinesSink, *events: Event) -> None:
        async def main() -> None:
            await sink.write(events)
            await sink.aclose()

        asyncio.run(main())

    @pytest.mark.parametrize("durable", [False, True])
    def test_each_event_is_one_whole_line_before_write_returns(self, tmp_path: Path, durable: bool) -> None:
        async def main() -> None:
            sink = JsonLinesSink(tmp_path / "audit.jsonl", durable=durable)
            await sink.write([audited(), paused()])
            lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
            assert [json.loads(line) for line in lines] == [
                {
                    "event": "attempt_audited",
                    "time": "2023-11-14T22:13:20.250+00:00",
                    "action": "media_storage.download_url",
                    "file_id": "f-1",
                    "outcome": "success",
                    "status": 200,
                    "latency": 0.25,
                    "user_agent": "agent/1",
                    "attempt": 1,
                    "code": None,
                    "correlation_id": None,
                },
                {"event": "quota_paused", "time": "1970-01-01T00:00:01.000+00:00", "seconds": 1.0},
            ]
            await sink.aclose()

        asyncio.run(main())

    def test_lines_are_appended(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        for _ in range(3):
            self.write(JsonLinesSink(str(path)), paused())
        assert len(path.read_text().splitlines()) == 3

    def test_two_sinks_on_one_file_do_not_overwrite_each_other(self, tmp_path: Path) -> None:
        async def main() -> None:
            sinks = [JsonLinesSink(tmp_path / "audit.jsonl") for _ in range(2)]
            for number in range(6):
                await sinks[number % 2].write([paused(number)])
            for sink in sinks:
                await sink.aclose()

        asyncio.run(main())
        lines = (tmp_path / "audit.jsonl").read_text().splitlines()
        assert [json.loads(line)["seconds"] for line in lines] == list(range(6))

    def test_only_the_owner_may_read_the_file(self, tmp_path: Path) -> None:
        self.write(JsonLinesSink(tmp_path / "audit.jsonl"), paused())
        assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600

    @pytest.mark.parametrize("file_id", ["a\nb", "a\u2028b", 'a"b', "ä", "\x00", "\ud800", "a\udcffb", "\U0001f600"])
    def test_any_id_fits_in_one_line(self, tmp_path: Path, file_id: str) -> None:
        path = tmp_path / "audit.jsonl"
        self.write(JsonLinesSink(path), audited(file_id), paused())
        lines = path.read_bytes().split(b"\n")
        assert [json.loads(line)["event"] for line in lines[:-1]] == ["attempt_audited", "quota_paused"]
        assert json.loads(lines[0])["file_id"] == file_id
        assert lines[-1] == b""

    @pytest.mark.parametrize("file_id", ["ä", "\x7f", "\ud800", "\u2028"])
    def test_an_odd_id_is_written_in_visible_ascii_and_the_lines_around_it_as_ever(
        self, tmp_path: Path, file_id: str
    ) -> None:
        self.write(JsonLinesSink(tmp_path / "plain.jsonl"), audited("f-1"), audited("f-2"))
        self.write(JsonLinesSink(tmp_path / "odd.jsonl"), audited("f-1"), audited(file_id), audited("f-2"))
        before, odd, after = (tmp_path / "odd.jsonl").read_bytes().splitlines(keepends=True)
        assert before + after == (tmp_path / "plain.jsonl").read_bytes()
        assert odd.removesuffix(b"\n").decode("ascii").isprintable()
        assert odd == before.replace(b'"f-1"', json.dumps(file_id).encode())

    def test_an_event_class_of_a_users_own_is_written_by_its_as_dict(self, tmp_path: Path) -> None:
        class Masked(AttemptAudited, frozen=True, rename="camel"):
            def as_dict(self) -> dict[str, JsonScalar]:
                return {"event": "masked", "file_id": Text("f-…")}

        class Text(str):
            __slots__ = ()

        path = tmp_path / "audit.jsonl"
        masked = Masked(1.0, "a", "f-1", Outcome.SUCCESS, 200, 0.25, "agent/1", 1)
        self.write(JsonLinesSink(path), masked, audited(Text("f-2")))
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert lines[0] == {"event": "masked", "file_id": "f-…"}
        assert lines[1]["file_id"] == "f-2"

    @given(written=st.lists(ANY_EVENT, max_size=4))
    @settings(deadline=None, max_examples=100)
    def test_a_line_equals_as_dict_for_any_event(
        self, tmp_path_factory: pytest.TempPathFactory, written: list[Event]
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "any.jsonl"
        path.unlink(missing_ok=True)
        self.write(JsonLinesSink(path), *written)
        *lines, rest = path.read_bytes().split(b"\n")
        told = [json.loads(line, object_pairs_hook=list) for line in lines]
        assert told == [list(event.as_dict().items()) for event in written]
        assert rest == b""

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_a_number_that_is_not_finite_is_null(self, tmp_path: Path, number: float) -> None:
        path = tmp_path / "audit.jsonl"
        self.write(JsonLinesSink(path), audited(latency=number), finished(latency=number), paused(number))
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        assert [line.get("latency", line.get("seconds")) for line in lines] == [None] * 3

    def test_opening_raises_for_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="missing"):
            JsonLinesSink(tmp_path / "missing" / "audit.jsonl")

    def test_repr_names_the_file(self, tmp_path: Path) -> None:
        sink = JsonLinesSink(tmp_path / "audit.jsonl")
        assert str(tmp_path / "audit.jsonl") in repr(sink)
        self.write(sink)

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no bound on the size of files")
    @pytest.mark.parametrize("reopened", [False, True])
    def test_a_line_cut_off_by_a_full_disk_stays_a_line_of_its_own(self, tmp_path: Path, reopened: bool) -> None:
        async def write(path: Path, room: int) -> bytes:
            sink = JsonLinesSink(path)
            await sink.write([paused(0)])
            with files_no_larger_than(path.stat().st_size + room), pytest.raises(OSError, match="large"):
                await sink.write([paused(1), paused(2)])
            if reopened:
                await sink.aclose()
                sink = JsonLinesSink(path)
            await sink.write([paused(3)])
            await sink.write([paused(4)])
            await sink.aclose()
            return path.read_bytes()

        self.write(JsonLinesSink(tmp_path / "whole.jsonl"), *map(paused, range(5)))
        first, *cut_off, fourth, fifth = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
        for room in range(len(b"".join(cut_off))):
            kept = b"".join(cut_off)[:room]
            end = b"\n" if kept[-1:] not in {b"", b"\n"} else b""
            path = tmp_path / f"{room}.jsonl"
            assert asyncio.run(write(path, room)) == first + kept + end + fourth + fifth

    @pytest.mark.parametrize(("there", "end"), [(b"", b""), (b"{}\n", b""), (b"{}\n{", b"\n"), (b"{", b"\n")])
    def test_a_torn_last_line_of_a_file_stays_a_line_of_its_own(self, tmp_path: Path, there: bytes, end: bytes) -> None:
        new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
        old.write_bytes(there)
        for path in (new, old):
            self.write(JsonLinesSink(path), paused(), paused())
        assert old.read_bytes() == there + end + new.read_bytes()

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_lines_are_appended_to_a_file_that_may_only_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_bytes(b"{}\n")
        path.chmod(0o200)
        self.write(JsonLinesSink(path), paused(), paused())
        path.chmod(0o600)
        assert path.read_bytes().count(b"\n") == 3

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
    def test_a_pipe_gets_the_lines_unchanged(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        try:
            self.write(JsonLinesSink(tmp_path / "pipe"), paused(2))
            assert json.loads(os.read(reader, 1_000))["seconds"] == 2
        finally:
            os.close(reader)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
    def test_a_pipe_that_nobody_reads_raises(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="No such device"):
            JsonLinesSink(tmp_path / "pipe")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
    def test_a_slow_reader_of_a_pipe_does_not_block_the_event_loop(self, tmp_path: Path) -> None:
        async def main(reader: int) -> bytes:
            sink = JsonLinesSink(tmp_path / "pipe")
            # More than a pipe holds.
            writing = asyncio.create_task(sink.write([paused(number) for number in range(3_000)]))
            received = b""
            while not writing.done():
                # Were it blocked, nothing would ever be read.
                await asyncio.sleep(0)
                with suppress(BlockingIOError):
                    received += os.read(reader, 5_000)
            await writing
            await sink.aclose()
            while rest := os.read(reader, 65_536):
                received += rest
            return received

        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        try:
            lines = asyncio.run(main(reader)).splitlines()
        finally:
            os.close(reader)
        assert [json.loads(line)["seconds"] for line in lines] == list(range(3_000))

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
    def test_a_line_cut_off_by_a_reader_that_sleeps_stays_a_line_of_its_own(self, tmp_path: Path) -> None:
        async def main(reader: int) -> bytes:
            sink = JsonLinesSink(tmp_path / "pipe")
            with anyio.move_on_after(0) as scope:
                await sink.write([paused(number) for number in range(3_000)])
            assert scope.cancelled_caught
            received = os.read(reader, 1_000_000)
            await sink.write([paused(-1)])
            await sink.aclose()
            return received + os.read(reader, 1_000)

        os.mkfifo(tmp_path / "pipe")
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        try:
            *whole, torn, last = asyncio.run(main(reader)).splitlines()
        finally:
            os.close(reader)
        assert [json.loads(line)["seconds"] for line in whole] == list(range(len(whole)))
        assert not torn.endswith(b"}")
        assert json.loads(last)["seconds"] == -1

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_a_full_disk_raises(self, tmp_path: Path) -> None:
        async def main() -> None:
            sink = JsonLinesSink("/dev/full")
            with pytest.raises(OSError, match="No space"):
                await sink.write([paused()])
            await sink.aclose()

        asyncio.run(main())


@given(at=st.floats(-6e10, 2.5e11))
@example(-0.0001)
@example(-0.5)
@example(0.9999)
@example(1_700_000_000.001)
@example(253_402_300_799.999)
@settings(deadline=None, max_examples=300)
def test_the_time_of_a_line_is_that_of_the_event(at: float) -> None:
    assert json.loads(_start("paused", int(at * 1_000)) + b'"":0}') == {"event": "paused", "time": iso(at), "": 0}


def test_writing_calls_nothing_else_of_the_package(tmp_path: Path) -> None:
    sink = JsonLinesSink(tmp_path / "audit.jsonl")
    asyncio.run(sink.write([audited(), finished()]))
    files: set[str] = set()

    def note(frame: FrameType, kind: str, _: object) -> None:
        if kind == "call" and "genesys_media_async" in frame.f_code.co_filename:
            files.add(Path(frame.f_code.co_filename).name)

    async def main() -> None:
        sys.setprofile(note)
        try:
            await sink.write([audited("f-2", at=1_800_000_000.5, latency=1.25), finished("f-2", latency=1.25)])
        finally:
            sys.setprofile(None)
        await sink.aclose()

    asyncio.run(main())
    assert files == {"jsonl.py"}
