"""The progress of a run on standard error: a live bar, lines for a log, JSON for a program, or nothing."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from .streams import is_terminal, print_err

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import RenderableType

    from ...counters import Statistics
    from ...quota.permit import QuotaState
    from ...settings.policies import QuotaLimit

PlainProgressKind = Literal["log", "json", "none"]
ProgressKind = Literal["auto", "bar", "log", "json", "none"]

BAR_INTERVAL = 0.25
BAR_WIDTH = 32
LOG_INTERVAL = 5.0
JSON_INTERVAL = 1.0
SILENT_INTERVAL = 3_600.0


class Snapshot(Protocol):
    """The state of a run, as text for people and for programs."""

    def log_line(self) -> str:
        """Return it as one line of `name=value` pairs."""
        ...

    def json_object(self) -> str:
        """Return it as one JSON object; times are seconds."""
        ...


@dataclass(frozen=True, slots=True)
class ProgressSnapshot:
    """
    The state of a run over ids.

    `total` is None while the number of ids is unknown, `quota` is None without a limit, and `state` is None if nothing
    is known of the quota.
    """

    statistics: Statistics
    total: int | None
    quota: QuotaLimit | None
    state: QuotaState | None = None

    @property
    def rate(self) -> float:
        """Ids done per minute, on average since the start."""
        return self.statistics.rate * 60

    @property
    def media_rate(self) -> float:
        """Media per minute, on average since the start; the results of a batch come before its ids are done."""
        now = self.statistics
        return 60 * (now.succeeded + now.failed) / now.elapsed if now.elapsed > 0 else 0.0

    @property
    def pace(self) -> dict[str, str]:
        """The rate in words: of ids, of media if that is another one, and the jobs at Genesys if there are any."""
        now = self.statistics
        words = {"rate": f"{self.rate:,.0f}/min"}
        if now.succeeded + now.failed != now.done:
            words["media"] = f"{self.media_rate:,.0f}/min"
        if now.jobs:
            words["jobs"] = f"{now.jobs:,}"
        return words

    @property
    def remaining(self) -> float | None:
        """
        The seconds left, by the quota's windows or by the rate so far, whichever is slower.

        None while it cannot be estimated.
        """
        if self.total is None or not self.statistics.done:
            return None
        left = max(0, self.total - self.statistics.done)
        by_rate = left / self.statistics.rate if self.statistics.rate else 0.0
        return max(self._by_quota(left), by_rate)

    def _by_quota(self, left: int) -> float:
        if self.quota is None:
            return 0.0
        allowed = self.quota.limit if self.state is None or self.state.allowed is None else self.state.allowed
        paused = 0.0 if self.state is None else self.state.paused_for or 0.0
        # A batch job takes a hundred ids for a few requests; where an id takes several, the rate so far decides.
        requests = left * min(1.0, self.statistics.requests / self.statistics.done)
        return paused + requests * self.quota.seconds / allowed

    def log_line(self) -> str:
        """Return it as one line of `name=value` pairs."""
        now = self.statistics
        done = f"{now.done}/{self.total}" if self.total is not None else f"{now.done}"
        left = f" left={duration(self.remaining)}" if self.remaining is not None else ""
        pace = "".join(f"{name}={value} " for name, value in self.pace.items()).replace(",", "")
        quota = "".join(f" {name}={value}" for name, value in quota_words(self.state).items())
        return (
            f"progress done={done} ok={now.succeeded} failed={now.failed} {pace}"
            f"in_flight={now.in_flight} waiting={now.waiting_for_quota} retries={now.retries} "
            f"elapsed={duration(now.elapsed)}{left}{quota}"
        )

    def json_object(self) -> str:
        """Return it as one JSON object; times are seconds, `rate` is ids and `media_rate` media per minute."""
        now = self.statistics
        fields: dict[str, str | int | float | None] = {
            "event": "progress",
            "done": now.done,
            "total": self.total,
            "ok": now.succeeded,
            "failed": now.failed,
            "rate": round(self.rate, 1),
            "media_rate": round(self.media_rate, 1),
            "jobs": now.jobs,
            "in_flight": now.in_flight,
            "waiting": now.waiting_for_quota,
            "retries": now.retries,
            "elapsed": round(now.elapsed, 1),
            "left": None if self.remaining is None else round(self.remaining, 1),
        }
        state = self.state
        if state is not None:
            fields["quota_used"] = state.used
            fields["quota_allowed"] = state.allowed
            fields["quota_used_by_others"] = state.used_by_others
            fields["quota_resets"] = None if state.resets_in is None else round(state.resets_in, 1)
            fields["quota_paused"] = None if state.paused_for is None else round(state.paused_for, 1)
        return json.dumps(fields, separators=(",", ":"))


def quota_words(state: QuotaState | None) -> dict[str, str]:
    """Return the state of the quota in words: the share used, the end of the window, the rest of a pause."""
    if state is None or (state.allowed is None and state.paused_for is None):
        return {}
    words: dict[str, str] = {}
    if state.allowed is not None:
        words["quota"] = f"{min(state.used + state.used_by_others, state.allowed)}/{state.allowed}"
    if state.used_by_others:
        words["others"] = str(state.used_by_others)
    if state.resets_in is not None:
        words["resets"] = duration(state.resets_in)
    if state.paused_for is not None:
        words["paused"] = duration(state.paused_for)
    return words


S_contra = TypeVar("S_contra", contravariant=True)


class Progress(Protocol[S_contra]):
    """A display of progress; `interval` is the number of seconds between two updates."""

    interval: float

    def start(self) -> None:
        """Begin."""
        ...

    def update(self, snapshot: S_contra) -> None:
        """Show the current state."""
        ...

    def end(self, snapshot: S_contra | None) -> None:
        """Show the last state (None: there is none to show), and restore standard error."""
        ...


def progress_for(kind: ProgressKind, *, has_output_on_terminal: bool = False) -> Progress[ProgressSnapshot]:
    """
    Return the display of a kind.

    `auto` is a bar on a terminal that can move its cursor, unless the results go to a terminal as well; otherwise it
    is a log.
    """
    if kind == "auto":
        kind = "bar" if _can_move_cursor(sys.stderr) and not has_output_on_terminal else "log"
    return _Bar() if kind == "bar" else plain_progress_for(kind)


def plain_progress_for(kind: PlainProgressKind) -> Progress[Snapshot]:
    """Return a display that writes lines, for any kind of snapshot."""
    match kind:
        case "log":
            return _Log()
        case "json":
            return _Json()
        case "none":
            return NoProgress()


def _can_move_cursor(stream: TextIO | None) -> bool:
    return is_terminal(stream) and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}


class NoProgress:
    """Shows nothing."""

    interval = SILENT_INTERVAL

    def start(self) -> None:
        """Do nothing."""

    def update(self, snapshot: object) -> None:
        """Do nothing."""

    def end(self, snapshot: object) -> None:
        """Do nothing."""


class _Log:
    interval = LOG_INTERVAL

    def start(self) -> None:
        pass

    def update(self, snapshot: Snapshot) -> None:
        print_err(snapshot.log_line())

    def end(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self.update(snapshot)


class _Json:
    interval = JSON_INTERVAL

    def start(self) -> None:
        pass

    def update(self, snapshot: Snapshot) -> None:
        print_err(snapshot.json_object())

    def end(self, snapshot: Snapshot | None) -> None:
        if snapshot is not None:
            self.update(snapshot)


class _Bar:
    """The live line, drawn by rich."""

    interval = BAR_INTERVAL

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # No thread refreshes it, and standard output is left to the data.
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=True,
            transient=True,
        )

    def start(self) -> None:
        self._live.start()

    def update(self, snapshot: ProgressSnapshot) -> None:
        self._live.update(bar(snapshot), refresh=True)

    def end(self, snapshot: ProgressSnapshot | None) -> None:
        if snapshot is not None:
            self.update(snapshot)
        self._live.stop()


def bar(snapshot: ProgressSnapshot) -> RenderableType:
    """Return the snapshot for rich: a bar with the time, and a line of numbers."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    now, total = snapshot.statistics, snapshot.total
    # A zero total would never pulse and never fill.
    drawing = ProgressBar(total=total or 1, completed=now.done, width=BAR_WIDTH, pulse=total is None)
    time = f"  {duration(now.elapsed)}"
    if snapshot.remaining is not None:
        time += f", {duration(snapshot.remaining)} left"
    done = Text(f"{now.done:,}{f'/{total:,}' if total is not None else ''}", style="bold")
    numbers = Text(no_wrap=True, overflow="ellipsis")
    numbers.append(f"ok {now.succeeded:,}", style="green")
    numbers.append(f"  failed {now.failed:,}", style="red" if now.failed else "dim")
    for name, value in snapshot.pace.items():
        numbers.append(f"  {value}" if name == "rate" else f"  {name} {value}")
    numbers.append(f"  in flight {now.in_flight:,}  waiting for quota {now.waiting_for_quota:,}")
    for name, value in quota_words(snapshot.state).items():
        numbers.append(f"  {name} {value}", style="yellow" if name == "paused" else "dim")
    return Group(Columns([drawing, done.append(time, style="not bold")]), numbers)


def duration(seconds: float) -> str:
    """Return seconds in a readable form: `12s`, `4m05s`, `1h02m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
