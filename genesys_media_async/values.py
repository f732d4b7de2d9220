"""What a value is here: a dataclass that nobody changes, and that costs little to make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T], /) -> type[T]:
    """
    Make a class a dataclass with slots, equality and a hash, frozen for type checkers.

    Nothing stops an assignment at run time: that guard makes every member cost three times as much to set, and a run
    makes ten values for each of millions of ids.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
