"""What `discover` says when it has ended: why it found nothing, what a query cannot see, and what is left."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import pytest

from genesys_media_async.cli import main
from genesys_media_async.simulator import Fault
from genesys_media_async.testing.threaded_simulator import ThreadedSimulator
from tests.support.commands import PROMPT_ORGANIZATION, use_environment

if TYPE_CHECKING:
    from collections.abc import Iterator


DAY = 86_400.0


class Ended(NamedTuple):
    code: int
    found: list[str]
    err: list[str]


class Command:
    """The command in this process, with a simulator in a thread."""

    def __init__(self, simulator: ThreadedSimulator, capfd: pytest.CaptureFixture[str]) -> None:
        self.simulator = simulator
        self._capfd = capfd

    def discover(self, days: float, *arguments: str, until: float = 0.0) -> Ended:
        now = datetime.now(UTC)
        interval = [str(now - timedelta(days=days)), "--to", str(now - timedelta(days=until))]
        code = main(["discover", "--from", *interval, *arguments])
        captured = self._capfd.readouterr()
        assert captured.out == "" or captured.out.endswith("\n")
        return Ended(code, captured.out.splitlines(), captured.err.splitlines())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    with ThreadedSimulator(PROMPT_ORGANIZATION) as simulator:
        use_environment(simulator, monkeypatch)
        yield Command(simulator, capfd)


class TestNothingFound:
    def test_is_explained_in_one_line(self, command: Command) -> None:
        done = command.discover(60, "--queue", "no-queue", "--user", "nobody", "--by", "query", until=50)
        assert (done.code, done.found) == (0, [])
        summary, why = done.err
        assert summary.startswith("0 conversations found, in ")
        assert why.startswith("Nothing found: Genesys has no such conversation in the interval, or none in the divis")
        assert "; only recorded calls are looked for unless --media names others" in why
        assert "; a value of --queue, --user that does not exist matches nothing" in why
        assert "; a query does not see what began before " in why

    def test_is_explained_by_what_was_searched(self, command: Command) -> None:
        *_, why = command.discover(60, "--media", "chat", "--progress", "json", until=50).err
        hint = json.loads(why)["hint"]
        assert hint.startswith("Nothing found: ")
        assert "recorded" not in hint
        assert "matches nothing" not in hint
        assert "a query" not in hint

    def test_although_genesys_found_some_is_explained_by_these(self, command: Command) -> None:
        conversations = list(command.simulator.organization.conversations())
        # A pause in which nobody talks, on a day with conversations.
        ends = accumulate((each.ended_at for each in conversations), max)
        pauses = zip(ends, (each.started_at for each in conversations[1:]), strict=False)
        begin, end = next(each for each in pauses if each[1] - each[0] > 1.0 and each[0] // DAY == each[1] // DAY)
        ago, until = ((time.time() - moment) / DAY for moment in (begin + 0.3, end - 0.3))
        *_, why = command.discover(ago, "--by", "query", "--look-back-days", "0", until=until).err
        assert "conversations on these days, but none that were active in the interval" in why

    def test_is_not_explained_to_those_who_want_errors_only(self, command: Command) -> None:
        assert command.discover(60, "--progress", "none", until=50) == (0, [], [])


def test_a_query_says_what_it_does_not_see_and_a_job_sees_all(command: Command) -> None:
    by_query, by_job = command.discover(1, "--by", "query"), command.discover(1)
    assert sorted(by_query.found) == sorted(by_job.found)
    before = datetime.now(UTC) - timedelta(days=8)
    assert by_query.err[1] == f"Not seen by a query: conversations that began before {before:%Y-%m-%d}T00:00Z"
    assert len(by_job.err) == 1
    # What lasts an hour at most cannot have begun before the look-back.
    assert len(command.discover(1, "--by", "query", "--max-duration", "3600").err) == 1


def test_a_search_that_fails_says_what_is_left_to_people_and_programs(command: Command) -> None:
    query = ("--by", "query", "--look-back-days", "0", "--progress", "json")
    command.simulator.script(None, None, Fault.UNAUTHORIZED, Fault.UNAUTHORIZED)
    done = command.discover(6, *query)
    assert (done.code, len(done.found)) == (3, 200)
    sentence, summary = done.err[-2:]
    begin, end = json.loads(summary)["left"].split("/")
    assert sentence.endswith(f" Not searched yet: --from {begin} --to {end}")
    assert json.loads(summary)["hint"] is None
    assert main(["discover", "--from", begin, "--to", end, *query]) == 0
