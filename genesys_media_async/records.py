"""`Record`, the base of value classes with members that no repr shows."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct


class Record(Struct, frozen=True):
    """
    A value whose repr leaves out the members in `hidden`, such as secrets and what is too long to read.

    A subclass whose members can never lead back to itself says `gc=False`: the collector then need not look at
    thousands of them at once. Not one that holds an exception, which holds frames, which may hold anything.
    """

    hidden: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        shown = (name for name in self.__struct_fields__ if name not in self.hidden)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
