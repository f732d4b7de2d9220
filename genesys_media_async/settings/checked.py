"""The base class of all settings: frozen values whose errors name the setting and its rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from ..errors import InvalidRequestError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from pydantic_core import ErrorDetails

    Secret: TypeAlias = SecretStr | str
else:
    # Plain text is accepted too, and becomes a secret that no repr shows.
    Secret = SecretStr

Given = TypeVar("Given")
Checked = TypeVar("Checked")

_RULES = {
    "missing": "is required",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is far out of range",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "path_type": "must be a path",
    "tuple_type": "must be a list or a tuple",
    "callable_type": "must be a function",
    "model_type": "must be a {class_name}, or a dict of its settings",
}
"""The sentence for each type of error in pydantic; its own sentences are about Python, not about settings."""


class CheckedModel(BaseModel):
    """A frozen value that raises `SettingsError` for wrong input. No message shows a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    variables: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Environment variables of the settings in this class."""

    def __init__(self, **values: object) -> None:
        """Check the values. Raises `SettingsError`."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explain(error, type(self))) from None

    @classmethod
    def checked(cls, values: Mapping[str, object]) -> Self:
        """Check names and values that a type checker does not know. Raises `SettingsError`."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(_explain(error, cls)) from None


def _explain(error: ValidationError, model: type[CheckedModel]) -> str:
    """Return what is wrong with which settings, one sentence each."""
    details = error.errors(include_input=False, include_url=False)
    return " ".join(_sentence(each, model) for each in details)


def _sentence(detail: ErrorDetails, model: type[CheckedModel]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    variables = model.variables.get(name, ())
    where = f"{name} (or {variables[0]})" if variables else name
    if detail["type"] == "extra_forbidden":
        rule = unknown_name("setting", name, model.model_fields)
    elif detail["type"] == "value_error":
        rule = detail["msg"].removeprefix("Value error, ")
    else:
        context = {key: _number(value) for key, value in detail.get("ctx", {}).items()}
        rule = _RULES.get(detail["type"], "is not valid").format(**context)
    sentence = f"{where}: {rule}" if where else rule
    return sentence if sentence.endswith((".", "?")) else f"{sentence}."


def _number(value: object) -> object:
    return f"{value:,.15g}" if isinstance(value, int | float) else value


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence about a name that is not known, with the closest one that is, or with all."""
    # Imported here, since only mistakes need it.
    from difflib import get_close_matches

    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"unknown {kind}; did you mean {close[0]}?" if close else f"unknown {kind}; there are {', '.join(names)}."


def secret_text(secret: Secret) -> str:
    """Return the text of a secret."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret


def as_value_error(check: Callable[[Given], Checked], value: Given) -> Checked:
    """Apply a check that raises errors of this package, inside a validator of pydantic."""
    try:
        return check(value)
    except (InvalidRequestError, SettingsError) as error:
        raise ValueError(str(error)) from None
