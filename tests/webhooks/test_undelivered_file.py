"""The file of the undelivered webhooks."""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from genesys_media_async.clock import VirtualClock
from genesys_media_async.errors import SettingsError
from genesys_media_async.webhooks.payload import EVENT_NAME
from tests.support.webhook_receiver import Answer, office, retrieved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestUndeliveredFile:
    def test_every_failure_is_kept_with_its_reason_and_never_the_url(self, tmp_path: Path) -> None:
        clock = VirtualClock()
        file = tmp_path / "undelivered.jsonl"

        async def main() -> None:
            async with office(
                clock,
                Answer(400),
                always=Answer(after=100),
                concurrency=1,
                queue_size=2,
                timeout=200,
                drain_timeout=1,
                include_url=True,
                undelivered_file=file,
            ) as it:
                await anyio.sleep(0.01)
                for number in range(4):
                    it.webhooks.post(retrieved(f"f-{number}"))
                await anyio.sleep(0.01)

        clock.run(main())
        text = file.read_text(encoding="utf-8")
        assert "canary" not in text
        kept = [json.loads(line) for line in text.splitlines()]
        assert [(each["fileId"], each["attempts"], each["reason"]) for each in kept] == [
            ("f-3", 0, "queue_full"),
            ("f-0", 1, "status_400"),
            ("f-1", 1, "cut_off"),
            ("f-2", 0, "not_drained"),
        ]
        assert all(each["event"] == EVENT_NAME and each["webhook_id"] for each in kept)
        assert all(each["fileName"] == "ä b.wav" for each in kept)

    def test_lines_are_appended(self, tmp_path: Path) -> None:
        file = tmp_path / "undelivered.jsonl"
        file.write_text("before\n")
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(400), undelivered_file=file) as it:
                it.webhooks.post(retrieved("f-1"))

        clock.run(main())
        assert file.read_text().splitlines()[0] == "before"
        assert len(file.read_text().splitlines()) == 2

    def test_a_file_that_cannot_be_written_is_refused_before_anything_is_sent(self, tmp_path: Path) -> None:
        async def main() -> None:
            with pytest.raises(SettingsError, match="undelivered_file"):
                async with office(VirtualClock(), undelivered_file=tmp_path / "missing" / "undelivered.jsonl"):
                    pass

        VirtualClock().run(main())

    def test_a_file_that_goes_missing_does_not_end_the_deliveries(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = tmp_path / "spool"
        folder.mkdir()
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(400), undelivered_file=folder / "u.jsonl") as it:
                (folder / "u.jsonl").unlink()
                folder.rmdir()
                it.webhooks.post(retrieved("f-1"))
                it.webhooks.post(retrieved("f-2"))
            assert it.failed() == [("f-1", 1, "status_400")]
            assert it.delivered() == [("f-2", 1)]

        clock.run(main())
        assert "f-1" in caplog.text

    @pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
    def test_only_the_owner_may_read_a_new_file(self, tmp_path: Path) -> None:
        file = tmp_path / "undelivered.jsonl"
        clock = VirtualClock()

        async def main() -> None:
            async with office(clock, Answer(400), undelivered_file=file) as it:
                it.webhooks.post(retrieved("f-1"))

        clock.run(main())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
    def test_a_pipe_that_nobody_reads_is_refused_and_a_slow_reader_is_not_waited_for(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        clock = VirtualClock()

        async def main() -> None:
            with pytest.raises(SettingsError, match="undelivered_file"):
                async with office(clock, undelivered_file=pipe):
                    pass
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            try:
                async with office(clock, always=Answer(400), undelivered_file=pipe) as it:
                    it.webhooks.post(retrieved("f-1"))
                    await anyio.sleep(1)
                    with pytest.raises(BlockingIOError), open_to_write(pipe) as writer:
                        while True:
                            os.write(writer, b"x" * 4096)
                    it.webhooks.post(retrieved("f-2"))
                assert it.failed() == [("f-1", 1, "status_400"), ("f-2", 1, "status_400")]
                assert json.loads(os.read(reader, 1_000_000).split(b"\n")[0])["fileId"] == "f-1"
            finally:
                os.close(reader)

        clock.run(main())
        assert "the undelivered webhook for f-2 could not be kept" in caplog.text


@contextmanager
def open_to_write(pipe: Path) -> Iterator[int]:
    descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
