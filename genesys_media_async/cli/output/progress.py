"""How far a run is, while it runs, on standard error: a live bar, lines for a log, JSON for a program, or nothing."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from .streams import is_terminal, say

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import RenderableType

    from ...counters import Statistics
    from ...quota.permit import QuotaState
    from ...settings.policies import QuotaLimit

ProgressKind = Literal["auto", "bar", "log", "json", "none"]

BAR_INTERVAL = 0.25
BAR_WIDTH = 32
LOG_INTERVAL = 5.0
JSON_INTERVAL = 1.0
UNWATCHED_INTERVAL = 3_600.0


@dataclass(frozen=True, slots=True)
class Moment:
    """
    How far the run is.

    `total` is None while it is unknown, `quota` if no limit was named, and `state` where nothing is known of it.
    """

    statistics: Statistics
    total: int | None
    quota: QuotaLimit | None
    state: QuotaState | None = None

    @property
    def rate(self) -> float:
        """Ids done in a minute, on average since the start."""
        return self.statistics.rate * 60

    @property
    def remaining(self) -> float | None:
        """
        The seconds that the rest will take: by the windows of the quota, or by the rate so far where that is slower.

        None while that cannot be said.
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
        # A batch job takes a hundred ids for a few requests; where an id takes several, the rate so far tells.
        requests = left * min(1.0, self.statistics.requests / self.statistics.done)
        return paused + requests * self.quota.seconds / allowed

    @property
    def quota_words(self) -> dict[str, str]:
        """What is to be said of the quota: how much of it is used, when the window ends, how long a pause lasts."""
        state = self.state
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


class Progress(Protocol):
    """What shows progress; `interval` is the seconds between two updates."""

    interval: float

    def start(self) -> None:
        """Begin."""
        ...

    def update(self, moment: Moment) -> None:
        """Show how far it is."""
        ...

    def end(self, moment: Moment | None) -> None:
        """Show how far it came (None: it never began), and leave standard error as it was."""
        ...


def progress_for(kind: ProgressKind, *, lines_on_terminal: bool = False) -> Progress:
    """
    Return what shows progress in the way asked for.

    `auto` is a bar on a terminal that can move its cursor, unless the results are written to a terminal as well;
    otherwise it is a line now and then.
    """
    if kind == "auto":
        kind = "bar" if _is_smart_terminal(sys.stderr) and not lines_on_terminal else "log"
    match kind:
        case "bar":
            return _Bar()
        case "log":
            return _Log()
        case "json":
            return _Json()
        case "none":
            return _Nothing()


def _is_smart_terminal(stream: TextIO | None) -> bool:
    return is_terminal(stream) and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}


class _Nothing:
    interval = UNWATCHED_INTERVAL

    def start(self) -> None:
        pass

    def update(self, moment: Moment) -> None:
        pass

    def end(self, moment: Moment | None) -> None:
        pass


class _Log(_Nothing):
    interval = LOG_INTERVAL

    def update(self, moment: Moment) -> None:
        say(log_line(moment))

    def end(self, moment: Moment | None) -> None:
        if moment is not None:
            say(log_line(moment))


class _Json(_Nothing):
    interval = JSON_INTERVAL

    def update(self, moment: Moment) -> None:
        say(json_object(moment))

    def end(self, moment: Moment | None) -> None:
        if moment is not None:
            say(json_object(moment))


class _Bar:
    """The live line, by rich."""

    interval = BAR_INTERVAL

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        # No thread refreshes it, and the data's stdout is left alone.
        self._live = Live(
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=True,
            transient=True,
        )

    def start(self) -> None:
        self._live.start()

    def update(self, moment: Moment) -> None:
        self._live.update(bar(moment), refresh=True)

    def end(self, moment: Moment | None) -> None:
        if moment is not None:
            self.update(moment)
        self._live.stop()


def bar(moment: Moment) -> RenderableType:
    """Return the moment as something rich can draw: a bar with the time, and a line of numbers."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    now, total = moment.statistics, moment.total
    # A zero total would never pulse and never fill.
    drawing = ProgressBar(total=total or 1, completed=now.done, width=BAR_WIDTH, pulse=total is None)
    time = f"  {duration(now.elapsed)}"
    if moment.remaining is not None:
        time += f", {duration(moment.remaining)} left"
    far = Text(f"{now.done:,}{f'/{total:,}' if total is not None else ''}", style="bold")
    numbers = Text(no_wrap=True, overflow="ellipsis")
    numbers.append(f"ok {now.succeeded:,}", style="green")
    numbers.append(f"  failed {now.failed:,}", style="red" if now.failed else "dim")
    numbers.append(
        f"  {moment.rate:,.0f}/min  in flight {now.in_flight:,}  waiting for quota {now.waiting_for_quota:,}"
    )
    for name, value in moment.quota_words.items():
        numbers.append(f"  {name} {value}", style="yellow" if name == "paused" else "dim")
    return Group(Columns([drawing, far.append(time, style="not bold")]), numbers)


def log_line(moment: Moment) -> str:
    """Return the moment as one line of `name=value` pairs."""
    now = moment.statistics
    done = f"{now.done}/{moment.total}" if moment.total is not None else f"{now.done}"
    left = f" left={duration(moment.remaining)}" if moment.remaining is not None else ""
    quota = "".join(f" {name}={value}" for name, value in moment.quota_words.items())
    return (
        f"progress done={done} ok={now.succeeded} failed={now.failed} rate={moment.rate:.0f}/min "
        f"in_flight={now.in_flight} waiting={now.waiting_for_quota} retries={now.retries} "
        f"elapsed={duration(now.elapsed)}{left}{quota}"
    )


def json_object(moment: Moment) -> str:
    """Return the moment as one JSON object; times are seconds, `rate` is ids a minute."""
    now = moment.statistics
    fields: dict[str, str | int | float | None] = {
        "event": "progress",
        "done": now.done,
        "total": moment.total,
        "ok": now.succeeded,
        "failed": now.failed,
        "rate": round(moment.rate, 1),
        "in_flight": now.in_flight,
        "waiting": now.waiting_for_quota,
        "retries": now.retries,
        "elapsed": round(now.elapsed, 1),
        "left": None if moment.remaining is None else round(moment.remaining, 1),
    }
    state = moment.state
    if state is not None:
        fields["quota_used"] = state.used
        fields["quota_allowed"] = state.allowed
        fields["quota_foreign"] = state.used_by_others
        fields["quota_resets"] = None if state.resets_in is None else round(state.resets_in, 1)
        fields["quota_paused"] = None if state.paused_for is None else round(state.paused_for, 1)
    return json.dumps(fields, separators=(",", ":"))


def duration(seconds: float) -> str:
    """Return seconds as people read them: `12s`, `4m05s`, `1h02m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3_600}h{whole % 3_600 // 60:02}m"
