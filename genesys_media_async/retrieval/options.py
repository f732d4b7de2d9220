"""What can be chosen for one run, and what follows from the settings if it is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from ..errors import InvalidRequestError, SettingsError, sanitized
from ..models import check_access_level, check_lifetime
from ..settings.checked import unknown_name
from ..settings.policies import ValidationRule

if TYPE_CHECKING:
    from ..settings.settings import Settings


class RunOptions(TypedDict, total=False):
    """
    The options of one run; the settings give those that are left out.

    `expires_in` and `deadline` are seconds: the lifetime of each URL, and the time of each call with all its attempts
    and waits. Media storage makes one call for each id; the time for which a source is polled is its own `timeout`.
    `concurrency` is the number of workers. With `second_pass`, ids that failed for now are kept back until the others
    are done, and are then requested once more: each still has one result, but a failed one comes late. Leave it off
    where `ids` waits for results, or never ends; `retrieve_all` has it on.

    `max_refusals` ends the run with `AllRefusedError` if that many ids, from the first one on, are refused alike (the
    same 4xx status and code) and ids remain, as where the source is wrong or a permission is missing. By default, None,
    every id is requested. `retrieve` ignores it.
    """

    expires_in: int
    access_level: str | None
    rule: ValidationRule
    concurrency: int
    deadline: float
    second_pass: bool
    max_refusals: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one run, complete and checked; see `RunOptions`."""

    expires_in: int
    access_level: str | None
    rule: ValidationRule
    concurrency: int
    deadline: float
    second_pass: bool = False
    max_refusals: int | None = None


def resolve(settings: Settings, options: RunOptions) -> Options:
    """Return the options of a run. Raises `SettingsError`."""
    known = RunOptions.__annotations__
    if unknown := options.keys() - known.keys():
        raise SettingsError(f"{min(unknown)}: {unknown_name('option', min(unknown), known)}")
    chosen = Options(
        expires_in=options.get("expires_in", settings.expires_in),
        access_level=options.get("access_level", settings.access_level),
        rule=_rule(settings, options.get("rule", settings.rule)),
        concurrency=options.get("concurrency", settings.workers),
        deadline=options.get("deadline", settings.deadline),
        second_pass=bool(options.get("second_pass", False)),
        max_refusals=options.get("max_refusals"),
    )
    try:
        check_lifetime(chosen.expires_in)
        if chosen.access_level is not None:
            check_access_level(chosen.access_level)
    except InvalidRequestError as error:
        raise SettingsError(error.message, code=error.code, advice=error.advice) from None
    _check_count("concurrency", chosen.concurrency)
    if chosen.max_refusals is not None:
        _check_count("max_refusals", chosen.max_refusals)
    if not _is_positive(chosen.deadline):
        raise SettingsError(f"deadline is {chosen.deadline!r}.", advice="It must be a positive number of seconds.")
    return chosen


def _check_count(name: str, count: object) -> None:
    if type(count) is not int or count < 1:
        raise SettingsError(f"{name} is {count!r}.", advice="It must be a whole number from 1.")


def _is_positive(number: object) -> bool:
    return isinstance(number, int | float) and number > 0


def _rule(settings: Settings, rule: object) -> ValidationRule:
    if not isinstance(rule, ValidationRule):
        raise SettingsError(f"rule is {sanitized(repr(rule), 80)}.", advice="It must be a ValidationRule.")
    # Settings allow plain http to this machine only: there a simulator, or a tunnel, serves the URLs too.
    is_local = settings.api_url.startswith("http:") and not rule.loopback_http
    return rule.model_copy(update={"loopback_http": True}) if is_local else rule
