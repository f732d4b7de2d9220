"""
The options that several commands share, each written once, and the settings they make.

`Settings` reads the environment, not cyclopts: the variables in `--help` are only shown, and no value of one ever is.
"""

# Annotations are evaluated: cyclopts reads those of the dataclasses at run time.

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Group, Parameter

from ..errors import SettingsError
from ..settings.environment import ENVIRONMENT, read_environment
from ..settings.policies import Pace, ValidationRule, WebhookTarget
from ..settings.settings import Settings
from .exit_codes import CommandFailed, ExitCode, usage_error
from .output.progress import ProgressKind

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

INPUT: Final = Group("Input", sort_key=1)
OUTPUT: Final = Group("Output", sort_key=2)
URLS: Final = Group("URLs", sort_key=3)
SPEED: Final = Group("Quota and speed", sort_key=4)
CONNECTION: Final = Group("Connection", sort_key=5)
VALIDATION: Final = Group("Validation", sort_key=6)
EVIDENCE: Final = Group("Evidence and webhooks", sort_key=7)

CREDENTIALS: Final = """\
Credentials come from the environment only, since a command line is visible to
every user of a machine: those of an OAuth client with the Client Credentials
grant, or an access token, which overrides them and is never refreshed:
  export GENESYSCLOUD_OAUTHCLIENT_ID=... GENESYSCLOUD_OAUTHCLIENT_SECRET=...
  export GENESYSCLOUD_ACCESS_TOKEN=..."""


QUOTA_PARTS: Final = {"limit: must": "the number of requests must", "seconds: must": "the number of seconds must"}
"""The parts of a quota in messages, by the names of their settings."""

NUMBERS: Final = {
    "expires_in": "number of seconds, such as 3600.",
    "timeout": "number of seconds, such as 30.",
    "deadline": "number of seconds, such as 600.",
    "concurrency": "number, such as 64.",
}
"""The numeric settings: how a sentence about a wrong number ends."""

_SETTING_NAME: Final = re.compile(rf"\b({'|'.join(name for name in ENVIRONMENT if '_' in name)})\b")


def _not_read(*_: object, **__: object) -> list[str]:
    # Takes nothing from a variable, which `Settings` reads, with messages that name it.
    return []


def setting(name: str, group: Group, metavar: str | None, text: str) -> Parameter:
    """Return the option for a setting; its variable and default are those of `Settings`."""
    return Parameter(
        help=text,
        metavar=metavar,
        group=group,
        show_default=_default_of(name),
        env_var=ENVIRONMENT[name][0],
        env_var_split=_not_read,
    )


def _default_of(name: str) -> str | bool:
    """Return the default of a setting as a user would type it; False without one."""
    default: object = Settings.model_fields[name].default
    match name, default:
        case "concurrency", None:
            return "auto"
        case "region", str():
            return default.replace("_", "-")
        case _, None:
            return False
        case _, float():
            return f"{default:g}"
        case _:
            return str(default)


def stream_or_file(*names: str, group: Group, text: str) -> Parameter:
    """Return an option for a file; a lone hyphen is a standard stream."""
    return Parameter(
        name=list(names),
        metavar="FILE",
        help=text,
        group=group,
        show_default=None,
        allow_leading_hyphen=True,
        validator=_refuse_option,
    )


def _refuse_option(_: object, value: object) -> None:
    # "-i -o file" is an -i without its file.
    if isinstance(value, str) and value.startswith("-") and value != "-":
        raise ValueError(f"{value} looks like an option; write ./{value} if it is a file.")


