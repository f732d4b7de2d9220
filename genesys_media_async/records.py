"""`record`, the decorator of value classes that are cheap to make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T], /) -> type[T]:
    """
    Make a class a dataclass with slots, equality and a hash, which is frozen for type checkers.

    Nothing prevents an assignment at run time: the guard of a frozen dataclass makes each member three times as slow to
    set, and a run makes ten values for each of millions of ids.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
