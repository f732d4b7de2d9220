"""The commands of `genesys-media`, registered with cyclopts, and their usage errors."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, get_args

from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, Parameter, ValidationError

from ..settings.version import VERSION
from .exit_codes import CommandFailed, ExitCode, exit_code_table, usage_error
from .options import unknown_value
from .output.streams import PROGRAM, print_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = """\
Thousands of Genesys Cloud media ids in, validated pre-signed download URLs out: within quota, losing none.

Data goes to standard output or the output file, everything else to standard error."""

EPILOGUE = f"""\
Examples:
  genesys-media demo                                 see it work; no credentials
  genesys-media doctor                               check the setup
  genesys-media retrieve -i ids.txt -o urls.jsonl    retrieve a file of ids
  genesys-media simulate                             a local Genesys Cloud

Exit codes:
{exit_code_table()}"""

COMMANDS = ("demo", "discover", "doctor", "retrieve", "simulate")

app = App(
    name=PROGRAM,
    help=ABOUT,
    help_epilogue=EPILOGUE,
    help_format="plaintext",
    version=f"{PROGRAM} {VERSION}",
    version_flags=["--version", "-V"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    print_error=False,
    exit_on_error=False,
    default_parameter=Parameter(negative=()),
)
for name in COMMANDS:
    # By its path: a command imports no other.
    app.command(f"{__package__}.commands.{name}:app", name=name)
# cyclopts leaves the keyword arguments untyped.
app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]
    help="Install shell completion for bash, zsh, fish or PowerShell."
)


def run_command(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name, and return its exit code."""
    if not arguments or arguments[0] in app.help_flags:
        # The overview quotes each command, and quotes nothing of one that is not imported.
        for name in COMMANDS:
            _ = app[name]
    try:
        result: object = app(list(arguments))
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison]
            sys.stdout.flush()
    except CommandFailed as error:
        if str(error):
            print_failure(str(error))
        return error.code
    except CycloptsError as error:
        print_failure(f"{_usage_error(error)} See {' '.join((PROGRAM, *(error.command_chain or ())))} --help.")
        return ExitCode.USAGE
    except SystemExit:
        # The completion command exits by itself if it cannot detect the shell.
        return ExitCode.USAGE
    return result if isinstance(result, int) else ExitCode.ALL_RETRIEVED


def _usage_error(error: CycloptsError) -> str:
    """Return the message of an error in the style of the other messages: option, rule, repair."""
    token, argument = getattr(error, "token", None), error.argument
    if isinstance(error, CoercionError) and token is not None and argument is not None:
        option = token.keyword or argument.name
        choices = argument.get_choices(force=True)
        if choices:
            return str(unknown_value(option, token.value, choices))
        words = {int: "a whole number", float: "a number"}
        hints = (argument.hint, *get_args(argument.hint))
        if (kind := next((words[each] for each in hints if each in words), None)) is not None:
            return str(usage_error(option, f"{token.value[:60]!a} must be {kind}."))
    if isinstance(error, ValidationError) and argument is not None:
        rule = error.exception_message.replace(">= ", "at least ").replace("<= ", "at most ")
        return str(usage_error(argument.name, rule[:1].lower() + rule[1:]))
    if isinstance(error, MissingArgumentError) and argument is not None:
        return str(usage_error(argument.name, "a value is required."))
    return str(error)
