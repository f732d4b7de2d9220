"""The base of all settings: frozen values whose errors name the setting, the rule and the repair."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from ..errors import InvalidRequestError, SettingsError
from .environment import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from pydantic_core import ErrorDetails

    Secret: TypeAlias = SecretStr | str
else:
    # Text is accepted, too, and becomes a secret that no repr shows.
    Secret = SecretStr

Given = TypeVar("Given")
Checked = TypeVar("Checked")

_RULES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "missing": "is required",
}


class CheckedModel(BaseModel):
    """A frozen value that raises `SettingsError` for wrong input, and never shows the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(explain(error, type(self).model_fields)) from None

    @classmethod
    def checked(cls, values: Mapping[str, object]) -> Self:
        """Make it from names and values that a type checker does not know. Raises `SettingsError`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(explain(error, cls.model_fields)) from None


def explain(error: ValidationError, known: Iterable[str]) -> str:
    """Return what is wrong with which settings, one sentence each; `known` are the names that there are."""
    details = error.errors(include_input=False, include_url=False)
    return " ".join(_sentence(each, list(known)) for each in details)


def _sentence(detail: ErrorDetails, known: list[str]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    variables = ENVIRONMENT.get(name, ())
    where = f"{name} (or {variables[0]})" if variables else name
    if detail["type"] == "extra_forbidden":
        return f"{where}: {unknown_name('setting', name, known)}"
    template = _RULES.get(detail["type"])
    rule = template.format(**detail.get("ctx", {})) if template else detail["msg"].removeprefix("Value error, ")
    rule = rule.rstrip(".")
    return f"{where}: {rule}." if where else f"{rule}."


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence about a name that is not known, with the closest one that is, or with all."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"unknown {kind}; did you mean {close[0]}?" if close else f"unknown {kind}; there are {', '.join(names)}."


def secret_text(secret: Secret) -> str:
    """Return the text of a secret."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


def as_value_error(check: Callable[[Given], Checked], value: Given) -> Checked:
    """Apply a rule that raises errors of this package inside a validator of pydantic."""
    try:
        return check(value)
    except (InvalidRequestError, SettingsError) as error:
        raise ValueError(str(error)) from None
