"""Ids: the rule for file ids, and the correlation id of a reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, cast

from pydantic import Field, TypeAdapter

from .errors import InvalidRequestError, sanitized

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_FILE_ID = 128
MAX_CORRELATION_ID = 64

# An allow-list instead of quoting: ".." survives percent-encoding, and HTTP clients resolve it to another endpoint.
# pydantic's patterns are Rust's, in which `$` matches at the end of the text only, never before a line break.
_FILE_ID = Annotated[str, Field(strict=True, max_length=MAX_FILE_ID, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")]

is_file_id: Callable[[object], bool] = TypeAdapter(_FILE_ID).validator.isinstance_python
"""True for a valid id, or a valid part of one: 1 to 128 of `A-Z a-z 0-9 . _ -`, and no dot first."""

_HEX = Annotated[str, Field(strict=True, max_length=MAX_CORRELATION_ID, pattern="^[0-9a-fA-F-]+$")]

is_hex_id: Callable[[object], bool] = TypeAdapter(_HEX).validator.isinstance_python
"""True for a correlation id of hexadecimal digits, with or without dashes: nearly every one is a UUID."""

HEX_ID_CHARACTERS: Final = frozenset("0123456789abcdefABCDEF-")


def check_file_id(file_id: object, id_format: str = "fileId") -> str:
    """
    Return a valid file id as an exact `str`, or raise `InvalidRequestError`.

    `id_format` names the parts of the id with slashes between, as in `conversationId/recordingId`. The whole id has at
    most 128 characters, and each part is a valid id.
    """
    file_id = exact_str(file_id)
    # The cast keeps the check: ids come from the user's iterable, and may be anything at run time.
    if not isinstance(cast("object", file_id), str):
        raise InvalidRequestError(
            f"The file id is of type {type(file_id).__name__}, not str.",
            code="invalid_file_id",
            advice="Pass the id as a string.",
        )
    if not file_id:
        raise InvalidRequestError("The file id is empty.", code="invalid_file_id", advice="Remove it from the input.")
    if len(file_id) > MAX_FILE_ID:
        raise InvalidRequestError(
            f"The file id has {len(file_id)} characters; {MAX_FILE_ID} are allowed.",
            code="invalid_file_id",
            advice="Check that the input has one id per line.",
        )
    parts, expected = file_id.split("/"), id_format.count("/") + 1
    if not all(is_file_id(part) for part in parts if part):
        raise InvalidRequestError(
            f"The file id {sanitized(ascii(file_id), 80)} has an invalid character.",
            code="invalid_file_id",
            advice="Only A-Z a-z 0-9 . _ - are allowed, and no dot first.",
        )
    if len(parts) != expected:
        raise InvalidRequestError(
            f"The file id {sanitized(ascii(file_id), 80)} has {_parts(len(parts))} instead of {expected}.",
            code="invalid_file_id",
            advice=f"Write it as {id_format}.",
        )
    if "" in parts:
        raise InvalidRequestError(
            f"The file id {sanitized(ascii(file_id), 80)} has an empty part.",
            code="invalid_file_id",
            advice=f"Write it as {id_format}.",
        )
    return file_id


def _parts(count: int) -> str:
    return "1 part" if count == 1 else f"{count} parts"


def exact_str(given: object) -> str:
    """
    Return an id as an exact `str`; anything else than text is returned unchanged, and refused later.

    A subclass of `str`, such as a member of an enum, may be formatted differently from its characters.
    """
    return str.__str__(given) if isinstance(given, str) else cast("str", given)


def display_id(given: object) -> str:
    """Return the text of anything given for an id; never raises."""
    try:
        return str(exact_str(given))
    except Exception:  # noqa: BLE001 - the refusal names the object, whatever its __str__ raises
        return f"<{type(given).__name__}>"


def correlation_id(headers: Mapping[str, str]) -> str | None:
    """Return the id by which Genesys's support identifies a request, from reply headers with lower-case names."""
    found = headers.get("inin-correlation-id") or headers.get("genesys-correlation-id")
    if not found:
        return None
    is_plain = len(found) <= MAX_CORRELATION_ID and is_file_id(found)
    return found if is_plain else sanitized(found, MAX_CORRELATION_ID)