OutputFile = Annotated[
    str | None,
    stream_or_file(
        "--output",
        "-o",
        group=OUTPUT,
        text="Output file, overwritten by the first result if it exists; a new one is readable by its owner only "
        "(not on Windows), since a URL is all that a download needs. Without it, or with -, standard output.",
    ),
]
Progress = Annotated[
    ProgressKind,
    Parameter(
        group=OUTPUT,
        help="Progress on standard error. auto: bar on a terminal, otherwise log. log: a line every 5 s. json: an "
        "object every second, then the summary. none: errors only.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """Where Genesys is; the credentials are in the environment."""

    region: Annotated[
        str | None,
        setting("region", CONNECTION, "NAME", "Genesys Cloud region, such as eu-central-1 or mypurecloud.de."),
    ] = None
    base_url: Annotated[
        str | None, setting("base_url", CONNECTION, "URL", "API URL, if it differs from the region's.")
    ] = None
    login_url: Annotated[
        str | None, setting("login_url", CONNECTION, "URL", "Login service URL, if it differs from the region's.")
    ] = None
    timeout: Annotated[
        str | None, setting("timeout", CONNECTION, "SECONDS", "Maximum time for one request and its reply.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class QuotaOptions:
    """The quota of the token."""

    quota: Annotated[
        str | None,
        setting(
            "quota",
            SPEED,
            "REQUESTS/SECONDS",
            "Requests allowed for the token in a number of seconds, or none. Set a lower one if other programs use the "
            "same token.",
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SpeedOptions(QuotaOptions):
    """The use of the quota, and the time a call may take."""

    pace: Annotated[
        Pace | None,
        setting(
            "pace",
            SPEED,
            None,
            "burst: requests as fast as the quota allows. even: requests spread evenly over its seconds.",
        ),
    ] = None
    deadline: Annotated[
        str | None,
        setting("deadline", SPEED, "SECONDS", "Maximum time for one call, with all its retries and waits."),
    ] = None
    outage_timeout: Annotated[
        str | None,
        setting(
            "outage_timeout",
            SPEED,
            "SECONDS",
            "Time for which a host may be unreachable before the run ends; meanwhile everything waits. 0: no waiting.",
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class UrlOptions:
    """The URLs to request; for media storage only."""

    expires_in: Annotated[
        str | None,
        setting("expires_in", URLS, "SECONDS", "Lifetime of each URL, 1 to 86400; for media storage only."),
    ] = None
    access_level: Annotated[
        str | None, setting("access_level", URLS, "NAME", "Access level to request; for media storage only.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """The rule that a URL must meet."""

    content_type: Annotated[
        list[str] | None,
        Parameter(
            metavar="PATTERN",
            group=VALIDATION,
            help="Content type to accept, such as audio/*; can be repeated. Without it media storage accepts audio, "
            "video and images, the other sources anything.",
        ),
    ] = None
    host: Annotated[
        list[str] | None,
        Parameter(
            metavar="HOST",
            group=VALIDATION,
            help="Host that URLs may point to, such as *.example.com; can be repeated. Without it any host.",
        ),
    ] = None

    def rule(self) -> ValidationRule | None:
        """Return the rule; None without options. Raises `CommandFailed`."""
        if not self.content_type and not self.host:
            return None
        types, hosts = self.content_type, self.host
        try:
            return ValidationRule(
                content_types=tuple(types) if types else None, allowed_hosts=tuple(hosts) if hosts else None
            )
        except SettingsError as error:
            name, _, sentence = str(error).partition(": ")
            raise usage_error("--host" if name == "allowed_hosts" else "--content-type", sentence) from None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """The audit trail, and the webhooks."""

    audit: Annotated[
        str | None,
        Parameter(
            metavar="FILE",
            group=EVIDENCE,
            help="File to append an audit record to for every attempt, as JSON lines; the run stops if it cannot be "
            "written.",
        ),
    ] = None
    webhook: Annotated[
        str | None,
        setting(
            "webhook",
            EVIDENCE,
            "URL",
            "URL to post media.url.generated to for every URL retrieved, in the background. Every user of the machine "
            "sees it here, but not in the variable.",
        ),
    ] = None
    webhook_with_url: Annotated[
        bool,
        Parameter(
            group=EVIDENCE,
            show_default=False,
            help="Include the pre-signed URL in the webhooks: their receiver can download the media.",
        ),
    ] = False
    undelivered: Annotated[
        str | None,
        Parameter(metavar="FILE", group=EVIDENCE, help="File to append undelivered webhooks to, without URLs."),
    ] = None

    def webhook_target(self) -> WebhookTarget | None:
        """Return the receiver of webhooks; None without one. Raises `CommandFailed`."""
        source, url = "--webhook", self.webhook
        if url is None:
            source = ENVIRONMENT["webhook"][0]
            url = os.environ.get(source, "").strip() or None
        if url is None:
            if self.undelivered is not None or self.webhook_with_url:
                option = "--undelivered" if self.undelivered is not None else "--webhook-with-url"
                raise usage_error(option, "it applies to webhooks; name their receiver with --webhook.")
            return None
        undelivered = None if self.undelivered is None else Path(self.undelivered)
        try:
            return WebhookTarget(url=url, include_url=self.webhook_with_url, undelivered_file=undelivered)
        except SettingsError as error:
            code = ExitCode.USAGE if self.webhook is not None else ExitCode.CONFIGURATION
            raise CommandFailed(code, f"{source}: {str(error).removeprefix('url: ')}") from None


def settings_for(*groups: "DataclassInstance", **more: object) -> Settings:
    """
    Return the settings that options and the environment make together; an option overrides its variable.

    An option is a field of one of the `groups` with the name of a setting; `more` are settings without an option.
    Raises `CommandFailed`: a usage error that names the option, or a configuration error that names the variable.
    """
    typed = {
        field.name: value
        for group in groups
        for field in fields(group)
        if field.name in ENVIRONMENT and (value := getattr(group, field.name)) is not None
    }
    for name, value in typed.items():
        _check(name, value, ExitCode.USAGE, option_name)
    for name, value in read_environment(os.environ).items():
        if name not in typed:
            _check(name, value, ExitCode.CONFIGURATION, _variable_name)
    try:
        return Settings.from_mapping({**typed, **more})
    except SettingsError as error:
        raise CommandFailed(ExitCode.CONFIGURATION, str(error)) from None


def unused_client(settings: Settings) -> str | None:
    """Return which credentials win if there are two kinds of them; None otherwise."""
    if settings.access_token is None or settings.client_id is None or settings.client_secret is None:
        return None
    token, client = _variable_name("access_token"), _variable_name("client_id")
    return f"{token} overrides the OAuth client of {client}, and is never refreshed; unset one of the two."


def _check(name: str, value: object, code: ExitCode, named: Callable[[str], str]) -> None:
    # Alone, beside a token that stands for any credentials: what is wrong then is wrong with this setting.
    try:
        Settings.from_mapping({"access_token": "any", name: value}, {})
    except SettingsError as error:
        sentence = str(error).removeprefix(f"{name} (or {ENVIRONMENT[name][0]}): ").removeprefix(f"{name}: ")
        sentence = quota_sentence(sentence) if name == "quota" else sentence
        if name in NUMBERS and sentence.startswith("must be "):
            sentence = f"{str(value)[:60]!a} {sentence.replace('number.', NUMBERS[name])}"
        if sentence.startswith(f"{name} is "):
            sentence = f"{named(name)}{sentence.removeprefix(name)}"
        else:
            sentence = f"{named(name)}: {sentence}"
        raise CommandFailed(code, _SETTING_NAME.sub(lambda found: named(found[0]), sentence)) from None


def quota_sentence(sentence: str) -> str:
    """Return a sentence about a quota that names its parts as the option does."""
    for part, words in QUOTA_PARTS.items():
        if part in sentence:
            return f"{sentence.replace(part, words)} Write REQUESTS/SECONDS, as in 300/60, or none."
    return sentence


def option_name(setting_name: str) -> str:
    """Return the option of a setting, or of a filter."""
    return f"--{setting_name.replace('_', '-')}"


def _variable_name(setting_name: str) -> str:
    """Return the variable that a setting was read from."""
    names = ENVIRONMENT[setting_name]
    return next((name for name in names if os.environ.get(name, "").strip()), names[0])


def unknown_value(option: str, value: str, known: Iterable[str]) -> CommandFailed:
    """Failure for a value that is none of the known ones, with the closest one or with all of them."""
    # Imported here, since only mistakes need it.
    from difflib import get_close_matches

    names = list(known)
    kind = {"--by": "way"}.get(option, option.lstrip("-").replace("-", " "))
    close = get_close_matches(value.lower(), [name.lower() for name in names], n=1)
    hint = (
        f"did you mean {next(name for name in names if name.lower() == close[0])}?"
        if close
        else f"choose from {', '.join(names)}."
    )
    return usage_error(option, f"unknown {kind} {value[:60]!r}; {hint}")
