"""What was typed and what is in the environment, made into settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..settings.environment import ENVIRONMENT
from ..settings.settings import Settings
from .exit_codes import CommandFailed, ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


def settings_for(options: Mapping[str, str], **more: object) -> Settings:
    """
    Return the settings that options, by the settings' names, and the environment make together.

    `more` are settings that are none of the options. Raises `CommandFailed`: as a wrong use for what was typed, as a
    wrong configuration for the rest.
    """
    for name, text in options.items():
        _check_option(name, text)
    try:
        return Settings.from_mapping({**options, **more})
    except SettingsError as error:
        raise CommandFailed(ExitCode.CONFIGURATION, str(error)) from None


def _check_option(name: str, text: str) -> None:
    # Alone, beside a token that stands for any credentials: what is wrong then is wrong with this option.
    try:
        Settings.from_mapping({"access_token": "any", name: text}, {})
    except SettingsError as error:
        sentence = str(error).removeprefix(f"{name} (or {ENVIRONMENT[name][0]}): ").removeprefix(f"{name}: ")
        raise misused(f"--{name.replace('_', '-')}", sentence) from None


def misused(option: str, sentence: str) -> CommandFailed:
    """Return the failure to raise for an option that was typed and cannot be."""
    return CommandFailed(ExitCode.USAGE, f"{option}: {sentence}")
